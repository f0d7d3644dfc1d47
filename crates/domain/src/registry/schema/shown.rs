//! Fields as responses and events show them: every key, with null for what is not set (WC-4.1).

use serde_json::{Value, json};

use super::{FieldConstraints, FieldDefinition, FieldType};

impl FieldConstraints {
    /// Returns `integer_only` of a field of this type: false by default for a number.
    pub fn shown_integer_only(&self, field_type: FieldType) -> Option<bool> {
        let of_number = match self.kind.as_deref() {
            Some(kind) => kind == "number",
            None => field_type == FieldType::Number,
        };
        self.integer_only.or(of_number.then_some(false))
    }
}

impl FieldDefinition {
    /// Returns the examples, if there are any.
    pub fn shown_examples(&self) -> Option<&[String]> {
        Some(self.examples.as_slice()).filter(|examples| !examples.is_empty())
    }

    /// Returns the field as JSON with every key.
    pub fn shown(&self) -> Value {
        let constraints = self.constraints.as_ref().map(|c| {
            json!({
                "type": c.kind, "min_length": c.min_length, "max_length": c.max_length, "pattern": c.pattern,
                "min_value": c.min_value, "max_value": c.max_value,
                "integer_only": c.shown_integer_only(self.field_type), "unit": c.unit,
                "ontology_srn": c.ontology_srn, "root_term": c.root_term,
            })
        });
        json!({
            "name": self.name, "type": self.field_type, "required": self.required, "cardinality": self.cardinality,
            "description": self.description, "constraints": constraints, "examples": self.shown_examples(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::schema::FieldCardinality;

    // As WC-4.1 has it.
    #[test]
    fn a_field_is_shown_with_its_nulls_and_integer_only_is_false() {
        let mut field = FieldDefinition {
            name: "mass".parse().unwrap(),
            field_type: FieldType::Number,
            required: false,
            cardinality: FieldCardinality::ExactlyOne,
            description: None,
            constraints: Some(FieldConstraints {
                kind: Some("number".to_owned()),
                unit: Some("g".to_owned()),
                ..FieldConstraints::default()
            }),
            examples: Vec::new(),
        };
        let shown = field.shown();
        assert_eq!(shown.get("examples"), Some(&Value::Null));
        assert_eq!(shown.get("description"), Some(&Value::Null));
        assert_eq!(shown.pointer("/constraints/integer_only"), Some(&json!(false)));
        assert_eq!(shown.pointer("/constraints/min_value"), Some(&Value::Null));
        assert_eq!(shown.pointer("/constraints/unit"), Some(&json!("g")));
        field.constraints = None;
        field.examples = vec!["7".to_owned()];
        assert_eq!(field.shown().get("constraints"), Some(&Value::Null));
        assert_eq!(field.shown().get("examples"), Some(&json!(["7"])));
        let text = FieldConstraints {
            kind: Some("text".to_owned()),
            ..FieldConstraints::default()
        };
        assert_eq!(text.shown_integer_only(FieldType::Text), None);
    }
}

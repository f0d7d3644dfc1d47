//! A PROV-JSON document under construction: declarations by name, relations by number.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::name::{Name, SPACES};
use crate::text;

/// The meaning of Hallmark's own attributes does not depend on a node, so their space is the same everywhere.
const OWN: &str = "urn:hallmark:provenance:";

/// Attributes of an element or a relation.
pub(super) type Attributes = Vec<(&'static str, Value)>;

pub(super) struct Document {
    members: Map<String, Value>,
    relations: usize,
}

impl Document {
    pub(super) fn new(base: &str) -> Self {
        let mut prefix = Map::new();
        prefix.insert("hallmark".to_owned(), OWN.into());
        for (name, path) in SPACES {
            prefix.insert(name.to_owned(), format!("{base}{path}").into());
        }
        let mut members = Map::new();
        members.insert("prefix".to_owned(), prefix.into());
        Self {
            members,
            relations: 0,
        }
    }

    pub(super) fn entity(&mut self, name: &Name, attributes: Attributes) {
        self.put("entity", name.qualified(), attributes);
    }

    pub(super) fn activity(&mut self, name: &Name, attributes: Attributes) {
        self.put("activity", name.qualified(), attributes);
    }

    pub(super) fn agent(&mut self, name: &Name, attributes: Attributes) {
        self.put("agent", name.qualified(), attributes);
    }

    /// Adds a relation between two elements; `more` are its further roles and attributes.
    pub(super) fn relate(&mut self, kind: Relation, one: &Name, other: &Name, more: Attributes) {
        let (member, first, second) = kind.roles();
        self.relations += 1;
        let mut attributes = vec![(first, refer(one)), (second, refer(other))];
        attributes.extend(more);
        // A blank name: nothing refers to a relation.
        self.put(member, format!("_:r{}", self.relations), attributes);
    }

    /// Adds a declaration; the first of two declarations of one name stays.
    fn put(&mut self, member: &str, name: String, attributes: Attributes) {
        let place = self
            .members
            .entry(member)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(map) = place {
            map.entry(name).or_insert_with(|| {
                attributes
                    .into_iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()
            });
        }
    }

    pub(super) fn finish(self) -> Value {
        self.members.into()
    }
}

/// The relations in use; the first element is the one that comes later in time.
#[derive(Clone, Copy)]
pub(super) enum Relation {
    WasGeneratedBy,
    Used,
    WasInformedBy,
    WasInvalidatedBy,
    WasDerivedFrom,
    WasAttributedTo,
    WasAssociatedWith,
    ActedOnBehalfOf,
}

impl Relation {
    /// Returns the member of the document, and the two roles.
    const fn roles(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::WasGeneratedBy => ("wasGeneratedBy", "prov:entity", "prov:activity"),
            Self::Used => ("used", "prov:activity", "prov:entity"),
            Self::WasInformedBy => ("wasInformedBy", "prov:informed", "prov:informant"),
            Self::WasInvalidatedBy => ("wasInvalidatedBy", "prov:entity", "prov:activity"),
            Self::WasDerivedFrom => ("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity"),
            Self::WasAttributedTo => ("wasAttributedTo", "prov:entity", "prov:agent"),
            Self::WasAssociatedWith => ("wasAssociatedWith", "prov:activity", "prov:agent"),
            Self::ActedOnBehalfOf => ("actedOnBehalfOf", "prov:delegate", "prov:responsible"),
        }
    }
}

/// Returns a reference to an element.
pub(super) fn refer(name: &Name) -> Value {
    name.qualified().into()
}

/// Returns a `prov:type`; more than one is a list.
pub(super) fn types(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| json!({"$": name, "type": "prov:QUALIFIED_NAME"}))
        .collect()
}

/// Returns a time as the value of one of PROV's own roles.
pub(super) fn at(time: OffsetDateTime) -> Value {
    text::time(time, 6).into()
}

/// Returns a time as an attribute, which must name its type.
pub(super) fn typed_time(time: OffsetDateTime) -> Value {
    json!({"$": text::time(time, 6), "type": "xsd:dateTime"})
}

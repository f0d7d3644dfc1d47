//! What the documents of the archive of earthquakes are made of.

use pages::{
    Sample, SchemaDoc, SchemaExample, SchemaFeature, Skill, SkillConvention, SkillDataset, SkillFeature,
};
use serde_json::json;

use super::quakes::{COUNTED, PURPOSE, SCHEMA, about, energy, exact, fields, node};

pub(crate) const QUESTIONS: [&str; 3] = [
    "Which earthquake released the most energy?",
    "How much deeper than 300 km do great earthquakes happen?",
    "How much more energy has magnitude 8 than magnitude 7?",
];
pub(crate) const NOT_FOR: &str = "For ground motion at a place: that depends on far more than magnitude.";

pub(crate) fn skill() -> Skill {
    Skill {
        node: node(),
        conventions: vec![SkillConvention {
            title: "Earthquakes".to_owned(),
            purpose: Some(PURPOSE.to_owned()),
            example_questions: QUESTIONS.map(str::to_owned).to_vec(),
            when_not_to_use: Some(NOT_FOR.to_owned()),
            see_also: vec!["https://earthquake.usgs.gov/fdsnws/event/1/".to_owned()],
        }],
        datasets: vec![SkillDataset {
            schema: SCHEMA.to_owned(),
            title: "Earthquakes".to_owned(),
            records: about(1_234_500),
            features: vec![SkillFeature {
                name: "quake_energy".to_owned(),
                rows: about(1_234_480),
                records_covered: about(1_234_480),
            }],
        }],
        as_of: Some(COUNTED),
    }
}

pub(crate) fn schema_doc() -> SchemaDoc {
    SchemaDoc {
        node: node(),
        schema: SCHEMA.to_owned(),
        reference: SCHEMA.to_owned(),
        title: "Earthquakes".to_owned(),
        purpose: Some(PURPOSE.to_owned()),
        fields: fields(),
        records: about(1_234_500),
        sample: Some(Sample {
            column: "place".to_owned(),
            value: json!("Off the Devil's coast"),
        }),
        sample_record: Some("us7000abcd".to_owned()),
        features: vec![SchemaFeature {
            name: "quake_energy".to_owned(),
            columns: energy(),
            rows: about(1_234_480),
            records_covered: about(1_234_480),
            sample: Some(Sample {
                column: "depth_class".to_owned(),
                value: json!("deep"),
            }),
            sample_row: Some(1),
        }],
        examples: vec![SchemaExample {
            question: QUESTIONS[2].to_owned(),
            query: "select energy_j from quake_energy\nwhere depth_class = 'deep' -- ```not the end```\n"
                .to_owned(),
            interpretation: "About 32 times as much.".to_owned(),
        }],
        when_not_to_use: Some(NOT_FOR.to_owned()),
        see_also: Vec::new(),
        as_of: Some(COUNTED),
    }
}

pub(crate) fn empty_schema_doc() -> SchemaDoc {
    let mut doc = SchemaDoc {
        schema: "empty".to_owned(),
        reference: "empty@1.0.0".to_owned(),
        title: "Empty".to_owned(),
        ..schema_doc()
    };
    doc.purpose = None;
    (doc.records, doc.sample, doc.sample_record, doc.as_of) = (exact(0), None, None, None);
    for feature in &mut doc.features {
        (feature.rows, feature.records_covered) = (exact(0), exact(0));
        (feature.sample, feature.sample_row) = (None, None);
    }
    doc.examples.clear();
    doc
}

//! What the tests of documents have in common: the sample, and who refers to whom.
#![expect(
    clippy::unwrap_used,
    reason = "a document of another form should end the test"
)]

use std::collections::BTreeSet;

use serde_json::Value;

#[path = "../../examples/sample/lineage.rs"]
mod sample;

pub(crate) fn sample() -> lineage::Lineage {
    sample::sample().unwrap()
}

/// What is wrong with a PROV-JSON document: references to nothing, names whose prefix is not declared, names with
/// characters that no qualified name has, and circles.
pub(crate) fn faults_of_prov(document: &Value) -> Vec<String> {
    const ELEMENTS: [&str; 3] = ["entity", "activity", "agent"];
    const ROLES: [&str; 10] = [
        "prov:entity",
        "prov:activity",
        "prov:agent",
        "prov:plan",
        "prov:informed",
        "prov:informant",
        "prov:generatedEntity",
        "prov:usedEntity",
        "prov:delegate",
        "prov:responsible",
    ];
    let members = document.as_object().unwrap();
    let prefixes: BTreeSet<&str> = members["prefix"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut faults = Vec::new();
    let mut declared = BTreeSet::new();
    for (name, _) in ELEMENTS
        .iter()
        .filter_map(|e| members.get(*e))
        .flat_map(|e| e.as_object().unwrap())
    {
        let (prefix, local) = name.split_once(':').unwrap();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~/@#%".contains(c);
        if !prefixes.contains(prefix) || !local.chars().all(plain) || local.ends_with('.') {
            faults.push(format!("{name} is no qualified name"));
        }
        if !declared.insert(name.as_str()) {
            faults.push(format!("{name} is two things"));
        }
    }
    let mut edges = Vec::new();
    for (kind, relations) in members
        .iter()
        .filter(|(k, _)| *k != "prefix" && !ELEMENTS.contains(&k.as_str()))
    {
        for relation in relations.as_object().unwrap().values() {
            for role in ROLES.iter().filter_map(|role| relation.get(*role)) {
                if !declared.contains(role.as_str().unwrap()) {
                    faults.push(format!("{kind}: {role} is not declared"));
                }
            }
            let edge = match kind.as_str() {
                "wasDerivedFrom" => ("prov:generatedEntity", "prov:usedEntity"),
                "used" => ("prov:activity", "prov:entity"),
                "wasGeneratedBy" => ("prov:entity", "prov:activity"),
                "wasInformedBy" => ("prov:informed", "prov:informant"),
                _ => continue,
            };
            edges.push((
                relation[edge.0].as_str().unwrap(),
                relation[edge.1].as_str().unwrap(),
            ));
        }
    }
    // Takes away what nothing comes from until nothing more can be taken away: what is left is a circle.
    loop {
        let sources: BTreeSet<&str> = edges.iter().map(|(from, _)| *from).collect();
        let before = edges.len();
        edges.retain(|(_, to)| sources.contains(to));
        if edges.len() == before {
            break;
        }
    }
    faults.extend(
        edges
            .iter()
            .map(|(from, to)| format!("{from} and {to} are in a circle")),
    );
    faults
}

/// What is wrong with a crate: two entities of one id, references to nothing, data that is no part of the root,
/// and actions without an instrument.
pub(crate) fn faults_of_crate(document: &Value) -> Vec<String> {
    let graph = document["@graph"].as_array().unwrap();
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for entity in graph {
        let id = entity["@id"].as_str().unwrap();
        if !ids.insert(id) {
            faults.push(format!("{id} is described twice"));
        }
        if id.contains(|c: char| c.is_whitespace() || "\"<>{}|\\^`".contains(c)) {
            faults.push(format!("{id} is no IRI"));
        }
    }
    let root = graph.iter().find(|e| e["@id"] == "./").unwrap();
    for entity in graph {
        let id = &entity["@id"];
        for (key, value) in entity.as_object().unwrap() {
            let values = value
                .as_array()
                .map_or(std::slice::from_ref(value), Vec::as_slice);
            for target in values
                .iter()
                .filter_map(|v| v.get("@id"))
                .map(|v| v.as_str().unwrap())
            {
                // Terms of other people's vocabularies need no entity of ours.
                let term = target.starts_with("https://w3id.org/ro/crate/")
                    || target.starts_with("https://w3id.org/ro/terms/");
                if !term && !ids.contains(target) {
                    faults.push(format!("{id} {key} {target} resolves to nothing"));
                }
            }
        }
        let named = |list: &str| {
            root[list]
                .as_array()
                .unwrap()
                .iter()
                .any(|part| part["@id"] == *id)
        };
        if entity["@type"] == "File" && !named("hasPart") {
            faults.push(format!("{id} is no part of the root"));
        }
        if entity["@type"] == "CreateAction" && (!named("mentions") || entity["instrument"]["@id"].is_null())
        {
            faults.push(format!("{id} is not mentioned or has no instrument"));
        }
    }
    faults
}

/// What is wrong with run events: a run without exactly one start and one end, facets without their two marks.
pub(crate) fn faults_of_events(events: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    let runs: BTreeSet<&str> = events
        .iter()
        .map(|e| e["run"]["runId"].as_str().unwrap())
        .collect();
    for run in runs {
        let states: Vec<&str> = events
            .iter()
            .filter(|e| e["run"]["runId"] == run)
            .map(|e| e["eventType"].as_str().unwrap())
            .collect();
        if !matches!(states.as_slice(), ["START", "COMPLETE" | "FAIL"]) {
            faults.push(format!("{run} has {states:?}"));
        }
    }
    for event in events {
        let mut holders = vec![&event["run"], &event["job"]];
        holders.extend(
            ["inputs", "outputs"]
                .iter()
                .flat_map(|side| event[*side].as_array().unwrap()),
        );
        for bag in holders
            .iter()
            .flat_map(|h| [h.get("facets"), h.get("outputFacets")])
            .flatten()
        {
            for (name, facet) in bag.as_object().unwrap() {
                let url = facet["_schemaURL"].as_str().unwrap_or_default();
                if !url.starts_with("https://openlineage.io/spec/facets/")
                    || facet["_producer"] != event["producer"]
                {
                    faults.push(format!("facet {name} lacks its marks: {facet}"));
                }
            }
        }
    }
    faults
}

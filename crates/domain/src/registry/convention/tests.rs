//! Tests of conventions.

use super::*;

// proves DEP-4
#[test]
fn docs_name_every_gap() {
    let empty = ConventionDocs {
        purpose: " ".into(),
        example_questions: vec![],
        examples: vec![],
        when_not_to_use: None,
        see_also: None,
    };
    let paths: Vec<_> = empty
        .check()
        .unwrap_err()
        .faults
        .iter()
        .map(Fault::path)
        .collect();
    assert_eq!(paths, ["purpose", "examples", "example_questions"]);
    let faults = empty.check().unwrap_err().faults;
    assert_eq!(faults.get(1).map(|fault| fault.rule), Some("too_short"));
    let example = ConventionExample {
        question: "Q1 ".into(),
        query: "q".into(),
        interpretation: "i".into(),
    };
    let docs = ConventionDocs {
        purpose: "p".into(),
        example_questions: vec!["Q1".into(), "Q2".into()],
        examples: vec![example],
        ..empty
    };
    assert_eq!(
        docs.check().unwrap_err().faults.len(),
        1,
        "Q1 twice is one question"
    );
    let enough = ConventionDocs {
        example_questions: vec!["Q2".into(), "Q3".into()],
        ..docs
    };
    assert_eq!(enough.check(), Ok(()));
}

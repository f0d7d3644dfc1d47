//! Refused lines of a push, in the form in which they are reported and stored. All texts are bounded, because a client
//! chooses them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ingest::source_id::MAX_SOURCE_ID_BYTES;
use crate::kind::{Fault, Invalid, Loc};

/// Maximum number of refused lines of pushes that a run stores. All of them are counted.
pub const MAX_STORED_OF_A_RUN: u32 = 10_000;
/// Maximum number of refused lines that are stored of one pull. All of them are counted.
pub const MAX_STORED_OF_A_PULL: u32 = 1000;
/// Maximum number of faults of one line.
const MAX_FAULTS_OF_A_LINE: usize = 20;
/// Maximum length of a fault's description, in characters.
const MAX_MESSAGE: usize = 1000;
/// Maximum length of one step of a path, in characters.
const MAX_STEP: usize = 200;
/// Maximum number of steps of a path.
const MAX_STEPS: usize = 16;

/// One fault of a refused line. Its serde form is that of the API, and of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineFault {
    /// Path to the fault in the line: names and positions, outermost first.
    pub loc: Vec<Value>,
    /// Description of the fault, which names the rule.
    #[serde(rename = "msg")]
    pub message: String,
    /// Stable type of the fault (WC-2).
    #[serde(rename = "type")]
    pub rule: String,
}

impl From<Fault> for LineFault {
    fn from(fault: Fault) -> Self {
        let step = |loc: Loc| match loc {
            Loc::Key(name) | Loc::Item { index: None, name } => Value::String(bounded(&name, MAX_STEP)),
            Loc::Index(index)
            | Loc::Item {
                index: Some(index), ..
            } => Value::from(index),
        };
        Self {
            loc: fault.loc.into_iter().take(MAX_STEPS).map(step).collect(),
            message: bounded(&fault.message, MAX_MESSAGE),
            rule: fault.rule.to_owned(),
        }
    }
}

/// A refused line of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number in the push, from 1; for CSV, the line on which the row begins.
    pub line: u64,
    /// The source id that it names, if it can be read.
    pub source_id: Option<String>,
    /// What is wrong with it; at most 20 faults.
    pub faults: Vec<LineFault>,
    /// A hash of its content. A line with the same number and hash is the same line, sent again.
    pub digest: [u8; 32],
}

impl RefusedLine {
    /// Creates a refused line.
    pub fn new(line: u64, source_id: Option<&str>, digest: [u8; 32], reason: Invalid) -> Self {
        Self {
            line,
            source_id: source_id.map(|id| bounded(id, MAX_SOURCE_ID_BYTES)),
            faults: reason
                .faults
                .into_iter()
                .take(MAX_FAULTS_OF_A_LINE)
                .map(LineFault::from)
                .collect(),
            digest,
        }
    }
}

/// Returns a hash of a line's parts, such as its cells. Different parts have different hashes, even if they are the
/// same when joined.
pub fn line_digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Returns at most `most` characters of a text, without NUL, which the database cannot hold.
fn bounded(text: &str, most: usize) -> String {
    let shown = |c: char| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(shown).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // proves EDG-3
    #[test]
    fn a_refused_line_is_bounded_however_much_was_sent() {
        let long = "ä".repeat(5000);
        let fault = || Fault::value(vec![Loc::from(long.as_str()); 50], long.as_str());
        let reason = Invalid {
            faults: (0..50).map(|_| fault()).collect(),
        };
        let refused = RefusedLine::new(7, Some(&long), [0; 32], reason);
        assert_eq!(refused.faults.len(), MAX_FAULTS_OF_A_LINE);
        let first = &refused.faults[0];
        assert_eq!(first.message.chars().count(), MAX_MESSAGE);
        assert_eq!(first.loc.len(), MAX_STEPS);
        assert_eq!(first.loc[0].as_str().unwrap().chars().count(), MAX_STEP);
        assert_eq!(refused.source_id.unwrap().chars().count(), MAX_SOURCE_ID_BYTES);
    }

    // proves EDG-3
    #[test]
    fn a_fault_is_stored_as_it_is_reported_and_without_nul() {
        let loc = [
            Loc::from("a\0b"),
            Loc::from(3),
            Loc::Item {
                index: None,
                name: "n".to_owned(),
            },
        ];
        let reason = Invalid::one(Fault::value(loc, "must not be \0"));
        let refused = RefusedLine::new(1, Some("x\0"), [0; 32], reason);
        assert_eq!(refused.source_id.as_deref(), Some("x\u{fffd}"));
        let stored = serde_json::to_value(&refused.faults).unwrap();
        assert_eq!(
            stored,
            json!([{"loc": ["a\u{fffd}b", 3, "n"], "msg": "must not be \u{fffd}", "type": "value_error"}])
        );
        let read: Vec<LineFault> = serde_json::from_value(stored).unwrap();
        assert_eq!(read, refused.faults);
    }

    #[test]
    fn parts_that_join_to_one_text_have_different_hashes() {
        let of = |parts: &[&str]| line_digest(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(of(&["a", "bc"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", "bc"]), of(&["ab", "c"]));
        assert_ne!(of(&["abc"]), of(&["abc", ""]));
    }
}

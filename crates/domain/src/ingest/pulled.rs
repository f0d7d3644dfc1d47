//! The output of an ingester: lines of records and a session (WC-5.2).

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::data::cell::has_nul;
use crate::deposit::file::FileName;
use crate::ingest::run::{MAX_LINE_BYTES, PushedRecord};
use crate::ingest::source_id::{MAX_SOURCE_ID_BYTES, SourceId};
use crate::json::parse_exact;
use crate::kind::Invalid;
use crate::registry::schema::MetadataChecker;

/// Maximum number of files of one pulled record.
pub const MAX_FILES_OF_A_RECORD: usize = 1000;
/// Maximum size of a session, in bytes. The database stores it.
pub const MAX_SESSION_BYTES: usize = 1024 * 1024;

/// One record from an ingester, with the names of its files.
#[derive(Clone, Debug, PartialEq)]
pub struct PulledRecord {
    /// The record. Its hash covers the metadata only.
    pub record: PushedRecord,
    /// Names of its files, in the order of the line.
    pub files: Vec<FileName>,
}

/// A line that is not a valid record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPull {
    /// The id in the line, if there is one.
    pub source_id: Option<String>,
    /// The reason for refusing the line.
    pub reason: Invalid,
}

impl PulledRecord {
    /// Parses a line: `{"source_id", "metadata", "files": [{"name", ...}], ...}`, in which `id` is an alias of
    /// `source_id`. Other keys are ignored: the form belongs to the ingesters, and newer ones may add keys.
    pub fn from_line(line: &[u8], checker: &MetadataChecker) -> Result<Self, RefusedPull> {
        let refused = |source_id: Option<&str>, reason: Invalid| RefusedPull {
            source_id: source_id.map(|id| {
                id.chars()
                    .filter(|c| *c != '\0')
                    .take(MAX_SOURCE_ID_BYTES)
                    .collect()
            }),
            reason,
        };
        if line.len() > MAX_LINE_BYTES {
            return Err(refused(
                None,
                Invalid::value(format!("has more than {MAX_LINE_BYTES} bytes")),
            ));
        }
        let Value::Object(mut object) = parse_exact(line).map_err(|e| refused(None, e))? else {
            return Err(refused(None, Invalid::value("must be a JSON object")));
        };
        let id = match object.remove("source_id").or_else(|| object.remove("id")) {
            Some(Value::String(id)) => id,
            Some(_) => {
                return Err(refused(
                    None,
                    Invalid::value("must be a string").of_field("source_id"),
                ));
            }
            None => return Err(refused(None, Invalid::value("is required").of_field("source_id"))),
        };
        let given = id.as_str();
        let source_id: SourceId = id
            .parse()
            .map_err(|e: Invalid| refused(Some(given), e.of_field("source_id")))?;
        let metadata = match object.remove("metadata") {
            Some(Value::Object(map)) if has_nul(&Value::Object(map.clone())) => {
                let why = Invalid::value("must not contain the character NUL").of_field("metadata");
                return Err(refused(Some(given), why));
            }
            Some(Value::Object(map)) => map,
            Some(_) => {
                return Err(refused(
                    Some(given),
                    Invalid::value("must be an object").of_field("metadata"),
                ));
            }
            None => {
                return Err(refused(
                    Some(given),
                    Invalid::value("is required").of_field("metadata"),
                ));
            }
        };
        let files = files(object.remove("files")).map_err(|e| refused(Some(given), e.of_field("files")))?;
        let record =
            PushedRecord::new(source_id, metadata, checker).map_err(|reason| refused(Some(given), reason))?;
        Ok(Self { record, files })
    }
}

fn files(given: Option<Value>) -> Result<Vec<FileName>, Invalid> {
    let list = match given {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MAX_FILES_OF_A_RECORD => list,
        Some(Value::Array(_)) => {
            return Err(Invalid::value(format!(
                "must have at most {MAX_FILES_OF_A_RECORD} entries"
            )));
        }
        Some(_) => return Err(Invalid::value("must be a list")),
    };
    let mut names: Vec<FileName> = Vec::with_capacity(list.len());
    for file in &list {
        let name = file.get("name").and_then(Value::as_str);
        let name: FileName = name
            .ok_or_else(|| Invalid::value("must give each file a string name"))?
            .parse()?;
        if names.contains(&name) {
            return Err(Invalid::value(format!("names {:?} twice", name.as_str())));
        }
        names.push(name);
    }
    Ok(names)
}

/// Returns the content hash of a record with files: equal only for equal metadata and equal files (WC-D21). Without
/// files it is the hash of the metadata, so that pushed and pulled records are the same.
pub fn content_hash_with_files(metadata: [u8; 32], files: &[(FileName, [u8; 32])]) -> [u8; 32] {
    if files.is_empty() {
        return metadata;
    }
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort();
    let mut hash = Sha256::new_with_prefix(metadata);
    for (name, sha256) in sorted {
        hash.update((name.as_str().len() as u64).to_be_bytes());
        hash.update(name.as_str());
        hash.update(sha256);
    }
    hash.finalize().into()
}

/// Parses the session that an ingester left. A session that is not a JSON object is a fault of the ingester: going on
/// without it would lose records.
pub fn session(bytes: &[u8]) -> Result<Map<String, Value>, Invalid> {
    if bytes.len() > MAX_SESSION_BYTES {
        return Err(Invalid::value(format!(
            "must have at most {MAX_SESSION_BYTES} bytes"
        )));
    }
    match parse_exact(bytes) {
        Ok(Value::Object(map)) if has_nul(&Value::Object(map.clone())) => {
            Err(Invalid::value("must not contain the character NUL"))
        }
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Invalid::value("must be a JSON object")),
        Err(invalid) => Err(invalid),
    }
}

/// Returns the maximum number of records of the next pull: a batch, but not more than the rest of the run's limit
/// (WC-6.2).
pub fn pull_limit(batch_size: u32, limit: Option<u64>, pulled: u64) -> u64 {
    let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(pulled));
    u64::from(batch_size).min(left)
}

/// Returns whether another pull follows: the ingester left a session and returned records, and the limit is not
/// reached.
pub fn has_more(session: bool, records: u64, limit: Option<u64>, pulled: u64) -> bool {
    session && records > 0 && limit.is_none_or(|limit| pulled < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<PulledRecord, RefusedPull> {
        PulledRecord::from_line(line.as_bytes(), &MetadataChecker::new(&[]))
    }

    #[test]
    fn an_ingesters_line_is_read_and_what_it_tells_besides_is_passed_over() {
        let line = r#"{"id": "a:1@2", "metadata": {}, "files": [{"name": "x.cif", "relative_path": "a:1@2/x.cif", "size_mb": 1.5}], "fetched_at": null, "new": 1}"#;
        let read = read(line).unwrap();
        assert_eq!(read.record.source_id.as_str(), "a:1@2");
        assert_eq!(read.files, ["x.cif".parse().unwrap()]);
    }

    #[test]
    fn a_line_that_is_no_record_says_why_and_whose_it_is() {
        for (line, id, why) in [
            ("{", None, "JSON"),
            ("[]", None, "object"),
            (r#"{"metadata": {}}"#, None, "required"),
            (r#"{"id": "..", "metadata": {}}"#, Some(".."), "neither"),
            (r#"{"id": "a"}"#, Some("a"), "required"),
            (
                r#"{"id": "a", "metadata": {}, "files": [{"name": "../../etc/passwd"}]}"#,
                Some("a"),
                "plain file name",
            ),
            (
                r#"{"id": "a", "metadata": {}, "files": [{"name": "x"}, {"name": "x"}]}"#,
                Some("a"),
                "twice",
            ),
            (r#"{"id": "a", "metadata": {}, "files": 3}"#, Some("a"), "list"),
        ] {
            let refused = read(line).unwrap_err();
            assert_eq!(refused.source_id.as_deref(), id, "{line}");
            assert!(
                refused.reason.to_string().contains(why),
                "{line}: {}",
                refused.reason
            );
        }
    }

    // proves PIP-2
    #[test]
    fn a_changed_file_changes_the_record_and_their_order_does_not() {
        let file = |name: &str, content: u8| (name.parse().unwrap(), [content; 32]);
        let (a, b) = (file("a", 1), file("b", 2));
        let hash = |files: &[(FileName, [u8; 32])]| content_hash_with_files([7; 32], files);
        assert_eq!(hash(&[]), [7; 32]);
        assert_eq!(hash(&[a.clone(), b.clone()]), hash(&[b.clone(), a.clone()]));
        assert_ne!(hash(&[a.clone(), b.clone()]), hash(std::slice::from_ref(&a)));
        assert_ne!(hash(&[a.clone(), b]), hash(&[a, file("b", 3)]));
    }

    #[test]
    fn limits_and_sessions_decide_whether_there_is_more() {
        assert_eq!(pull_limit(10, None, 1000), 10);
        assert_eq!(pull_limit(10, Some(25), 20), 5);
        assert!(has_more(true, 10, Some(25), 20));
        assert!(!has_more(true, 5, Some(25), 25));
        assert!(!has_more(false, 10, None, 10));
        assert!(!has_more(true, 0, None, 10));
        assert!(session(b"{\"at\": 3}").is_ok());
        for bad in [&b"[]"[..], b"", b"{\"a\":\"\\u0000\"}"] {
            assert!(session(bad).is_err());
        }
    }
}

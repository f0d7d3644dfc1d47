//! A decoded line: a record, or why it is none.

use domain::Invalid;
use domain::ingest::run::PushedRecord;

/// A decoded line: its number, from 1, and the record or why it is none.
pub type DecodedLine = (u64, Result<PushedRecord, Refusal>);

/// Why a line is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The id that the line names, if it can be read.
    pub source_id: Option<String>,
    /// A hash of the line's content: of a row with a fault in its quotes, its first line up to the fault; of a line
    /// that is too long, its beginning.
    pub digest: [u8; 32],
    /// What is wrong with it.
    pub reason: Invalid,
}

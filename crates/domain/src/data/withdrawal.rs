//! Withdrawals of published records (EDG-4).
//!
//! A withdrawal concerns a record with all of its versions, or every version that an ingest run published. A record is
//! withdrawn if it was withdrawn itself, or if the run of its newest version was. The two are independent: restoring the
//! one leaves the other in force.

use std::fmt;

use time::OffsetDateTime;

use crate::ids::{IngestRunId, RecordId};

/// What a withdrawal concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithdrawalSubject {
    /// A record with all of its versions.
    Record(RecordId),
    /// The versions that an ingest run published.
    Run(IngestRunId),
}

/// `record:<id>` or `ingest_run:<id>`, as the activity log names it.
impl fmt::Display for WithdrawalSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(id) => write!(f, "record:{id}"),
            Self::Run(id) => write!(f, "ingest_run:{id}"),
        }
    }
}

/// A withdrawal that is in force. Who withdrew is in the activity log only, because a withdrawal is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Reason for the withdrawal.
    pub reason: String,
    /// Time of the withdrawal by the database's clock.
    pub at: OffsetDateTime,
    /// The ingest run whose records were withdrawn together; `None` if the record itself was withdrawn.
    pub run: Option<IngestRunId>,
}

/// The reason with which a batch refuses a new version of a withdrawn record.
pub const TAKES_NO_VERSION: &str =
    "withdrawn: its record is withdrawn, and gets no new version before it is restored";

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    // proves EDG-4
    #[test]
    fn a_subject_is_named_as_in_the_activity_log() {
        let id = Uuid::from_u128(7);
        let record = WithdrawalSubject::Record(RecordId::from_uuid(id));
        let run = WithdrawalSubject::Run(IngestRunId::from_uuid(id));
        assert_eq!(record.to_string(), format!("record:{id}"));
        assert_eq!(run.to_string(), format!("ingest_run:{id}"));
    }
}

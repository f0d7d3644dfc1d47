//! Depositions: drafts of people that become records (PIP-1, WC-1.5 and WC-6.1).

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::RecordId;
use crate::ids::{HALLMARK, TaskId, UserId};
use crate::kind::{Coded, Fault, Invalid, Kind};
use crate::names::{ConventionSlug, NodeDomain};

/// Maximum size of a deposition's metadata, in bytes of JSON.
pub const MAX_METADATA_BYTES: usize = 1024 * 1024;
/// Maximum number of files of a deposition, for every convention.
pub const MAX_FILES: u64 = 10_000;

/// The id of a deposition within its node: the first 20 characters of a UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DepositionId(String);

impl DepositionId {
    /// Derives the id from a UUID.
    pub fn of(uuid: Uuid) -> Self {
        Self(uuid.to_string().chars().take(20).collect())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the task of the `number`-th submission, which is always the same.
    pub fn submission(&self, number: u64) -> TaskId {
        TaskId::of_submission(&self.0, number)
    }

    /// Returns the SRN of the deposition at this node.
    pub fn srn(&self, node: &NodeDomain) -> String {
        format!("urn:osa:{node}:dep:{self}")
    }

    /// Parses the id in an SRN; `None` for an SRN of another node.
    pub fn from_srn(text: &str, node: &NodeDomain) -> Result<Option<Self>, Invalid> {
        let rule = || Invalid::value("must be urn:osa:<domain>:dep:<id>");
        let lower = text.trim().to_ascii_lowercase();
        let parts: Vec<&str> = lower.split(':').collect();
        let ["urn", "osa", domain, "dep", id] = parts.as_slice() else {
            return Err(rule());
        };
        let domain: NodeDomain = domain.parse().map_err(|_| rule())?;
        let id: Self = id.parse().map_err(|_| rule())?;
        Ok((domain == *node).then_some(id))
    }
}

impl fmt::Display for DepositionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DepositionId {
    type Err = Invalid;

    /// Parses the local part of an SRN (WC-4.7).
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (3..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::value("must be 3 to 64 characters a-z, 0-9 or -"))
        }
    }
}

/// Status of a deposition (WC-6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepositionStatus {
    /// Its owner edits it.
    Draft,
    /// Its hooks are running.
    InValidation,
    /// It passed every hook and awaits a curator's decision.
    InReview,
    /// It is published.
    Accepted,
}

impl DepositionStatus {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::InValidation => "in_validation",
            Self::InReview => "in_review",
            Self::Accepted => "accepted",
        }
    }
}

impl FromStr for DepositionStatus {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Draft, Self::InValidation, Self::InReview, Self::Accepted]
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Invalid::value("must be draft, in_validation, in_review or accepted"))
    }
}

/// State of a submission, as in `GET /validation/runs/{id}` (WC-1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmissionStatus {
    /// No worker has started it.
    Pending,
    /// Its hooks are running.
    Running,
    /// It passed.
    Completed,
    /// A hook or a curator rejected it.
    Rejected,
    /// It could not be judged.
    Failed,
}

impl SubmissionStatus {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    /// Returns the verdict: `None` while there is none, and `None` if nothing was judged.
    pub const fn summary(self) -> Option<&'static str> {
        match self {
            Self::Completed => Some("passed"),
            Self::Rejected => Some("rejected"),
            Self::Pending | Self::Running | Self::Failed => None,
        }
    }
}

impl FromStr for SubmissionStatus {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        [
            Self::Pending,
            Self::Running,
            Self::Completed,
            Self::Rejected,
            Self::Failed,
        ]
        .into_iter()
        .find(|s| s.as_str() == text)
        .ok_or_else(|| Invalid::value("must be pending, running, completed, rejected or failed"))
    }
}

/// An operation on a deposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepositionUse {
    /// Reading it and its files.
    Read,
    /// Changing it or its files, and submitting it.
    Write,
    /// Approving or rejecting it.
    Curate,
}

/// Returns whether a user may do this to a deposition of this owner (WC-1.5). Its owner and curators may read it. Only
/// its owner may write it, not even an admin. Curators may decide on it unless it is their own.
pub fn may(what: DepositionUse, owner: UserId, asker: Option<UserId>, is_curator: bool) -> bool {
    let owns = asker == Some(owner);
    match what {
        DepositionUse::Read => owns || is_curator,
        DepositionUse::Write => owns,
        DepositionUse::Curate => is_curator && !owns,
    }
}

/// Reason for refusing an operation on a deposition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DepositionError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The convention does not exist.
    #[error("there is no convention {0}")]
    UnknownConvention(ConventionSlug),
    /// The deposition does not exist.
    #[error("there is no deposition {0}")]
    Unknown(String),
    /// The deposition has no such file.
    #[error("the deposition has no file {0:?}")]
    UnknownFile(String),
    /// The validation run does not exist.
    #[error("there is no validation run {0}")]
    UnknownValidation(TaskId),
    /// Another user must do this.
    #[error("{}", match .0 {
        DepositionUse::Read => "only its owner and curators may read a deposition",
        DepositionUse::Write => "only its owner may change a deposition",
        DepositionUse::Curate => "only a curator who is not its owner may decide on a deposition",
    })]
    NotAllowed(DepositionUse),
    /// The owner has as many drafts as they may.
    #[error("you have {0} drafts, as many as a user may have; submit some of them before you begin another")]
    TooManyDrafts(u32),
    /// The status does not allow this.
    #[error("the deposition is {}; {needs}", status.as_str())]
    State {
        /// Status of the deposition.
        status: DepositionStatus,
        /// The required status, in words.
        needs: &'static str,
    },
}

impl Coded for DepositionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::UnknownConvention(_)
            | Self::Unknown(_)
            | Self::UnknownFile(_)
            | Self::UnknownValidation(_) => Kind::NotFound,
            Self::NotAllowed(_) => Kind::Forbidden,
            Self::State { .. } | Self::TooManyDrafts(_) => Kind::Conflict,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(e) => e.code(),
            Self::UnknownConvention(_)
            | Self::Unknown(_)
            | Self::UnknownFile(_)
            | Self::UnknownValidation(_) => "NotFoundError",
            Self::NotAllowed(_) => "access_denied",
            Self::State { .. } => "InvalidStateError",
            Self::TooManyDrafts(_) => "too_many_drafts",
        }
    }
    fn faults(&self) -> &[Fault] {
        if let Self::Invalid(e) = self {
            e.faults()
        } else {
            &[]
        }
    }
}

impl TaskId {
    /// Returns the task that runs the hooks over the `number`-th submission of a deposition.
    pub(crate) fn of_submission(deposition: &str, number: u64) -> Self {
        Self::from_uuid(Uuid::new_v5(
            &HALLMARK,
            format!("submission:{deposition}:{number}").as_bytes(),
        ))
    }
}

impl RecordId {
    /// Returns the record that a deposition becomes.
    pub fn of_deposition(deposition: &DepositionId) -> Self {
        Self::from_uuid(Uuid::new_v5(
            &HALLMARK,
            format!("record-of-deposition:{deposition}").as_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    // proves PIP-1
    #[test]
    fn owners_write_curators_read_and_no_user_decides_about_their_own() {
        use DepositionUse::{Curate, Read, Write};
        let owner = user(1);
        for (asker, curator, expected) in [
            (Some(owner), false, [true, true, false]),
            (Some(owner), true, [true, true, false]),
            (Some(user(2)), false, [false, false, false]),
            (Some(user(2)), true, [true, false, true]),
            (None, false, [false, false, false]),
        ] {
            let may = [Read, Write, Curate].map(|what| may(what, owner, asker, curator));
            assert_eq!(may, expected, "{asker:?} {curator}");
        }
    }

    #[test]
    fn an_srn_names_a_deposition_of_its_node() {
        let node: NodeDomain = "archive.example.org".parse().unwrap();
        let id = DepositionId::of(Uuid::from_u128(7));
        assert_eq!(id.as_str().len(), 20);
        assert_eq!(
            DepositionId::from_srn(&id.srn(&node), &node).unwrap(),
            Some(id.clone())
        );
        let elsewhere = "urn:osa:other.org:dep:abc";
        assert_eq!(DepositionId::from_srn(elsewhere, &node).unwrap(), None);
        for bad in [
            "",
            "abc",
            "urn:osa:other.org:rec:abc",
            "urn:osa:other.org:dep:a/b",
            "urn:osa:x:dep:a:b",
        ] {
            assert!(DepositionId::from_srn(bad, &node).is_err(), "{bad:?}");
        }
        assert_ne!(id.submission(1), id.submission(2));
    }
}

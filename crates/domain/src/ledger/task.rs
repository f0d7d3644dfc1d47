//! Tasks: requested units of work.

use std::fmt;
use std::str::FromStr;

use crate::ids::TaskId;
use crate::kind::{Coded, Invalid, Kind};

/// Maximum length of a task's name, in bytes.
pub const MAX_NAME_BYTES: usize = 500;
/// Maximum size of a task's parameters, in bytes of JSON.
pub const MAX_PARAMS_BYTES: usize = 64 * 1024;

/// Kind of a task's work: a name such as `ingest_batch` or `my-lab.recalibrate`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKind(String);

impl TaskKind {
    /// Running a convention's hooks over one batch of an ingest run; one of the server's own kinds.
    pub const INGEST_BATCH: &'static str = "ingest_batch";

    /// Pulling the next records from an ingester.
    pub const INGEST_PULL: &'static str = "ingest_pull";
    /// Running the hooks over a submitted deposition.
    pub const SUBMISSION: &'static str = "submission";
    /// The kinds of the server's own work.
    pub const OWN: [&'static str; 3] = [Self::INGEST_BATCH, Self::INGEST_PULL, Self::SUBMISSION];

    /// Returns the own kind of this name, which is one of [`Self::OWN`].
    pub fn own(name: &'static str) -> Self {
        debug_assert!(Self::OWN.contains(&name));
        Self(name.to_owned())
    }

    /// Returns [`Self::INGEST_BATCH`].
    pub fn ingest_batch() -> Self {
        Self(Self::INGEST_BATCH.to_owned())
    }

    /// Returns the name in the database and on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this kind is reserved for the server's own work.
    pub fn is_own(&self) -> bool {
        Self::OWN.contains(&self.0.as_str())
    }
}

impl FromStr for TaskKind {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = text.bytes();
        let begins = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let goes_on =
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.'));
        if begins && goes_on && text.len() <= 64 {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::value(
                "must have 1 to 64 characters a-z, 0-9, _, - or ., and begin with a letter",
            ))
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// No worker holds it.
    Queued,
    /// A worker holds a delegation of it.
    Running,
    /// The work is done.
    Completed,
    /// The work failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl TaskStatus {
    /// All statuses.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Returns the name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether the status is final.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl FromStr for TaskStatus {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Invalid::value("must be one of queued, running, completed, failed and cancelled"))
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Permission on a task (AUD-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskAccess {
    /// View it.
    Read,
    /// View it, cancel it, update its status, and delegate it.
    Operate,
    /// All of that, and share it: for its creator, and admins.
    Own,
}

/// Reason for refusing an operation on a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It does not exist, or the caller may not know that it does (AUD-6).
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// The caller may view it, but lacks the permission for this operation.
    #[error("not allowed to {what} task {task}: requires {needs}")]
    NotAllowed {
        /// The task.
        task: TaskId,
        /// The denied operation, as a verb.
        what: &'static str,
        /// The required permission, in words.
        needs: &'static str,
    },
    /// It has a final status.
    #[error("task {task} is {status}, a final state")]
    Over {
        /// The task.
        task: TaskId,
        /// Its final status.
        status: TaskStatus,
    },
    /// The key was used for another request.
    #[error("the idempotency key was used for another task, {0}, with another kind, name or parameters")]
    OtherRequest(TaskId),
    /// The server itself works on it and sets its status.
    #[error("task {0} is the server's own work: it can be cancelled, but only the server sets its status")]
    OwnWork(TaskId),
    /// Another party holds a delegation of it.
    #[error("task {task} is delegated as {delegation:?}: only the holder of the delegation sets its status")]
    Delegated {
        /// The task.
        task: TaskId,
        /// The delegation.
        delegation: String,
    },
    /// The caller created as many as it may.
    #[error("a caller may create at most {most} tasks in a {period}; try again later")]
    TooMany {
        /// The maximum.
        most: u32,
        /// `minute` or `day`.
        period: &'static str,
    },
    /// The grantee has no permission on it.
    #[error("task {task} is not shared with {grantee}")]
    NotShared {
        /// The task.
        task: TaskId,
        /// The grantee.
        grantee: String,
    },
}

impl Coded for TaskError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownTask(_) | Self::NotShared { .. } => Kind::NotFound,
            Self::NotAllowed { .. } => Kind::Forbidden,
            Self::TooMany { .. } => Kind::TooMany,
            Self::Over { .. } | Self::OtherRequest(_) | Self::OwnWork(_) | Self::Delegated { .. } => {
                Kind::Conflict
            }
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownTask(_) => "task_not_found",
            Self::NotAllowed { .. } => "access_denied",
            Self::TooMany { .. } => "rate_limited",
            Self::Over { .. } => "task_over",
            Self::OtherRequest(_) => "idempotency_conflict",
            Self::OwnWork(_) => "task_of_server",
            Self::Delegated { .. } => "task_delegated",
            Self::NotShared { .. } => "task_grant_not_found",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_names_and_the_servers_own_are_known() {
        for good in ["ingest_batch", "a", "my-lab.recalibrate_2"] {
            assert_eq!(good.parse::<TaskKind>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "1a", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(bad.parse::<TaskKind>().is_err(), "{bad:?}");
        }
        assert!(TaskKind::ingest_batch().is_own() && !"other".parse::<TaskKind>().unwrap().is_own());
    }

    #[test]
    fn states_read_back() {
        for status in TaskStatus::ALL {
            assert_eq!(status.as_str().parse::<TaskStatus>(), Ok(status));
        }
        assert!("stuck".parse::<TaskStatus>().is_err());
    }
}

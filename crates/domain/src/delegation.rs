//! Delegations: the durable fact that a task was handed by a caller to a callee (LED).

use std::fmt;
use std::str::FromStr;

use crate::ids::TaskId;
use crate::kind::Invalid;

/// The most characters of a task or result preview.
pub const MOST_PREVIEW: usize = 500;

/// How often a task is delegated again after the first time. Generous, because a server that is restarted while it works counts too;
/// the growing delay keeps a task that always fails from being a burden meanwhile.
pub const MOST_RETRIES: u32 = 20;

/// A delegation's id, chosen by the caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelegationId(String);

impl DelegationId {
    /// The id of the server's own n-th delegation of a task: derived, so that delegating it twice is one delegation.
    pub fn of_task(task: TaskId, retry: u32) -> Self {
        Self(format!("{task}.{retry}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DelegationId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
            return Err(Invalid::value(
                "must have 1 to 200 bytes and no control characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DelegationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a delegation (LED-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DelegationStatus {
    /// Written down; nobody holds it.
    Queued,
    /// Handed to a callee that has not begun.
    Dispatched,
    /// A callee works on it.
    InProgress,
    /// Done.
    Completed,
    /// Given up by the callee.
    Failed,
    /// The callee fell silent, or time ran out.
    Stuck,
}

impl DelegationStatus {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Dispatched,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Stuck,
    ];

    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dispatched => "dispatched",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
        }
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stuck)
    }

    /// Whether this state may become `next`: forward only, nothing after a final one; the same state again is a no-op
    /// and allowed.
    pub fn may_become(self, next: Self) -> bool {
        self == next || (!self.is_final() && next > self)
    }
}

impl FromStr for DelegationStatus {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Invalid::value("is no state of a delegation"))
    }
}

/// The first characters of a text that may be long.
pub fn preview(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MOST_PREVIEW).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves LED-2
    #[test]
    fn moves_are_forward_only_and_final_states_are_final() {
        use DelegationStatus::{Completed, Dispatched, Failed, InProgress, Queued, Stuck};
        for from in DelegationStatus::ALL {
            assert!(from.may_become(from), "the same state again is a no-op");
            for to in DelegationStatus::ALL {
                let forward = match from {
                    Queued => true,
                    Dispatched => to != Queued,
                    InProgress => !matches!(to, Queued | Dispatched),
                    Completed | Failed | Stuck => to == from,
                };
                assert_eq!(from.may_become(to), forward, "{from:?} to {to:?}");
            }
        }
    }
}

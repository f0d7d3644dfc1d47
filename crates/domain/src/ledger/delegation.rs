//! Delegations: the durable fact that a task was handed by a caller to a callee (LED).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::data::activity::Actor;
use crate::ids::{ServiceAccountId, TaskId, UserId};
use crate::kind::{Coded, Invalid, Kind};

/// The most characters of a task or result preview.
pub const MAX_PREVIEW: usize = 500;

/// How often a task is delegated again after the first time. Generous, because a server that is restarted while it works counts too;
/// the growing delay keeps a task that always fails from being a burden meanwhile.
pub const MAX_RETRIES: u32 = 20;

/// How often a caller may have a delegation of its own handed out again after it got stuck, and how often that is where nothing is said.
pub const RETRIES: (u32, u32) = (3, MAX_RETRIES);
/// How deep delegations may be nested: the holder of one delegates, the holder of that one, and so on.
pub const MAX_DEPTH: u32 = 16;
/// The most bytes of an input or a result, as JSON.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// The shortest and the longest time until a caller's deadline.
pub const DEADLINE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(30 * 24));
/// The longest delay before a delegation can be claimed.
pub const MAX_DELAY: Duration = Duration::from_hours(7 * 24);
/// The most delegations that one call claims, beats for or ends.
pub const MAX_AT_ONCE: usize = 50;

/// What stands between an id and the number of a retry, so that no caller can choose the id of a retry.
const RETRY_MARK: char = '~';

/// A delegation's id, chosen by the caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelegationId(String);

impl DelegationId {
    /// The id of the server's own n-th delegation of a task: derived, so that delegating it twice is one delegation.
    pub fn of_task(task: TaskId, retry: u32) -> Self {
        Self(format!("{task}.{retry}"))
    }

    /// An id that a caller chose: none that the server itself could give, by [`Self::of_task`] or [`Self::retry`].
    pub fn chosen(text: &str) -> Result<Self, Invalid> {
        let of_task = text
            .split_once('.')
            .is_some_and(|(task, _)| task.parse::<TaskId>().is_ok());
        if of_task {
            return Err(Invalid::value(
                "must not begin with a UUID and a dot: such are the ids of the server's own delegations",
            ));
        }
        if text.len() > 180 || text.contains(RETRY_MARK) {
            return Err(Invalid::value(
                "must have at most 180 bytes, and no ~, which marks what is handed out again",
            ));
        }
        text.parse()
    }

    /// The id under which this delegation's task is handed out for the n-th time after the first.
    #[must_use]
    pub fn retry(&self, retry: u32) -> Self {
        let first = self.0.split(RETRY_MARK).next().unwrap_or_default();
        Self(format!("{first}{RETRY_MARK}{retry}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who hands over or is handed a delegation: a principal, as `user:<id>` or `service_account:<id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(String);

impl Party {
    /// The party that a principal is; the server itself is none.
    pub fn of(actor: &Actor) -> Option<Self> {
        (*actor != Actor::System).then(|| Self(actor.to_string()))
    }

    /// The name in the database and on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The principal.
    pub fn actor(&self) -> Actor {
        let id = |prefix: &str| self.0.strip_prefix(prefix);
        if let Some(user) = id("user:").and_then(|id| id.parse::<UserId>().ok()) {
            return Actor::User(user);
        }
        match id("service_account:").and_then(|id| id.parse::<ServiceAccountId>().ok()) {
            Some(account) => Actor::ServiceAccount(account),
            None => Actor::System,
        }
    }
}

impl FromStr for Party {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Written anew from the id, so that one party has one name however its id was written.
        match Self(text.to_owned()).actor() {
            Actor::System => Err(Invalid::value(
                "must be user:<id> or service_account:<id>, with a UUID as id",
            )),
            actor => Ok(Self(actor.to_string())),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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

impl fmt::Display for DelegationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

/// How long work waits before it is handed out for the n-th time after a failure: 2 s, then doubled, at most 5 minutes.
pub fn backoff(retry: u32) -> Duration {
    Duration::from_secs(1 << retry.min(9)).min(Duration::from_mins(5))
}

/// Why something about a delegation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// There is none, or the caller is no party to it.
    #[error("there is no delegation {0:?}")]
    UnknownDelegation(String),
    /// The caller is a party to it, and not the one who may do this.
    #[error("not allowed to {what} delegation {id:?}: that is for its {who}")]
    NotAllowed {
        /// The delegation.
        id: String,
        /// What was asked for.
        what: &'static str,
        /// Who may.
        who: &'static str,
    },
    /// It is not held under this attempt, by this callee, any more (LED-6).
    #[error(
        "delegation {id:?} is not held under attempt {attempt}; it is {status}, and its last attempt is {last}. An end that comes too late is kept in the attempt log and not applied: stop working on it"
    )]
    NotHeld {
        /// The delegation.
        id: String,
        /// The attempt that was named.
        attempt: i64,
        /// How it stands.
        status: DelegationStatus,
        /// Its last attempt.
        last: i64,
    },
    /// The id or the key was used for another request.
    #[error("the {what} was used for another delegation, with another body")]
    OtherRequest {
        /// `delegation_id` or `idempotency_key`.
        what: &'static str,
    },
    /// The parent is not held by the caller.
    #[error(
        "parent {0:?} is not held by the caller, or not under that attempt: only its holder delegates below it"
    )]
    ParentNotHeld(String),
    /// It would be nested too deep.
    #[error("delegations are nested at most {MAX_DEPTH} deep")]
    TooDeep,
    /// It has ended.
    #[error("delegation {id:?} is {status}; nothing follows that")]
    Over {
        /// The delegation.
        id: String,
        /// How it ended.
        status: DelegationStatus,
    },
    /// It can be handed out again only when it got stuck or failed.
    #[error("delegation {id:?} is {status}; only what is stuck or failed is handed out again")]
    NotOver {
        /// The delegation.
        id: String,
        /// How it stands.
        status: DelegationStatus,
    },
    /// It was handed out again already.
    #[error("delegation {id:?} was handed out again, as {by:?}")]
    HandedOutAgain {
        /// The delegation.
        id: String,
        /// As what.
        by: String,
    },
    /// It was moved to the archive, its task is done or called off, or its id was taken.
    #[error(
        "delegation {0:?} cannot be handed out again: its task has ended or is delegated otherwise, its caller does not hold its parent any more, or it is in the archive"
    )]
    CannotGoOn(String),
    /// It was handed out as often as was allowed.
    #[error("delegation {id:?} was handed out again {retries} times, which is as often as was allowed")]
    RetriesExhausted {
        /// The delegation.
        id: String,
        /// How often.
        retries: u32,
    },
}

impl Coded for DelegationError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownDelegation(_) => Kind::NotFound,
            Self::NotAllowed { .. } => Kind::Forbidden,
            _ => Kind::Conflict,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownDelegation(_) => "delegation_not_found",
            Self::NotAllowed { .. } => "access_denied",
            Self::NotHeld { .. } => "delegation_not_held",
            Self::OtherRequest { .. } => "idempotency_conflict",
            Self::ParentNotHeld(_) => "parent_not_held",
            Self::TooDeep => "delegation_too_deep",
            Self::Over { .. } => "delegation_over",
            Self::NotOver { .. } => "delegation_not_over",
            Self::HandedOutAgain { .. } => "delegation_handed_out_again",
            Self::CannotGoOn(_) => "delegation_cannot_go_on",
            Self::RetriesExhausted { .. } => "retries_exhausted",
        }
    }
}

/// The first characters of a text that may be long.
pub fn preview(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MAX_PREVIEW).collect()
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

    #[test]
    fn no_caller_can_choose_the_id_of_a_retry() {
        let id = DelegationId::chosen("a/b 7").unwrap();
        assert_eq!(id.retry(1).as_str(), "a/b 7~1");
        assert_eq!(id.retry(1).retry(2).as_str(), "a/b 7~2");
        let own = DelegationId::of_task(TaskId::from_uuid(uuid::Uuid::from_u128(7)), 0);
        for bad in [
            "",
            "a~1",
            "a\nb",
            &"x".repeat(181),
            own.as_str(),
            &own.as_str().to_uppercase(),
        ] {
            assert!(DelegationId::chosen(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_party_has_one_name() {
        let id = "0190f3c2-6b1c-7c3e-9d52-0a1b2c3d4e5f";
        let party: Party = format!("user:{}", id.to_uppercase()).parse().unwrap();
        assert_eq!(party.as_str(), format!("user:{id}"));
        assert_eq!(Party::of(&party.actor()), Some(party));
        for bad in ["", "user:", "hallmark:workers", "system", id] {
            assert!(bad.parse::<Party>().is_err(), "{bad:?}");
        }
        assert_eq!(Party::of(&Actor::System), None);
    }

    #[test]
    fn delays_grow_and_are_bounded() {
        assert_eq!([1, 2, 3].map(|n| backoff(n).as_secs()), [2, 4, 8]);
        assert_eq!(backoff(9), Duration::from_secs(300));
        assert_eq!(backoff(u32::MAX), Duration::from_secs(300));
    }
}

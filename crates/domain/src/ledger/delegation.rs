//! Delegations: the durable fact that a caller delegated a task to a callee (LED).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::data::activity::Actor;
use crate::ids::{ServiceAccountId, TaskId, UserId};
use crate::kind::{Coded, Invalid, Kind};

/// Maximum length of a task or result preview, in characters.
pub const MAX_PREVIEW: usize = 500;

/// Maximum number of retries of a task. It is generous, because a server restart during the work counts as well; the
/// growing delay keeps a task that always fails from becoming a burden.
pub const MAX_RETRIES: u32 = 20;
/// A task during which this many servers ended is worked on alone: nothing else runs beside it on its server.
pub const ALONE_AFTER_CRASHES: u32 = 2;

/// Number of automatic retries after a delegation of a caller got stuck: default and maximum.
pub const RETRIES: (u32, u32) = (3, MAX_RETRIES);
/// Maximum nesting depth: the holder of one delegation delegates, the holder of that one does so, and so on.
pub const MAX_DEPTH: u32 = 16;
/// Maximum size of an input or a result, in bytes of JSON.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// Minimum and maximum time until a caller's deadline.
pub const DEADLINE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(30 * 24));
/// Maximum delay before a delegation can be claimed.
pub const MAX_DELAY: Duration = Duration::from_hours(7 * 24);
/// Maximum number of delegations in one claim, heartbeat or completion request.
pub const MAX_AT_ONCE: usize = 50;
/// Maximum length of an id that a caller chooses, in bytes.
const MAX_CHOSEN: usize = 180;
/// Maximum length of an id, in bytes: of a chosen one with its caller in front and the number of a retry behind.
const MAX_ID: usize = 256;

/// Separates an id from the number of a retry, so that no caller can choose the id of a retry.
const RETRY_MARK: char = '~';

/// Id of a delegation, chosen by the caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelegationId(String);

impl DelegationId {
    /// Derives the id of the server's own n-th delegation of a task, so that creating it twice results in one
    /// delegation.
    pub fn of_task(task: TaskId, retry: u32) -> Self {
        Self(format!("{task}.{retry}"))
    }

    /// Parses an id that a caller chose. Refuses ids that the server itself could create by [`Self::of_task`] or
    /// [`Self::retry`].
    pub fn chosen(text: &str) -> Result<Self, Invalid> {
        let of_task = text
            .split_once('.')
            .is_some_and(|(task, _)| task.parse::<TaskId>().is_ok());
        if of_task {
            return Err(Invalid::value(
                "must not begin with a UUID and a dot, which the server's own delegations use",
            ));
        }
        if text.len() > MAX_CHOSEN || text.contains(RETRY_MARK) {
            return Err(Invalid::value(format!(
                "must have at most {MAX_CHOSEN} bytes, and no ~, which marks retries"
            )));
        }
        text.parse()
    }

    /// Returns the party that alone may choose this id: the one that it begins with, before a colon. Other ids are
    /// free to all: see [`Self::of_party`].
    pub fn namespace(&self) -> Option<Party> {
        let (kind, rest) = self.0.split_once(':')?;
        let (id, _) = rest.split_once(':')?;
        format!("{kind}:{id}").parse().ok()
    }

    /// Returns the id under which a party's delegation of this id is stored if another party has the id: with the
    /// party's name in front, where no other may choose it.
    #[must_use]
    pub fn of_party(&self, party: &str) -> Self {
        Self(format!("{party}:{}", self.0))
    }

    /// Returns the id of the n-th retry of this delegation's task.
    #[must_use]
    pub fn retry(&self, retry: u32) -> Self {
        let first = self.0.split(RETRY_MARK).next().unwrap_or_default();
        Self(format!("{first}{RETRY_MARK}{retry}"))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A party of a delegation: a principal, as `user:<id>` or `service_account:<id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(String);

impl Party {
    /// Returns the party of a principal; the server itself is not a party.
    pub fn of(actor: &Actor) -> Option<Self> {
        (*actor != Actor::System).then(|| Self(actor.to_string()))
    }

    /// Returns the name in the database and on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the principal.
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
        // Normalizes the name, so that one party has one name in every spelling of its id.
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
        if text.is_empty() || text.len() > MAX_ID || text.chars().any(char::is_control) {
            return Err(Invalid::value(format!(
                "must have 1 to {MAX_ID} bytes and no control characters"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DelegationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Status of a delegation (LED-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DelegationStatus {
    /// Created; no callee holds it.
    Queued,
    /// Claimed by a callee that has not started.
    Dispatched,
    /// The callee is working on it.
    InProgress,
    /// The callee completed it.
    Completed,
    /// The callee gave up, or it was cancelled.
    Failed,
    /// The lease expired, or the deadline passed.
    Stuck,
}

impl DelegationStatus {
    /// All statuses.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Dispatched,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Stuck,
    ];

    /// Returns the name in the database and on the wire.
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

    /// Returns whether the status is final.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stuck)
    }

    /// Returns whether this status may become `next`: forward only, and no status follows a final one. The same status
    /// again is allowed and has no effect.
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
            .ok_or_else(|| Invalid::value("is not a status of a delegation"))
    }
}

/// Returns the delay before the n-th retry after a failure: 2 s, then doubled, at most 5 minutes.
pub fn backoff(retry: u32) -> Duration {
    Duration::from_secs(1 << retry.min(9)).min(Duration::from_mins(5))
}

/// Reason for refusing an operation on a delegation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// It does not exist, or the caller is not a party to it.
    #[error("there is no delegation {0:?}")]
    UnknownDelegation(String),
    /// The caller is a party to it, but only the other party may do this.
    #[error("not allowed to {what} delegation {id:?}: only its {who} may do that")]
    NotAllowed {
        /// The delegation.
        id: String,
        /// The denied operation, as a verb.
        what: &'static str,
        /// The party that may do this.
        who: &'static str,
    },
    /// The callee does not hold it under this attempt, or no longer does (LED-6).
    #[error(
        "delegation {id:?} is not held under attempt {attempt}; it is {status}, and its last \
         attempt is {last}. The late report is recorded in the attempt log but not applied: stop working on it"
    )]
    NotHeld {
        /// The delegation.
        id: String,
        /// The attempt in the request.
        attempt: i64,
        /// Its current status.
        status: DelegationStatus,
        /// Its last attempt.
        last: i64,
    },
    /// The caller used the id or the key for another request.
    #[error("the {what} was used for another delegation, with another body")]
    OtherRequest {
        /// `delegation_id` or `idempotency_key`.
        what: &'static str,
    },
    /// The id lies in the namespace of another party.
    #[error("ids that begin with {0}: belong to that party; choose another delegation_id")]
    OthersId(String),
    /// The callee takes no work from this caller.
    #[error(
        "{callee} does not take delegations from {caller}: ask it to add {caller} to its list (PUT \
         /api/v1/callees/me/callers), or choose another callee"
    )]
    NotAccepted {
        /// The callee.
        callee: String,
        /// The caller.
        caller: String,
    },
    /// The caller created as many as it may.
    #[error("a caller may create at most {most} delegations in a {period}; try again later")]
    TooMany {
        /// The maximum.
        most: u32,
        /// `minute` or `day`.
        period: &'static str,
    },
    /// The caller does not hold the parent.
    #[error(
        "the caller does not hold parent {0:?} under that attempt; only its holder may delegate below it"
    )]
    ParentNotHeld(String),
    /// It would exceed the maximum nesting depth.
    #[error("delegations are nested at most {MAX_DEPTH} deep")]
    TooDeep,
    /// It has a final status.
    #[error("delegation {id:?} is {status}, a final state")]
    Over {
        /// The delegation.
        id: String,
        /// Its final status.
        status: DelegationStatus,
    },
    /// Only stuck or failed delegations can be retried.
    #[error("delegation {id:?} is {status}; only a stuck or failed delegation can be retried")]
    NotOver {
        /// The delegation.
        id: String,
        /// Its current status.
        status: DelegationStatus,
    },
    /// It has already been retried.
    #[error("delegation {id:?} has already been retried as {by:?}")]
    AlreadyRetried {
        /// The delegation.
        id: String,
        /// Id of the retry.
        by: String,
    },
    /// It is archived, its task is done or cancelled, or its id is in use.
    #[error(
        "delegation {0:?} cannot be retried: its task has ended or has another delegation, its caller \
         no longer holds its parent, or it is in the archive"
    )]
    CannotGoOn(String),
    /// Its retries are used up.
    #[error("delegation {id:?} has been retried {retries} times, which is the maximum")]
    RetriesExhausted {
        /// The delegation.
        id: String,
        /// Number of retries.
        retries: u32,
    },
}

impl Coded for DelegationError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownDelegation(_) => Kind::NotFound,
            Self::NotAllowed { .. } | Self::OthersId(_) | Self::NotAccepted { .. } => Kind::Forbidden,
            Self::TooMany { .. } => Kind::TooMany,
            _ => Kind::Conflict,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownDelegation(_) => "delegation_not_found",
            Self::NotAllowed { .. } | Self::OthersId(_) => "access_denied",
            Self::NotAccepted { .. } => "caller_not_accepted",
            Self::TooMany { .. } => "rate_limited",
            Self::NotHeld { .. } => "delegation_not_held",
            Self::OtherRequest { .. } => "idempotency_conflict",
            Self::ParentNotHeld(_) => "parent_not_held",
            Self::TooDeep => "delegation_too_deep",
            Self::Over { .. } => "delegation_over",
            Self::NotOver { .. } => "delegation_not_over",
            Self::AlreadyRetried { .. } => "delegation_handed_out_again",
            Self::CannotGoOn(_) => "delegation_cannot_go_on",
            Self::RetriesExhausted { .. } => "retries_exhausted",
        }
    }
}

/// Returns the first characters of a text that may be long.
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

    // proves ISO-5
    #[test]
    fn an_id_of_another_has_a_place_of_the_callers_own() {
        let party = "service_account:00000000-0000-7000-8000-0000000000a1";
        let chosen = DelegationId::chosen(&"x".repeat(MAX_CHOSEN)).unwrap();
        let own = chosen.of_party(party);
        assert_eq!(own.namespace(), Some(party.parse().unwrap()));
        // It is an id like others, and so are its retries.
        for id in [own.retry(MAX_RETRIES), own] {
            assert_eq!(id.as_str().parse::<DelegationId>(), Ok(id));
        }
        let short = DelegationId::chosen("nightly").unwrap();
        assert_eq!(
            short.of_party(party).retry(1),
            short.retry(1).of_party(party),
            "a retry is found by the id of the first one"
        );
    }

    // proves ISO-5
    #[test]
    fn an_id_that_begins_with_a_party_belongs_to_it() {
        let party = "user:00000000-0000-7000-8000-0000000000a1";
        let of = |text: &str| DelegationId::chosen(text).unwrap().namespace();
        assert_eq!(of(&format!("{party}:nightly:2")), Some(party.parse().unwrap()));
        assert_eq!(
            of("user:00000000-0000-7000-8000-0000000000A1:x"),
            Some(party.parse().unwrap()),
            "in any spelling"
        );
        for free in [party, "nightly", "user:x:y", "a:b:c", ":", ""] {
            if let Ok(id) = DelegationId::chosen(free) {
                assert_eq!(id.namespace(), None, "{free}");
            }
        }
    }
}

//! Who did what: the entries of the activity log, which is the audit trail and the changefeed at once.

use std::fmt;

use serde_json::Value;

use crate::ids::{ServiceAccountId, UserId};

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person.
    User(UserId),
    /// A machine.
    ServiceAccount(ServiceAccountId),
    /// The server itself: schedulers and workers.
    System,
}

impl Actor {
    /// The user, if it is one.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(*id),
            _ => None,
        }
    }

    /// The service account, if it is one.
    pub const fn service_account(&self) -> Option<ServiceAccountId> {
        match self {
            Self::ServiceAccount(id) => Some(*id),
            _ => None,
        }
    }

    /// The actor of a pair of columns of which at most one is set.
    pub fn from_ids(user: Option<UserId>, service_account: Option<ServiceAccountId>) -> Self {
        match (user, service_account) {
            (Some(id), _) => Self::User(id),
            (None, Some(id)) => Self::ServiceAccount(id),
            (None, None) => Self::System,
        }
    }
}

/// `user:<id>`, `service_account:<id>` or `system`: the form in which answers name an actor (REG-7).
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::ServiceAccount(id) => write!(f, "service_account:{id}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// One entry of the activity log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened, as a class name of wire contract 1.7 or one of ours in the same form.
    pub kind: &'static str,
    /// What it happened to.
    pub subject: String,
    /// Who did it.
    pub actor: Actor,
    /// What else is known.
    pub payload: Value,
}

//! Entries of the activity log, which is both the audit trail and the changefeed.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use uuid::Uuid;

use crate::ids::{ServiceAccountId, UserId};
use crate::kind::Invalid;

/// The author of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A user.
    User(UserId),
    /// A service account.
    ServiceAccount(ServiceAccountId),
    /// The server itself: schedulers and workers.
    System,
}

impl Actor {
    /// Returns the user, if the actor is one.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(*id),
            _ => None,
        }
    }

    /// Returns the service account, if the actor is one.
    pub const fn service_account(&self) -> Option<ServiceAccountId> {
        match self {
            Self::ServiceAccount(id) => Some(*id),
            _ => None,
        }
    }

    /// Returns the actor of a pair of columns of which at most one is set.
    pub fn from_ids(user: Option<UserId>, service_account: Option<ServiceAccountId>) -> Self {
        match (user, service_account) {
            (Some(id), _) => Self::User(id),
            (None, Some(id)) => Self::ServiceAccount(id),
            (None, None) => Self::System,
        }
    }
}

/// `user:<id>`, `service_account:<id>` or `system`: the form in which responses name an actor (REG-7).
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::ServiceAccount(id) => write!(f, "service_account:{id}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// Position and name of an entry in the activity log: the writing transaction, then an increasing number.
///
/// The text form is a UUID of version 8 (RFC 9562 5.8) whose order is the log's order, because clients of the Open
/// Science Archive's changefeed expect a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// The writing transaction: PostgreSQL's 64-bit number.
    pub transaction: u64,
    /// The increasing number within the log.
    pub sequence: i64,
}

impl EntryId {
    /// Bits of the transaction in a UUID; PostgreSQL's counter never needs more in practice.
    const TRANSACTION_BITS: u32 = 60;

    fn as_uuid(self) -> Uuid {
        let (transaction, sequence) = (
            u128::from(self.transaction),
            u128::from(self.sequence.cast_unsigned()),
        );
        // 48 bits, the version, 12 bits, the variant, 62 bits.
        let high = ((transaction >> 12) << 80) | (8 << 76) | ((transaction & 0xfff) << 64);
        Uuid::from_u128(high | (0b10 << 62) | (sequence & ((1 << 62) - 1)))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_uuid().fmt(f)
    }
}

impl FromStr for EntryId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        const RULE: &str = "must be the id of an activity log entry, which is a UUID";
        let refused = || Invalid::value(RULE);
        let raw = Uuid::parse_str(text)
            .map_err(|_| Invalid::typed("uuid_parsing", RULE))?
            .as_u128();
        let transaction = (((raw >> 80) << 12) | ((raw >> 64) & 0xfff)) & ((1 << Self::TRANSACTION_BITS) - 1);
        let id = Self {
            transaction: u64::try_from(transaction).map_err(|_| refused())?,
            sequence: i64::try_from(raw & ((1 << 62) - 1)).map_err(|_| refused())?,
        };
        if id.as_uuid().as_u128() == raw {
            Ok(id)
        } else {
            Err(refused())
        }
    }
}

/// One entry of the activity log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Kind of the event: a class name of WC-1.7 or one of our own in the same form.
    pub kind: &'static str,
    /// The affected object, such as `hook:body_shape`.
    pub subject: String,
    /// The author of the event.
    pub actor: Actor,
    /// Further details as JSON.
    pub payload: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // proves LED-8
        #[test]
        fn an_entrys_name_reads_back_and_is_in_the_logs_order(
            a in (0_u64..1 << 60, 0_i64..1 << 62), b in (0_u64..1 << 60, 0_i64..1 << 62),
        ) {
            let [a, b] = [a, b].map(|(transaction, sequence)| EntryId { transaction, sequence });
            prop_assert_eq!(a.to_string().parse::<EntryId>(), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.as_uuid().get_version_num(), 8);
        }

        #[test]
        fn no_other_text_is_one(text in ".{0,40}") {
            let _ = text.parse::<EntryId>();
        }
    }

    #[test]
    fn a_random_uuid_names_no_entry() {
        assert!("018f4e2a-6b1c-4c3e-9d52-0a1b2c3d4e5f".parse::<EntryId>().is_err());
        assert!("".parse::<EntryId>().is_err());
    }
}

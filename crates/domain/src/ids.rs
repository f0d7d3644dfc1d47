//! One type per identifier, so that ids of different kinds cannot be confused, and the names from which ids of
//! repeatable work are derived.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::kind::Invalid;

/// Namespace of every id that Hallmark derives (`UUIDv5`, RFC 9562 5.5).
pub(crate) const HALLMARK: Uuid = Uuid::from_u128(0x6861_6c6c_6d61_726b_8000_0000_0000_0001);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Creates the id from a UUID.
            pub const fn from_uuid(raw: Uuid) -> Self { Self(raw) }
            /// Returns the UUID.
            pub const fn as_uuid(self) -> Uuid { self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Uuid::parse_str(text).map(Self).map_err(|_| Invalid::typed("uuid_parsing", "must be a UUID such as 018f4e2a-6b1c-7c3e-9d52-0a1b2c3d4e5f"))
            }
        }
    )+};
}

ids! {
    /// A hook release.
    ReleaseId,
    /// One execution of one hook release.
    RunId,
    /// An ingest run.
    IngestRunId,
    /// A record, across all its versions.
    RecordId,
    /// A task.
    TaskId,
    /// A user.
    UserId,
    /// A service account.
    ServiceAccountId,
}

impl UserId {
    /// The local administrator that dev mode seeds (WC-3).
    pub const LOCAL_ADMIN: Self = Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_00a1));
}

impl ServiceAccountId {
    /// Derives the stable id of a service account: `uuid5(NAMESPACE_URL, "<issuer>#<sub>")` (WC-3).
    pub fn of(issuer: &str, subject: &str) -> Self {
        Self(Uuid::new_v5(
            &Uuid::NAMESPACE_URL,
            format!("{issuer}#{subject}").as_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HookName;

    // proves PRV-4
    #[test]
    fn a_units_run_id_is_the_same_every_time_and_differs_per_hook_and_batch() {
        let run = IngestRunId::from_uuid(Uuid::from_u128(7));
        let (a, b): (HookName, HookName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let task = TaskId::of_batch(run, 0);
        assert_eq!(
            RunId::of_unit(task, &a),
            RunId::of_unit(TaskId::of_batch(run, 0), &a)
        );
        assert_ne!(RunId::of_unit(task, &a), RunId::of_unit(task, &b));
        assert_ne!(
            RunId::of_unit(task, &a),
            RunId::of_unit(TaskId::of_batch(run, 1), &a)
        );
    }
}

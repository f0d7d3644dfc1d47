//! Why a use case failed: a domain rule, missing rights, or the store.

use auth::AuthError;
use domain::data::record::DataError;
use domain::deposit::deposition::DepositionError;
use domain::identity::{IdentityError, SessionError};
use domain::ingest::run::IngestError;
use domain::kind::Coded;
use domain::ledger::delegation::DelegationError;
use domain::ledger::task::TaskError;
use domain::registry::convention::ConventionError;
use domain::registry::hook::HookError;
use domain::work::run::ProvenanceError;
use domain::{Fault, Invalid, Kind};
use ports::StoreError;

use crate::memory::Busy;

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident($error:ty);)+) => {
        /// Why a use case failed.
        #[derive(Debug, thiserror::Error)]
        pub enum Failure {
            $($(#[$doc])* #[error(transparent)] $name(#[from] $error),)+
        }

        impl Coded for Failure {
            fn kind(&self) -> Kind {
                match self { $(Self::$name(e) => e.kind(),)+ }
            }
            fn code(&self) -> &'static str {
                match self { $(Self::$name(e) => e.code(),)+ }
            }
            fn faults(&self) -> &[Fault] {
                match self { $(Self::$name(e) => e.faults(),)+ }
            }
        }
    };
}

failures! {
    /// The request breaks a rule.
    Invalid(Invalid);
    /// The caller was not authenticated or lacks a right.
    Auth(AuthError);
    /// A convention was refused.
    Convention(ConventionError);
    /// A hook operation was refused.
    Hook(HookError);
    /// An operation on users, roles or service accounts was refused.
    Identity(IdentityError);
    /// A sign-in was refused.
    Session(SessionError);
    /// A deposition operation was refused.
    Deposition(DepositionError);
    /// An ingest operation was refused.
    Ingest(IngestError);
    /// A task operation was refused.
    Task(TaskError);
    /// A delegation operation was refused.
    Delegation(DelegationError);
    /// The requested data does not exist or cannot be read as requested.
    Data(DataError);
    /// The requested provenance does not exist.
    Provenance(ProvenanceError);
    /// There is no memory for the request now.
    Busy(Busy);
    /// The store failed.
    Store(StoreError);
}

impl Failure {
    /// Returns whether an immediate retry of the same unit of work may succeed.
    pub const fn is_contention(&self) -> bool {
        matches!(self, Self::Store(e) if e.is_contention())
    }
}

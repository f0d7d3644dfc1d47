//! Why a use case failed: a domain's refusal, missing rights, or the store.

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
    /// What was sent breaks a rule.
    Invalid(Invalid);
    /// The caller was turned away.
    Auth(AuthError);
    /// A convention was refused.
    Convention(ConventionError);
    /// The registry refused.
    Hook(HookError);
    /// Something about users, roles or service accounts was refused.
    Identity(IdentityError);
    /// A sign-in was refused.
    Session(SessionError);
    /// Something about a deposition was refused.
    Deposition(DepositionError);
    /// An ingest run refused.
    Ingest(IngestError);
    /// Something about a task was refused.
    Task(TaskError);
    /// Something about a delegation was refused.
    Delegation(DelegationError);
    /// There is nothing to read.
    Data(DataError);
    /// There is nothing to trace.
    Provenance(ProvenanceError);
    /// The store could not do it.
    Store(StoreError);
}

impl Failure {
    /// Whether the same unit of work may succeed when it is done again at once.
    pub const fn is_contention(&self) -> bool {
        matches!(self, Self::Store(e) if e.is_contention())
    }
}

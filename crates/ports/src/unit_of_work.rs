//! One transaction across the port boundary: it is every repository, and only its commit makes a receipt.

use std::ops::{Deref, DerefMut};

use async_trait::async_trait;

use crate::data::Activity;
use crate::deposit::Depositions;
use crate::error::StoreError;
use crate::identity::{Identities, Sessions};
use crate::ingest::{Ingests, Pulls};
use crate::ledger::{Delegations, Tasks};
use crate::registry::{Conventions, Hooks, Schemas};
use crate::work::{Features, Records, Runs};

/// Every repository that a unit of work reaches.
pub trait Repos: Send {
    /// Schemas and their metadata tables.
    fn schemas(&mut self) -> &mut dyn Schemas;
    /// Hooks, releases, and pointers.
    fn hooks(&mut self) -> &mut dyn Hooks;
    /// Conventions.
    fn conventions(&mut self) -> &mut dyn Conventions;
    /// Feature tables and their rows.
    fn features(&mut self) -> &mut dyn Features;
    /// Ingest runs.
    fn ingests(&mut self) -> &mut dyn Ingests;
    /// Pulls of ingest runs.
    fn pulls(&mut self) -> &mut dyn Pulls;
    /// Records.
    fn records(&mut self) -> &mut dyn Records;
    /// Depositions.
    fn depositions(&mut self) -> &mut dyn Depositions;
    /// Hook runs and pins.
    fn runs(&mut self) -> &mut dyn Runs;
    /// Tasks.
    fn tasks(&mut self) -> &mut dyn Tasks;
    /// Delegations.
    fn delegations(&mut self) -> &mut dyn Delegations;
    /// The activity log.
    fn activity(&mut self) -> &mut dyn Activity;
    /// Users, roles and service accounts.
    fn identities(&mut self) -> &mut dyn Identities;
    /// Refresh tokens and devices.
    fn sessions(&mut self) -> &mut dyn Sessions;
}

/// An open transaction, as an adapter writes it.
#[async_trait]
pub trait Tx: Repos {
    /// Commits. Refuses with [`StoreError::Poisoned`] after a statement failed: PostgreSQL would roll back and say that all is well.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Opens transactions.
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens one. Dropping what it gives rolls back, and so does a caller that goes away in the middle of this call.
    async fn open(&self) -> Result<Box<dyn Tx>, StoreError>;
    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// One unit of work: all of it happens, or none.
#[must_use = "a unit of work that is dropped rolls back"]
pub struct UnitOfWork(Box<dyn Tx>);

impl UnitOfWork {
    /// Opens a unit of work.
    pub async fn begin(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self(store.open().await?))
    }

    /// Commits, and gives the receipt.
    pub async fn commit<T: Send>(self, outcome: T) -> Result<Committed<T>, StoreError> {
        self.0.commit().await?;
        Ok(Committed(outcome))
    }
}

impl Deref for UnitOfWork {
    type Target = dyn Repos;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl DerefMut for UnitOfWork {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.0
    }
}

/// The receipt that `T` was committed. Write use cases return it, so a forgotten commit does not compile.
///
/// ```compile_fail,E0423
/// let forged = ports::Committed(7);
/// ```
#[derive(Debug)]
#[must_use]
pub struct Committed<T>(T);

impl<T> Committed<T> {
    /// What was committed.
    pub fn into_inner(self) -> T {
        self.0
    }
}

//! One transaction across the port boundary: it is every repository, and only its commit creates a receipt.

use std::ops::{Deref, DerefMut};

use async_trait::async_trait;

use crate::data::{Activity, Withdrawals};
use crate::deposit::Depositions;
use crate::error::StoreError;
use crate::identity::{Identities, Sessions};
use crate::ingest::{Ingests, Pulls};
use crate::ledger::{Callees, Delegations, Tasks};
use crate::registry::{Conventions, Hooks, Schemas};
use crate::work::{Features, Records, Runs};

/// Every repository that a unit of work reaches.
pub trait Repos: Send {
    /// Returns schemas and their metadata tables.
    fn schemas(&mut self) -> &mut dyn Schemas;
    /// Returns hooks, releases, and pointers.
    fn hooks(&mut self) -> &mut dyn Hooks;
    /// Returns conventions.
    fn conventions(&mut self) -> &mut dyn Conventions;
    /// Returns feature tables and their rows.
    fn features(&mut self) -> &mut dyn Features;
    /// Returns ingest runs.
    fn ingests(&mut self) -> &mut dyn Ingests;
    /// Returns pulls of ingest runs.
    fn pulls(&mut self) -> &mut dyn Pulls;
    /// Returns records.
    fn records(&mut self) -> &mut dyn Records;
    /// Returns depositions.
    fn depositions(&mut self) -> &mut dyn Depositions;
    /// Returns hook runs and pins.
    fn runs(&mut self) -> &mut dyn Runs;
    /// Returns tasks.
    fn tasks(&mut self) -> &mut dyn Tasks;
    /// Returns delegations.
    fn delegations(&mut self) -> &mut dyn Delegations;
    /// Returns from whom callees take work.
    fn callees(&mut self) -> &mut dyn Callees;
    /// Returns the activity log.
    fn activity(&mut self) -> &mut dyn Activity;
    /// Returns withdrawals of records.
    fn withdrawals(&mut self) -> &mut dyn Withdrawals;
    /// Returns users, roles and service accounts.
    fn identities(&mut self) -> &mut dyn Identities;
    /// Returns refresh tokens and devices.
    fn sessions(&mut self) -> &mut dyn Sessions;
}

/// An open transaction, as an adapter implements it.
#[async_trait]
pub trait Tx: Repos {
    /// Commits. Fails with [`StoreError::Poisoned`] after a statement failed: PostgreSQL would roll back and report
    /// success.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Opens transactions.
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens a transaction. Dropping it rolls back, and so does a caller that is cancelled during this call.
    async fn open(&self) -> Result<Box<dyn Tx>, StoreError>;
    /// Checks that the store responds.
    async fn ping(&self) -> Result<(), StoreError>;
    /// Checks that there is room to write, if a write was refused for lack of it and none has succeeded since:
    /// [`StoreError::Full`] if there is none.
    async fn room(&self) -> Result<(), StoreError>;
}

/// One unit of work: all of it happens, or none of it.
#[must_use = "a unit of work that is dropped rolls back"]
pub struct UnitOfWork(Box<dyn Tx>);

impl UnitOfWork {
    /// Opens a unit of work.
    pub async fn begin(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self(store.open().await?))
    }

    /// Commits, and returns the receipt.
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
#[derive(Debug)]
#[must_use]
pub struct Committed<T>(T);

impl<T> Committed<T> {
    /// Returns what was committed.
    pub fn into_inner(self) -> T {
        self.0
    }
}

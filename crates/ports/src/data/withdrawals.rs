//! Withdrawals of published records (EDG-4).

use async_trait::async_trait;
use domain::{Actor, IngestRunId, Reason, RecordId, RecordSrn, Withdrawal, WithdrawalSubject};

use crate::error::StoreError;

/// A record whose withdrawals cannot change until the end of the unit of work.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedRecord {
    /// Its newest version.
    pub srn: RecordSrn,
    /// Who published that version: the owner of its deposition, or who opened its run and who sent its upload.
    pub owners: Vec<Actor>,
    /// The withdrawal of the record itself, if one is in force.
    pub withdrawal: Option<Withdrawal>,
    /// The withdrawal of the run of its newest version, if one is in force.
    pub of_run: Option<Withdrawal>,
}

/// How far the tables follow the newest withdrawal or restore of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WithdrawalProgress {
    /// How many records left the tables, or came back.
    pub records: u64,
    /// Whether there is no more to do.
    pub finished: bool,
}

/// Withdrawals and restores. Each is a fact that is written once.
#[async_trait]
pub trait Withdrawals: Send {
    /// Locks a record against withdrawals, restores and new versions. `None` if it does not exist.
    async fn lock_record(&mut self, id: RecordId) -> Result<Option<LockedRecord>, StoreError>;
    /// Returns the withdrawal of a run that is in force. Lock the run first.
    async fn of_run(&mut self, run: IngestRunId) -> Result<Option<Withdrawal>, StoreError>;
    /// Withdraws a locked record or run that is not withdrawn. The record leaves the tables at the commit; the records
    /// of a run leave them by [`Withdrawals::proceed`].
    async fn withdraw(
        &mut self,
        subject: WithdrawalSubject,
        by: &Actor,
        reason: &Reason,
    ) -> Result<Withdrawal, StoreError>;
    /// Restores a locked record or run that is withdrawn. The record comes back at the commit, unless its run is
    /// withdrawn too; the records of a run come back by [`Withdrawals::proceed`].
    async fn restore(
        &mut self,
        subject: WithdrawalSubject,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError>;
    /// Lets the tables follow the newest withdrawal or restore of a run, for at most `most` more of its records.
    /// Returns the progress since that withdrawal or restore.
    async fn proceed(&mut self, run: IngestRunId, most: u32) -> Result<WithdrawalProgress, StoreError>;
    /// Returns the runs whose withdrawal or restore the tables do not follow yet, at most 100.
    async fn unfinished(&mut self) -> Result<Vec<IngestRunId>, StoreError>;
}

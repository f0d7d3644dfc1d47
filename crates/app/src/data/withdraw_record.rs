//! `POST /data/records/{id}/withdraw` and `/restore`: takes a published record out of what is read now, and lets it come
//! back (EDG-4).
//!
//! Invariant: withdrawals and restores of a record alternate, and each has its entry in the activity log. Who can break
//! it: two callers at once, on any servers (the record's lock orders them, and the second finds the result of the first).

use std::sync::Arc;

use auth::{Permit, act};
use domain::data::record::DataError;
use domain::{Reason, RecordId, RecordSrn, Withdrawal, WithdrawalSubject};
use ports::data::LockedRecord;
use ports::{Committed, Store, UnitOfWork};
use serde_json::{Value, json};

use crate::access::withdrawal::{RECORD_RESTORED, RECORD_WITHDRAWN, event, need};
use crate::failure::Failure;
use crate::retry::retried;

/// A record after a withdrawal or restore.
#[derive(Clone, Debug)]
pub struct RecordState {
    /// Its newest version.
    pub srn: RecordSrn,
    /// The withdrawal in force, if the record is withdrawn.
    pub withdrawal: Option<Withdrawal>,
}

/// Withdraws and restores records.
pub struct WithdrawRecord {
    store: Arc<dyn Store>,
}

impl WithdrawRecord {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Withdraws a record with all of its versions. Withdrawing again changes nothing: the first reason stays.
    #[tracing::instrument(name = "app.withdraw_record.withdraw", skip_all, fields(record = %id))]
    pub async fn withdraw(
        &self,
        permit: Permit<act::WithdrawOwnRecords>,
        id: RecordId,
        reason: Reason,
    ) -> Result<Committed<RecordState>, Failure> {
        retried!(self.withdraw_once(&permit, id, &reason))
    }

    /// Restores a record. One that is not withdrawn stays as it is.
    #[tracing::instrument(name = "app.withdraw_record.restore", skip_all, fields(record = %id))]
    pub async fn restore(
        &self,
        permit: Permit<act::WithdrawOwnRecords>,
        id: RecordId,
        reason: Option<Reason>,
    ) -> Result<Committed<RecordState>, Failure> {
        retried!(self.restore_once(&permit, id, reason.as_ref()))
    }

    async fn withdraw_once(
        &self,
        permit: &Permit<act::WithdrawOwnRecords>,
        id: RecordId,
        reason: &Reason,
    ) -> Result<Committed<RecordState>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut uow, permit, id).await?;
        let withdrawal = if let Some(withdrawal) = locked.withdrawal {
            withdrawal
        } else {
            let (subject, actor) = (WithdrawalSubject::Record(id), permit.actor());
            let withdrawal = uow.withdrawals().withdraw(subject, &actor, reason).await?;
            let payload = payload(&locked.srn, Some(reason));
            uow.activity()
                .append(&event(RECORD_WITHDRAWN, subject, &actor, payload))
                .await?;
            withdrawal
        };
        let state = RecordState {
            srn: locked.srn,
            withdrawal: Some(withdrawal),
        };
        Ok(uow.commit(state).await?)
    }

    async fn restore_once(
        &self,
        permit: &Permit<act::WithdrawOwnRecords>,
        id: RecordId,
        reason: Option<&Reason>,
    ) -> Result<Committed<RecordState>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut uow, permit, id).await?;
        if locked.withdrawal.is_some() {
            let (subject, actor) = (WithdrawalSubject::Record(id), permit.actor());
            uow.withdrawals().restore(subject, &actor, reason).await?;
            let payload = payload(&locked.srn, reason);
            uow.activity()
                .append(&event(RECORD_RESTORED, subject, &actor, payload))
                .await?;
        } else if let Some(run) = locked.of_run.as_ref().and_then(|withdrawal| withdrawal.run) {
            return Err(DataError::WithdrawnWithRun { record: id, run }.into());
        }
        let state = RecordState {
            srn: locked.srn,
            withdrawal: locked.of_run,
        };
        Ok(uow.commit(state).await?)
    }
}

/// Locks a record that the caller may withdraw and restore.
async fn lock(
    uow: &mut UnitOfWork,
    permit: &Permit<act::WithdrawOwnRecords>,
    id: RecordId,
) -> Result<LockedRecord, Failure> {
    let locked = uow.withdrawals().lock_record(id).await?;
    let locked = locked.ok_or_else(|| DataError::UnknownRecord(id.to_string()))?;
    need(permit, &locked.owners)?;
    Ok(locked)
}

fn payload(srn: &RecordSrn, reason: Option<&Reason>) -> Value {
    json!({"record_srn": srn.to_string(), "reason": reason.map(Reason::as_str)})
}

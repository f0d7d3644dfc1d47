//! Finds the records of a batch that the database refuses to store, so that each is errored alone and the others are
//! published.
//!
//! Invariant: a record is errored here only after the database refused it in a unit of work that wrote nothing else.
//! Who can break it: a refusal of several records together (each of them is storable, so none is found, and the
//! batch's second attempt to store it fails as a whole), and a failure that is no refusal (it ends the search). Every
//! trial is rolled back: what it wrote never exists, and the batch's end is written under its claim as always.

use std::collections::BTreeMap;
use std::ops::Range;

use domain::{HookName, RecordSrn, SourceId};
use ports::ingest::RecordEnd;
use ports::work::{NewRecord, Pin, RecordBatch, RecordRows};
use ports::{Store, StoreError, UnitOfWork};

use crate::failure::Failure;
use crate::work::hook_work::rows_of;
use crate::work::run_hooks::Ran;

/// What a batch publishes.
pub(crate) struct Publishing<'a> {
    pub(crate) batch: RecordBatch<'a>,
    pub(crate) pins: &'a [Pin],
    pub(crate) ran: &'a [Ran],
}

/// Why records could not be written: an error, and the hook whose rows caused it, if one did.
pub(crate) struct NotWritten {
    hook: Option<HookName>,
    error: StoreError,
}

impl From<NotWritten> for Failure {
    fn from(not: NotWritten) -> Self {
        not.error.into()
    }
}

impl Publishing<'_> {
    /// Writes records with their metadata rows and the rows of every hook. Returns the SRN of each, in order.
    pub(crate) async fn write(
        &self,
        uow: &mut UnitOfWork,
        records: &[NewRecord],
    ) -> Result<Vec<RecordSrn>, NotWritten> {
        let of_records = |error| NotWritten { hook: None, error };
        let srns = uow
            .records()
            .publish(&self.batch, records)
            .await
            .map_err(of_records)?;
        for (one, pin) in self.ran.iter().zip(self.pins) {
            let rows: Vec<RecordRows> = records
                .iter()
                .zip(&srns)
                .filter_map(|(record, srn)| Some((srn.clone(), rows_of(one, &record.source_id)?.clone())))
                .collect();
            let (hook, contract) = (&pin.release.hook, &pin.contract);
            let replaced = uow.features().replace(hook, contract, one.run.id, &rows).await;
            replaced.map_err(|error| NotWritten {
                hook: Some(hook.clone()),
                error,
            })?;
        }
        Ok(srns)
    }

    /// Returns the records that cannot be stored, with their outcomes. It halves groups that are refused, so one such
    /// record among a thousand takes about twenty trials.
    pub(crate) async fn unstorable(
        &self,
        store: &dyn Store,
        records: &[NewRecord],
    ) -> Result<BTreeMap<SourceId, RecordEnd>, Failure> {
        let mut found = BTreeMap::new();
        let mut groups = halves(0..records.len());
        while let Some(group) = groups.pop() {
            let Err(not) = self.tried(store, &records[group.clone()]).await? else {
                continue;
            };
            match (&not.error, &records[group.clone()]) {
                (StoreError::Refused { reason, .. }, [record]) => {
                    let end = match not.hook {
                        Some(hook) => RecordEnd::Errored(
                            hook,
                            format!("a row of its output cannot be stored: {reason}"),
                        ),
                        None => RecordEnd::Unstorable(format!("its metadata cannot be stored: {reason}")),
                    };
                    found.insert(record.source_id.clone(), end);
                }
                (StoreError::Refused { .. }, _) => groups.extend(halves(group)),
                _ => return Err(not.into()),
            }
        }
        Ok(found)
    }

    /// Writes records in a unit of work of their own, which is rolled back.
    async fn tried(
        &self,
        store: &dyn Store,
        records: &[NewRecord],
    ) -> Result<Result<(), NotWritten>, Failure> {
        let mut tries = 0;
        loop {
            let mut uow = UnitOfWork::begin(store).await?;
            for one in self.ran {
                uow.runs().insert(&one.run).await?;
            }
            match self.write(&mut uow, records).await {
                // Another batch holds a lock of these records.
                Err(not) if not.error.is_contention() && tries < MAX_CONTENDED => tries += 1,
                written => return Ok(written.map(|_| ())),
            }
        }
    }
}

/// How often a trial is repeated after a conflict with another transaction.
const MAX_CONTENDED: u32 = 10;

fn halves(group: Range<usize>) -> Vec<Range<usize>> {
    let middle = group.start.midpoint(group.end);
    [group.start..middle, middle..group.end]
        .into_iter()
        .filter(|half| !half.is_empty())
        .collect()
}

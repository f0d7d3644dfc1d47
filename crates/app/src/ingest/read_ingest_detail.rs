//! Reading the details of an ingest run: its batches with their hooks, its records with reasons, its pulls.

use std::sync::Arc;

use auth::{Permit, act};
use domain::data::page::PageScope;
use domain::ingest::run::IngestError;
use domain::{Actor, IngestRunId, Invalid};
use ports::data::PageKey;
use ports::ingest::{BatchView, IngestRecordView, IngestRunView, PullView, RefusalView, RefusedLineView};
use ports::{Blobs, ByteStream, IngestDetailQueries, IngestQueries, StoreError};

use crate::access::task::Asker;
use crate::cursor::{self, Listed};
use crate::failure::Failure;
use crate::machine::Places;
use crate::page::Page;

/// The possible outcomes of records.
pub const OUTCOMES: [&str; 4] = ["published", "unchanged", "rejected", "errored"];

/// Refused lines of a run.
#[derive(Clone, Debug)]
pub struct Refusals {
    /// A page of those that are stored.
    pub page: Page<RefusalView>,
    /// How many lines of the run were refused.
    pub refused: u64,
    /// How many of them are stored.
    pub stored: u64,
}

/// Reads ingest runs in detail.
pub struct ReadIngestDetail {
    ingests: Arc<dyn IngestQueries>,
    detail: Arc<dyn IngestDetailQueries>,
    blobs: Arc<dyn Blobs>,
}

impl ReadIngestDetail {
    /// Creates the use case over these ports.
    pub fn new(
        ingests: Arc<dyn IngestQueries>,
        detail: Arc<dyn IngestDetailQueries>,
        blobs: Arc<dyn Blobs>,
    ) -> Self {
        Self {
            ingests,
            detail,
            blobs,
        }
    }

    async fn found(&self, run: IngestRunId) -> Result<IngestRunView, Failure> {
        let found = self.ingests.run(run).await?;
        Ok(found.ok_or(IngestError::UnknownRun(run))?)
    }

    async fn known(&self, run: IngestRunId) -> Result<Actor, Failure> {
        Ok(self.found(run).await?.opened_by)
    }

    /// Returns at most `most` batches ordered by number, after the end of the page `cursor`.
    #[tracing::instrument(name = "app.read_ingest_detail.batches", skip_all, fields(ingest_run = %run))]
    pub async fn batches(
        &self,
        _permit: Permit<act::ReadIngestions>,
        run: IngestRunId,
        cursor: Option<&str>,
        most: u32,
    ) -> Result<Page<BatchView>, Failure> {
        self.known(run).await?;
        let scope = PageScope::of(&["batches", &run.to_string()]);
        let after = number(&scope, cursor)?.and_then(|n| u32::try_from(n).ok());
        let items = self.detail.batches(run, after, most).await?;
        Ok(page(&scope, items, most, |batch| i64::from(batch.batch)))
    }

    /// Returns records in order of arrival; only those of one outcome if one is named.
    #[tracing::instrument(name = "app.read_ingest_detail.records", skip_all, fields(ingest_run = %run))]
    pub async fn records(
        &self,
        _permit: Permit<act::ReadIngestions>,
        run: IngestRunId,
        outcome: Option<&str>,
        cursor: Option<&str>,
        most: u32,
    ) -> Result<Page<IngestRecordView>, Failure> {
        if outcome.is_some_and(|outcome| !OUTCOMES.contains(&outcome)) {
            let why = format!("must be one of {}", OUTCOMES.join(", "));
            return Err(Invalid::value(why).of_field("outcome").into());
        }
        self.known(run).await?;
        let scope = PageScope::of(&["ingest_records", &run.to_string(), outcome.unwrap_or_default()]);
        let after = number(&scope, cursor)?;
        let items = self.detail.records(run, outcome, after, most).await?;
        Ok(page(&scope, items, most, |record| record.seq))
    }

    /// Returns the refused lines of a run that are stored, of its pushes or of its pulls, in their order.
    #[tracing::instrument(name = "app.read_ingest_detail.refusals", skip_all, fields(ingest_run = %run))]
    pub async fn refusals(
        &self,
        _permit: Permit<act::ReadIngestions>,
        run: IngestRunId,
        cursor: Option<&str>,
        most: u32,
    ) -> Result<Refusals, Failure> {
        let scope = PageScope::of(&["refusals", &run.to_string()]);
        let refused = self.found(run).await?.refused;
        let after = number(&scope, cursor)?;
        let items = self.detail.refused_lines(run, after, most).await?;
        Ok(Refusals {
            page: page(&scope, items, most, |refusal| refusal.place),
            refused,
            stored: self.detail.stored_refusals(run).await?,
        })
    }

    /// Returns pulls ordered by number.
    #[tracing::instrument(name = "app.read_ingest_detail.pulls", skip_all, fields(ingest_run = %run))]
    pub async fn pulls(
        &self,
        permit: Permit<act::ReadIngestions>,
        run: IngestRunId,
        cursor: Option<&str>,
        most: u32,
    ) -> Result<Page<PullView>, Failure> {
        self.known(run).await?;
        let scope = PageScope::of(&["pulls", &run.to_string()]);
        let after = number(&scope, cursor)?.and_then(|n| u64::try_from(n).ok());
        let mut items = self.detail.pulls(run, after, most).await?;
        for pull in &mut items {
            redact_place(&permit, pull);
        }
        Ok(page(&scope, items, most, |pull| {
            i64::try_from(pull.pull).unwrap_or(i64::MAX)
        }))
    }

    /// Returns one pull, with its lines that are not records.
    #[tracing::instrument(name = "app.read_ingest_detail.pull", skip_all, fields(ingest_run = %run))]
    pub async fn pull(
        &self,
        permit: Permit<act::ReadIngestions>,
        run: IngestRunId,
        pull: u64,
    ) -> Result<(PullView, Vec<RefusedLineView>), Failure> {
        self.known(run).await?;
        let mut found = self.find_pull(run, pull).await?;
        redact_place(&permit, &mut found);
        Ok((found, self.detail.refusals(run, pull).await?))
    }

    /// Returns what the ingester printed in a failed pull, for admins and for the user who opened the run (PRV-8).
    #[tracing::instrument(name = "app.read_ingest_detail.pull_log", skip_all, fields(ingest_run = %run))]
    pub async fn pull_log(
        &self,
        permit: Permit<act::ReadRunLogs>,
        run: IngestRunId,
        pull: u64,
    ) -> Result<ByteStream, Failure> {
        let asker = Asker::of(&permit);
        let opened_by = self.known(run).await?;
        if asker.access(&opened_by, None).is_none() {
            return Err(IngestError::UnknownRun(run).into());
        }
        let none = || IngestError::NoLog { run, pull };
        let key = self.find_pull(run, pull).await?.log_ref.ok_or_else(none)?;
        let (_, content) = self.blobs.get_stream(&key).await?.ok_or_else(none)?;
        Ok(content)
    }

    async fn find_pull(&self, run: IngestRunId, pull: u64) -> Result<PullView, Failure> {
        let found = self.detail.pulls(run, pull.checked_sub(1), 1).await?.pop();
        Ok(found
            .filter(|found| found.pull == pull)
            .ok_or(IngestError::UnknownPull { run, pull })?)
    }
}

/// Removes the path of a file from the image of a pull if the caller may not see it.
fn redact_place(permit: &Permit<act::ReadIngestions>, pull: &mut PullView) {
    let [image, ..] = &mut pull.image;
    Places::of(permit).redact(image);
}

/// Decodes the number in a cursor of this list.
fn number(scope: &PageScope, cursor: Option<&str>) -> Result<Option<i64>, Failure> {
    match cursor
        .map(|text| cursor::decode(scope, Listed::Rows, text))
        .transpose()?
    {
        None => Ok(None),
        Some(PageKey::Row(number)) => Ok(Some(number)),
        Some(_) => Err(StoreError::Internal("a cursor of numbers has no number".into()).into()),
    }
}

fn page<T>(scope: &PageScope, items: Vec<T>, most: u32, key: impl Fn(&T) -> i64) -> Page<T> {
    let full = items.len() >= most as usize;
    let next = items
        .last()
        .filter(|_| full)
        .map(|last| cursor::encode(scope, &PageKey::Row(key(last))));
    Page { items, next }
}

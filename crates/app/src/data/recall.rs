//! What a release made (PRV-7): "this release is wrong; which rows and records came from it?"

use std::sync::Arc;

use auth::{Permit, act};
use domain::data::page::PageScope;
use domain::registry::hook::HookError;
use domain::{Cell, ColumnType, HookName, HookRelease, ReleaseVersion, RunId};
use ports::data::{PageKey, Recall as Recalled, RecallCounts, RowStream, TableColumn};
use ports::{RecallQueries, RegistryQueries};
use time::OffsetDateTime;

use crate::cursor::{self, Listed};
use crate::data::read_data::Page;
use crate::data::table_scope::{feature_columns, implicit};
use crate::failure::Failure;

/// Selects among what a release made.
#[derive(Clone, Debug, Default)]
pub struct RecallFilter {
    /// Only what this run made.
    pub run: Option<RunId>,
    /// Only rows written at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Only rows written before this time.
    pub until: Option<OffsetDateTime>,
    /// Only rows that tables show now: not superseded, of the records' newest versions.
    pub current: bool,
}

/// The items of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecallOf {
    /// Rows.
    Rows,
    /// Records, for each run that made rows for them.
    Records,
}

/// How much a release made.
#[derive(Clone, Debug)]
pub struct RecallSummary {
    /// The release.
    pub release: HookRelease,
    /// The counts of its rows and records.
    pub counts: RecallCounts,
}

/// Recalls releases.
pub struct Recall {
    recall: Arc<dyn RecallQueries>,
    registry: Arc<dyn RegistryQueries>,
}

impl Recall {
    /// Creates the use case over these queries.
    pub fn new(recall: Arc<dyn RecallQueries>, registry: Arc<dyn RegistryQueries>) -> Self {
        Self { recall, registry }
    }

    /// Returns how much a release made.
    #[tracing::instrument(name = "app.recall.summary", skip_all, fields(hook = %hook))]
    pub async fn summary(
        &self,
        _permit: Permit<act::ReadData>,
        hook: &HookName,
        version: u32,
        filter: &RecallFilter,
    ) -> Result<RecallSummary, Failure> {
        let (release, recalled, _) = self.found(hook, version, filter).await?;
        Ok(RecallSummary {
            counts: self.recall.recall_counts(&recalled).await?,
            release,
        })
    }

    /// Returns a page of what a release made.
    #[tracing::instrument(name = "app.recall.page", skip_all)]
    pub async fn page(
        &self,
        _permit: Permit<act::ReadData>,
        (hook, version): (&HookName, u32),
        of: RecallOf,
        filter: &RecallFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page, Failure> {
        let (_, recalled, columns) = self.found(hook, version, filter).await?;
        let scope = scope(&recalled, of);
        let after = after
            .map(|text| cursor::decode(&scope, listed(of), text))
            .transpose()?;
        let (mut rows, columns) = match of {
            RecallOf::Rows => (
                self.recall
                    .recalled_rows(&recalled, &columns, after.as_ref(), limit + 1)
                    .await?,
                row_columns(columns),
            ),
            RecallOf::Records => (
                self.recall
                    .recalled_records(&recalled, after.as_ref(), limit + 1)
                    .await?,
                record_columns(),
            ),
        };
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| more).and_then(|row| key(of, row));
        Ok(Page {
            next_cursor: last.map(|key| cursor::encode(&scope, &key)),
            columns,
            rows,
        })
    }

    /// Returns everything that a release made, as a stream.
    #[tracing::instrument(name = "app.recall.stream", skip_all)]
    pub async fn stream(
        &self,
        _permit: Permit<act::ReadData>,
        (hook, version): (&HookName, u32),
        of: RecallOf,
        filter: &RecallFilter,
    ) -> Result<(Vec<TableColumn>, RowStream), Failure> {
        let (_, recalled, columns) = self.found(hook, version, filter).await?;
        Ok(match of {
            RecallOf::Rows => {
                let rows = self.recall.recalled_rows_stream(&recalled, &columns).await?;
                (row_columns(columns), rows)
            }
            RecallOf::Records => (
                record_columns(),
                self.recall.recalled_records_stream(&recalled).await?,
            ),
        })
    }

    async fn found(
        &self,
        hook: &HookName,
        version: u32,
        filter: &RecallFilter,
    ) -> Result<(HookRelease, Recalled, Vec<TableColumn>), Failure> {
        let summary = self.registry.hook(hook).await?;
        let summary = summary.ok_or_else(|| HookError::UnknownHook(hook.clone()))?;
        let unknown = || HookError::UnknownVersion {
            hook: hook.clone(),
            version,
        };
        let number = ReleaseVersion::new(version).ok_or_else(unknown)?;
        let (release, _) = self.registry.release(hook, number).await?.ok_or_else(unknown)?;
        let recalled = Recalled {
            hook: hook.clone(),
            release: release.id,
            run: filter.run,
            since: filter.since,
            until: filter.until,
            current: filter.current,
        };
        Ok((release, recalled, feature_columns(summary.contract)))
    }
}

const fn listed(of: RecallOf) -> Listed {
    match of {
        RecallOf::Rows => Listed::RowsOfRuns,
        RecallOf::Records => Listed::RecordsOfRuns,
    }
}

fn scope(recalled: &Recalled, of: RecallOf) -> PageScope {
    let time = |at: Option<OffsetDateTime>| at.map(|at| at.unix_timestamp_nanos().to_string());
    PageScope::of(&[
        &recalled.release.to_string(),
        if of == RecallOf::Rows { "rows" } else { "records" },
        &recalled.run.map(|run| run.to_string()).unwrap_or_default(),
        &time(recalled.since).unwrap_or_default(),
        &time(recalled.until).unwrap_or_default(),
        &recalled.current.to_string(),
    ])
}

fn key(of: RecallOf, row: &[Cell]) -> Option<PageKey> {
    match (of, row) {
        (RecallOf::Rows, [Cell::Integer(id), _, Cell::Uuid(run), ..]) => {
            Some(PageKey::OfRun(RunId::from_uuid(*run), *id))
        }
        (RecallOf::Records, [Cell::Text(srn), _, Cell::Uuid(run), ..]) => {
            Some(PageKey::RecordOfRun(RunId::from_uuid(*run), srn.clone()))
        }
        _ => None,
    }
}

fn row_columns(of_hook: Vec<TableColumn>) -> Vec<TableColumn> {
    let mut columns = vec![
        implicit("id", ColumnType::Integer, "number", None),
        implicit("record_srn", ColumnType::Text, "text", None),
        implicit("run_id", ColumnType::Uuid, "text", Some("uuid")),
        implicit("created_at", ColumnType::Timestamp, "text", Some("date-time")),
        implicit("superseded_by", ColumnType::Uuid, "text", Some("uuid")),
    ];
    columns.extend(of_hook.into_iter().filter(|c| !c.implicit));
    columns
}

fn record_columns() -> Vec<TableColumn> {
    vec![
        implicit("record_srn", ColumnType::Text, "text", None),
        implicit("schema_id", ColumnType::Text, "text", None),
        implicit("run_id", ColumnType::Uuid, "text", Some("uuid")),
        implicit("rows", ColumnType::Integer, "number", None),
        implicit("current_rows", ColumnType::Integer, "number", None),
        implicit("created_at", ColumnType::Timestamp, "text", Some("date-time")),
    ]
}

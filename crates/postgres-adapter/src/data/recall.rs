//! What a release made (PRV-7).

use async_trait::async_trait;
use domain::{Cell, ColumnType};
use ports::data::{PageKey, Recall, RecallCounts, RowStream, TableColumn};
use ports::{RecallQueries, StoreError};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::data::cells::cells;
use crate::dynamic;
use crate::store::error::store_error;
use crate::store::reading::Reach;
use crate::store::rows::count;
use crate::store::tx::PgStore;

/// The types of the columns before the hook's own.
const OF_ROWS: [ColumnType; 5] = [
    ColumnType::Integer,
    ColumnType::Text,
    ColumnType::Uuid,
    ColumnType::Timestamp,
    ColumnType::Uuid,
];
const OF_RECORDS: [ColumnType; 6] = [
    ColumnType::Text,
    ColumnType::Text,
    ColumnType::Uuid,
    ColumnType::Integer,
    ColumnType::Integer,
    ColumnType::Timestamp,
];

fn types(columns: &[TableColumn]) -> Vec<ColumnType> {
    let declared = columns.iter().filter(|c| !c.implicit).map(|c| c.column_type);
    OF_ROWS.into_iter().chain(declared).collect()
}

fn number(row: Option<&PgRow>, index: usize) -> Result<u64, StoreError> {
    let row = row.ok_or_else(|| StoreError::corrupt("count", "no row"))?;
    row.try_get::<i64, _>(index)
        .map_err(store_error)
        .and_then(|n| count("count", n))
}

#[async_trait]
impl RecallQueries for PgStore {
    #[tracing::instrument(name = "db.recall_queries.recall_counts", skip_all)]
    async fn recall_counts(&self, recall: &Recall) -> Result<RecallCounts, StoreError> {
        let counts = self.bounded(Reach::Table, dynamic::recall_counts(recall)).await?;
        let row = counts.first();
        let time = |index: usize| {
            row.map(|row| row.try_get(index).map_err(store_error))
                .transpose()
                .map(Option::flatten)
        };
        Ok(RecallCounts {
            runs: number(row, 0)?,
            rows: number(row, 1)?,
            superseded: number(row, 2)?,
            records: number(row, 3)?,
            first_at: time(4)?,
            last_at: time(5)?,
        })
    }

    #[tracing::instrument(name = "db.recall_queries.recalled_rows", skip_all)]
    async fn recalled_rows(
        &self,
        recall: &Recall,
        columns: &[TableColumn],
        after: Option<&PageKey>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, StoreError> {
        let sql = dynamic::recall_rows(recall, columns, after, Some(limit));
        let rows = self.bounded(Reach::Table, sql).await?;
        let types = types(columns);
        rows.iter().map(|row| cells(row, &types)).collect()
    }

    #[tracing::instrument(name = "db.recall_queries.recalled_rows_stream", skip_all)]
    async fn recalled_rows_stream(
        &self,
        recall: &Recall,
        columns: &[TableColumn],
    ) -> Result<RowStream, StoreError> {
        let sql = dynamic::recall_rows(recall, columns, None, None);
        self.stream_of(sql, types(columns)).await
    }

    #[tracing::instrument(name = "db.recall_queries.recalled_records", skip_all)]
    async fn recalled_records(
        &self,
        recall: &Recall,
        after: Option<&PageKey>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, StoreError> {
        let rows = self
            .bounded(Reach::Table, dynamic::recall_records(recall, after, Some(limit)))
            .await?;
        rows.iter().map(|row| cells(row, &OF_RECORDS)).collect()
    }

    #[tracing::instrument(name = "db.recall_queries.recalled_records_stream", skip_all)]
    async fn recalled_records_stream(&self, recall: &Recall) -> Result<RowStream, StoreError> {
        self.stream_of(dynamic::recall_records(recall, None, None), OF_RECORDS.to_vec())
            .await
    }
}

//! Feature tables and their rows.

use std::io;
use std::iter::Zip;
use std::slice::Iter;

use async_trait::async_trait;
use domain::work::rows::RowReader;
use domain::{Cell, FeatureContract, HookName, RunId};
use ports::work::RecordRows;
use ports::{Features, StoreError};
use sqlx::AssertSqlSafe;

use crate::dynamic;
use crate::store::copy::copy_in;
use crate::store::tx::PgTx;

/// The rows of records one after the other, each with its record's SRN. Those that are in a file, one of this server's
/// that was just written, are read a piece at a time.
struct Lines<'a> {
    records: Zip<Iter<'a, RecordRows>, Iter<'a, String>>,
    current: Option<(&'a String, RowReader)>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = io::Result<(&'a String, Vec<Cell>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((srn, rows)) = &mut self.current
                && let Some(row) = rows.next()
            {
                return Some(row.map(|row| (*srn, row)));
            }
            let ((_, rows), srn) = self.records.next()?;
            self.current = Some((srn, rows.read()));
        }
    }
}

#[async_trait]
impl Features for PgTx {
    #[tracing::instrument(name = "db.features.create_table", skip_all, fields(hook = %hook))]
    async fn create_table(&mut self, hook: &HookName, contract: &FeatureContract) -> Result<(), StoreError> {
        // Checked under the hook's row lock, so the answer stays true until the statement below. DDL is left out if
        // the table exists: it would lock the tables that it refers to.
        let exists = sqlx::query_scalar!(
            r#"select exists (select 1 from pg_catalog.pg_tables where schemaname = 'features' and tablename = $1) as "exists!""#,
            hook.as_str()
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if !exists {
            let columns = dynamic::Columns::of_contract(contract);
            sqlx::query!(
                "select make_feature_table($1, $2, $3, $4)",
                hook.as_str(),
                &columns.names,
                &columns.types,
                &columns.required
            )
            .execute(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        }
        Ok(())
    }

    #[tracing::instrument(name = "db.features.replace", skip_all, fields(hook = %hook, run = %run))]
    async fn replace(
        &mut self,
        hook: &HookName,
        contract: &FeatureContract,
        run: RunId,
        rows: &[RecordRows],
    ) -> Result<u64, StoreError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the table's name is known at run time only"
        )]
        let there: bool = sqlx::query_scalar(AssertSqlSafe(dynamic::has_rows_of_run(hook)))
            .bind(run.as_uuid())
            .fetch_one(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        if there {
            return Ok(0);
        }
        let srns: Vec<String> = rows.iter().map(|(srn, _)| srn.to_string()).collect();
        #[expect(
            clippy::disallowed_methods,
            reason = "the table's name is known at run time only"
        )]
        let superseded = sqlx::query(AssertSqlSafe(dynamic::supersede(hook)))
            .bind(run.as_uuid())
            .bind(&srns)
            .execute(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        let at = self.published_at().await?;
        if superseded.rows_affected() > 0 {
            sqlx::query!(
                "insert into supersessions (run_id, superseded_at) values ($1, $2) on conflict do nothing",
                run.as_uuid(),
                at
            )
            .execute(self.conn())
            .await
            .map_err(|e| self.fail(e))?;
        }
        let at = Cell::Timestamp(at);
        let run = run.to_string();
        let lines = Lines {
            records: rows.iter().zip(&srns),
            current: None,
        };
        copy_in(
            self.conn(),
            dynamic::copy_features(hook, contract),
            lines,
            |buffer, (srn, row)| {
                buffer.text(srn);
                buffer.text(&run);
                buffer.cell(&at);
                for cell in &row {
                    buffer.cell(cell);
                }
            },
        )
        .await
        .map_err(|e| self.fail(e))
    }
}

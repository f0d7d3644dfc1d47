//! From whom callees take work. The list of a callee is read under a shared advisory lock and replaced under the
//! exclusive one: a row that does not exist yet cannot be locked. Each lock has a statement of its own, because a
//! statement sees only what was committed when it began.

use async_trait::async_trait;
use ports::ledger::CallerList;
use ports::{Callees, StoreError};

use crate::store::tx::PgTx;

#[async_trait]
impl Callees for PgTx {
    #[tracing::instrument(name = "db.callees.accepts", skip_all)]
    async fn accepts(&mut self, callee: &str, caller: &str) -> Result<bool, StoreError> {
        sqlx::query!(
            "select pg_advisory_xact_lock_shared(hashtextextended('callee:' || $1, 0))",
            callee
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let listed = sqlx::query_scalar!(
            r#"select $2 = any(callers) as "listed!" from callee_callers where callee_id = $1"#,
            callee,
            caller
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(listed.unwrap_or(true))
    }

    #[tracing::instrument(name = "db.callees.callers", skip_all)]
    async fn callers(&mut self, callee: &str) -> Result<Option<CallerList>, StoreError> {
        let row = sqlx::query!(
            "select callers, set_at from callee_callers where callee_id = $1",
            callee
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(row.map(|row| CallerList {
            callers: row.callers,
            set_at: row.set_at,
        }))
    }

    #[tracing::instrument(name = "db.callees.set_callers", skip_all)]
    async fn set_callers(&mut self, callee: &str, callers: Option<&[String]>) -> Result<(), StoreError> {
        sqlx::query!(
            "select pg_advisory_xact_lock(hashtextextended('callee:' || $1, 0))",
            callee
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let done = match callers {
            Some(callers) => {
                sqlx::query!(
                    "insert into callee_callers (callee_id, callers, set_at) values ($1, $2, clock_timestamp())
                     on conflict (callee_id) do update set callers = excluded.callers, set_at = excluded.set_at",
                    callee,
                    callers
                )
                .execute(self.conn())
                .await
            }
            None => {
                sqlx::query!("delete from callee_callers where callee_id = $1", callee)
                    .execute(self.conn())
                    .await
            }
        };
        done.map(|_| ()).map_err(|e| self.fail(e))
    }
}

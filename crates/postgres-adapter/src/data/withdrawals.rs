//! Withdrawals of published records (EDG-4).
//!
//! Invariant: a record is in no table of now exactly if its head names no version, and the head of a record follows its
//! withdrawals: at the commit that writes one, or for the records of a run by [`Withdrawals::proceed`]. Who can break it:
//! two writers at one record or run (its lock, the numbers of its withdrawals, `check_withdrawal`), a new version
//! (`publish` and `check_head` refuse it), a server that dies between two steps of a run (the progress is in the
//! transaction of each step, and every server resumes it), a withdrawal and a restore of a run in quick succession (the
//! later one begins the progress anew, behind the lock of the step in progress).

use async_trait::async_trait;
use domain::{Actor, IngestRunId, Reason, RecordId, ServiceAccountId, UserId, Withdrawal, WithdrawalSubject};
use ports::data::{LockedRecord, WithdrawalProgress};
use ports::{StoreError, Withdrawals};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::rows::{actor, count, parsed};
use crate::store::tx::PgTx;

const TABLE: &str = "withdrawals";

/// Returns the columns of a subject: the record and the run, one of which is null.
fn columns(subject: WithdrawalSubject) -> (Option<Uuid>, Option<Uuid>) {
    match subject {
        WithdrawalSubject::Record(id) => (Some(id.as_uuid()), None),
        WithdrawalSubject::Run(id) => (None, Some(id.as_uuid())),
    }
}

/// Returns a withdrawal as it was read.
pub(crate) fn withdrawal(
    reason: Option<String>,
    at: OffsetDateTime,
    run: Option<Uuid>,
) -> Result<Withdrawal, StoreError> {
    Ok(Withdrawal {
        reason: reason.ok_or_else(|| StoreError::corrupt(TABLE, "a withdrawal without a reason"))?,
        at,
        run: run.map(IngestRunId::from_uuid),
    })
}

impl PgTx {
    /// Returns the withdrawal of a subject that is in force.
    async fn in_force(&mut self, subject: WithdrawalSubject) -> Result<Option<Withdrawal>, StoreError> {
        let (record, run) = columns(subject);
        let row = sqlx::query!(
            "select reason, happened_at, ingest_run_id from withdrawals where id = withdrawal_of($1::uuid, $2::uuid)",
            record,
            run
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        row.map(|row| withdrawal(row.reason, row.happened_at, row.ingest_run_id))
            .transpose()
    }

    /// Writes the next withdrawal or restore of a locked subject. Returns its time, which is never before that of the
    /// previous one.
    async fn write_withdrawal(
        &mut self,
        subject: WithdrawalSubject,
        withdraws: bool,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<OffsetDateTime, StoreError> {
        let (record, run) = columns(subject);
        let at = self.published_at().await?;
        sqlx::query_scalar!(
            "insert into withdrawals (record_id, ingest_run_id, number, withdraws, reason, actor_user_id, actor_service_account_id, happened_at)
             select $1::uuid, $2::uuid, coalesce(max(number), 0) + 1, $3::boolean, $4::text, $5::uuid, $6::uuid, greatest($7::timestamptz, max(happened_at))
             from withdrawals where record_id = $1 or ingest_run_id = $2
             returning happened_at",
            record,
            run,
            withdraws,
            reason.map(Reason::as_str),
            by.user().map(UserId::as_uuid),
            by.service_account().map(ServiceAccountId::as_uuid),
            at,
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))
    }

    /// Lets locked heads follow the withdrawals of their records. With a run, only heads of its versions. Returns how
    /// many changed.
    async fn follow(&mut self, records: &[Uuid], run: Option<Uuid>) -> Result<u64, StoreError> {
        let changed = sqlx::query!(
            "update record_heads h set srn = case when f.withdrawn then null else f.srn end
             from (select r.id, r.version, r.srn, withdrawal_of(r.id, r.ingest_run_id) is not null as withdrawn
                   from records r where r.id = any($1) and ($2::uuid is null or r.ingest_run_id = $2)) f
             where h.record_id = f.id and h.version = f.version and (h.srn is null) <> f.withdrawn",
            records,
            run
        )
        .execute(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(changed.rows_affected())
    }

    /// Lets the tables follow a withdrawal or restore that was just written.
    async fn begin_to_follow(&mut self, subject: WithdrawalSubject) -> Result<(), StoreError> {
        match subject {
            WithdrawalSubject::Record(id) => self.follow(&[id.as_uuid()], None).await.map(|_| ()),
            WithdrawalSubject::Run(run) => sqlx::query!(
                "insert into withdrawal_progress (ingest_run_id) values ($1)
                 on conflict (ingest_run_id) do update set after_source = '', changed = 0, finished_at = null",
                run.as_uuid()
            )
            .execute(self.conn())
            .await
            .map(|_| ())
            .map_err(|e| self.fail(e)),
        }
    }
}

#[async_trait]
impl Withdrawals for PgTx {
    #[tracing::instrument(name = "db.withdrawals.lock_record", skip_all, fields(record = %id))]
    async fn lock_record(&mut self, id: RecordId) -> Result<Option<LockedRecord>, StoreError> {
        let row = sqlx::query!(
            r#"select r.srn as "srn!", r.version as "version!", r.ingest_run_id, n.opened_by_user_id as "opened_by_user_id?",
                 n.opened_by_service_account_id as "opened_by_service_account_id?", u.pushed_by_user_id as "pushed_by_user_id?",
                 u.pushed_by_service_account_id as "pushed_by_service_account_id?", d.owner_user_id as "owner_user_id?"
               from record_heads h join records r on r.id = h.record_id and r.version = h.version
               left join ingest_runs n on n.id = r.ingest_run_id
               left join ingest_records i on i.ingest_run_id = r.ingest_run_id and i.source_id = r.source_id
               left join ingest_uploads u on u.ingest_run_id = i.ingest_run_id and u.upload = i.upload
               left join depositions d on d.record_srn = r.srn
               where h.record_id = $1"#,
            id.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let Some(row) = row else { return Ok(None) };
        // The run before the head, so that a withdrawal of the run cannot come between.
        if let Some(run) = row.ingest_run_id {
            sqlx::query!("select id from ingest_runs where id = $1 for share", run)
                .fetch_one(self.conn())
                .await
                .map_err(|e| self.fail(e))?;
        }
        let version = sqlx::query_scalar!(
            "select version from record_heads where record_id = $1 for update",
            id.as_uuid()
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        if version != row.version {
            return Err(self.poison(StoreError::Contended(
                "the record got a new version meanwhile".into(),
            )));
        }
        let publishers = [
            actor(row.opened_by_user_id, row.opened_by_service_account_id),
            actor(row.pushed_by_user_id, row.pushed_by_service_account_id),
            actor(row.owner_user_id, None),
        ];
        let of_run = match row.ingest_run_id {
            Some(run) => {
                self.in_force(WithdrawalSubject::Run(IngestRunId::from_uuid(run)))
                    .await?
            }
            None => None,
        };
        Ok(Some(LockedRecord {
            srn: parsed("records", &row.srn)?,
            owners: publishers
                .into_iter()
                .filter(|publisher| *publisher != Actor::System)
                .collect(),
            withdrawal: self.in_force(WithdrawalSubject::Record(id)).await?,
            of_run,
        }))
    }

    #[tracing::instrument(name = "db.withdrawals.of_run", skip_all, fields(ingest_run = %run))]
    async fn of_run(&mut self, run: IngestRunId) -> Result<Option<Withdrawal>, StoreError> {
        self.in_force(WithdrawalSubject::Run(run)).await
    }

    #[tracing::instrument(name = "db.withdrawals.withdraw", skip_all, fields(subject = %subject))]
    async fn withdraw(
        &mut self,
        subject: WithdrawalSubject,
        by: &Actor,
        reason: &Reason,
    ) -> Result<Withdrawal, StoreError> {
        let at = self.write_withdrawal(subject, true, by, Some(reason)).await?;
        self.begin_to_follow(subject).await?;
        let (_, run) = columns(subject);
        withdrawal(Some(reason.to_string()), at, run)
    }

    #[tracing::instrument(name = "db.withdrawals.restore", skip_all, fields(subject = %subject))]
    async fn restore(
        &mut self,
        subject: WithdrawalSubject,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError> {
        self.write_withdrawal(subject, false, by, reason).await?;
        self.begin_to_follow(subject).await
    }

    #[tracing::instrument(name = "db.withdrawals.proceed", skip_all, fields(ingest_run = %run))]
    async fn proceed(&mut self, run: IngestRunId, most: u32) -> Result<WithdrawalProgress, StoreError> {
        let row = sqlx::query!(
            r#"select after_source, changed, finished_at is not null as "finished!" from withdrawal_progress where ingest_run_id = $1 for update"#,
            run.as_uuid()
        )
        .fetch_optional(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let Some(row) = row else {
            return Ok(WithdrawalProgress {
                records: 0,
                finished: true,
            });
        };
        if row.finished {
            return Ok(WithdrawalProgress {
                records: count(TABLE, row.changed)?,
                finished: true,
            });
        }
        let next = sqlx::query!(
            "select i.source_id, r.id from ingest_records i join records r on r.srn = i.record_srn
             where i.ingest_run_id = $1 and i.source_id > $2 and i.outcome = 'published' order by i.source_id limit $3",
            run.as_uuid(),
            row.after_source.as_str(),
            i64::from(most)
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let ids: Vec<Uuid> = next.iter().map(|record| record.id).collect();
        // In the order of the ids, as batches lock them.
        sqlx::query!(
            "select record_id from record_heads where record_id = any($1) order by record_id for update",
            &ids
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        let changed = self.follow(&ids, Some(run.as_uuid())).await?;
        let after = next
            .last()
            .map_or(row.after_source, |record| record.source_id.clone());
        let finished = ids.len() < usize::try_from(most).unwrap_or(usize::MAX);
        let all = sqlx::query_scalar!(
            "update withdrawal_progress set after_source = $2, changed = changed + $3, finished_at = case when $4 then now() end
             where ingest_run_id = $1 returning changed",
            run.as_uuid(),
            after,
            i64::try_from(changed).unwrap_or(i64::MAX),
            finished
        )
        .fetch_one(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(WithdrawalProgress {
            records: count(TABLE, all)?,
            finished,
        })
    }

    #[tracing::instrument(name = "db.withdrawals.unfinished", skip_all)]
    async fn unfinished(&mut self) -> Result<Vec<IngestRunId>, StoreError> {
        let runs = sqlx::query_scalar!(
            "select ingest_run_id from withdrawal_progress where finished_at is null order by ingest_run_id limit 100"
        )
        .fetch_all(self.conn())
        .await
        .map_err(|e| self.fail(e))?;
        Ok(runs.into_iter().map(IngestRunId::from_uuid).collect())
    }
}

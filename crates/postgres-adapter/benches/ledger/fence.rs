//! Row 1: workers that outlive their lease, against a ledger where the status alone decides who may end what.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::ledger::delegation::MAX_RETRIES;
use ports::ledger::{Completion, Deadline, DelegationEnd, NewDelegation};
use ports::{UnitOfWork, WorkerIdentity};
use serde_json::json;
use uuid::Uuid;

use crate::{CALLEE, CALLER, Failure, Scene, here};

const TASKS: u64 = 3000;
const WORKERS: u64 = 30;
const SILENCE: Duration = Duration::from_millis(250);
/// So long a worker is away that outlives its lease.
const AWAY: Duration = Duration::from_millis(900);

/// A new delegation to the callee, about no task.
pub(crate) fn delegation(id: &str) -> Result<NewDelegation, Failure> {
    Ok(NewDelegation {
        id: id.parse()?,
        task: None,
        caller: CALLER.into(),
        callee: CALLEE.into(),
        preview: "p".repeat(120),
        input: Some(json!({"n": 1})),
        request: None,
        nesting: None,
        deadline: Deadline::Default,
        may_expire: true,
        retry_count: 0,
        retry_of: None,
        max_retries: MAX_RETRIES,
        delay: Duration::ZERO,
    })
}

/// Whether this claim is one of the 30 % whose worker is away for longer than its lease.
fn is_away(claim: u64) -> bool {
    claim.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xff < 77
}

pub(crate) async fn run() -> Result<(), Failure> {
    let (wrong, ends) = ours().await?;
    println!(
        "   1  {:<78} {wrong:>10} {:>10}                aim 0 of {TASKS}",
        "results of a worker that no longer held it; with the status as the only fence",
        status_only().await?
    );
    println!(
        "      {:<78} {ends:>10}",
        "messages for 3,000 ends that count, each exactly once"
    );
    Ok(())
}

/// Wrong results and messages.
async fn ours() -> Result<(i64, i64), Failure> {
    let scene = Scene::new().await?;
    scene.backlog("t", u32::try_from(TASKS)?).await?;
    // The sweep leaves everybody alone until PostgreSQL has been up for as long as they may be silent.
    tokio::time::sleep(SILENCE).await;
    let (claims, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let worker = async || -> Result<(), Failure> {
        while !over.load(Ordering::Relaxed) {
            let held = scene.claim(1).await?;
            let Some((id, attempt)) = held.into_iter().next() else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let away = is_away(claims.fetch_add(1, Ordering::Relaxed));
            tokio::time::sleep(if away { AWAY } else { Duration::from_millis(10) }).await;
            let ending = Completion {
                end: DelegationEnd::Completed {
                    result: Some(json!({"by": id.as_str(), "attempt": attempt})),
                    preview: String::new(),
                },
                id,
                attempt,
            };
            let mut uow = UnitOfWork::begin(&scene.store).await?;
            uow.delegations().finish_all(Some(CALLEE), &[ending]).await?;
            uow.commit(()).await?.into_inner();
        }
        Ok(())
    };
    let sweeper = async || -> Result<(), Failure> {
        let identity = WorkerIdentity {
            name: "sweeper".into(),
            boot: Uuid::nil(),
        };
        let begun = Instant::now();
        loop {
            let mut uow = UnitOfWork::begin(&scene.store).await?;
            for stuck in uow.delegations().take_stuck(&identity, SILENCE, 100).await?.stuck {
                let next = stuck.id.retry(stuck.retry_count + 1);
                uow.delegations()
                    .redelegate(&stuck.id, &next, Duration::ZERO, false)
                    .await?;
                uow.delegations().notify_stuck(&stuck, Some(&next)).await?;
            }
            uow.commit(()).await?.into_inner();
            let done = scene
                .number("select count(*)::float8 from delegations where status = 'completed' and delegation_id like 't%'")
                .await?;
            if done >= TASKS as f64 {
                over.store(true, Ordering::Relaxed);
                return Ok(());
            }
            if begun.elapsed() > Duration::from_mins(3) {
                return Err(format!("only {done} ended").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let workers = futures::future::try_join_all((0..WORKERS).map(|_| worker()));
    futures::future::try_join(workers, sweeper()).await?;
    let wrong = "select count(*) from delegation_inbox m join delegations d using (delegation_id)
                 where m.kind = 'completed' and (m.result ->> 'by' <> m.delegation_id or (m.result ->> 'attempt')::bigint <> d.attempt)";
    let wrong: i64 = sqlx::query_scalar(wrong).fetch_one(&scene.pool).await?;
    let messages: i64 = sqlx::query_scalar("select count(*) from delegation_inbox where kind = 'completed'")
        .fetch_one(&scene.pool)
        .await?;
    Ok((wrong, messages))
}

/// The same workers on one table where `status = 'in_progress'` is the fence: results that are not of the last who had it.
async fn status_only() -> Result<i64, Failure> {
    let scene = Scene::new().await?;
    scene
        .execute(&std::fs::read_to_string(here("brief.sql"))?)
        .await?;
    scene
        .execute(&format!(
            "insert into brief.delegations (delegation_id, caller_id, callee_id) select 't' || n, 'a', 'b' from generate_series(1, {TASKS}) n; analyze brief.delegations"
        ))
        .await?;
    let (claims, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let worker = async || -> Result<(), Failure> {
        while !over.load(Ordering::Relaxed) {
            let claimed: Option<(String, i64)> = sqlx::query_as(
                "with c as materialized (select delegation_id from brief.delegations where callee_id = 'b' and status = 'queued' order by created_at, delegation_id limit 1 for update skip locked)
                 update brief.delegations d set status = 'in_progress', attempt = attempt + 1, last_heartbeat = clock_timestamp() from c
                 where d.delegation_id = c.delegation_id returning d.delegation_id, d.attempt",
            )
            .fetch_optional(&scene.pool)
            .await?;
            let Some((id, attempt)) = claimed else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let away = is_away(claims.fetch_add(1, Ordering::Relaxed));
            tokio::time::sleep(if away { AWAY } else { Duration::from_millis(10) }).await;
            sqlx::query("update brief.delegations set status = 'completed', result_preview = $2 where delegation_id = $1 and status = 'in_progress'")
                .bind(id)
                .bind(attempt.to_string())
                .execute(&scene.pool)
                .await?;
        }
        Ok(())
    };
    let sweeper = async || -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            sqlx::query("update brief.delegations set status = 'queued' where status = 'in_progress' and last_heartbeat < clock_timestamp() - make_interval(secs => $1)")
                .bind(SILENCE.as_secs_f64())
                .execute(&scene.pool)
                .await?;
            let left = scene
                .number("select count(*)::float8 from brief.delegations where callee_id = 'b' and status <> 'completed'")
                .await?;
            if left == 0.0 {
                over.store(true, Ordering::Relaxed);
                return Ok(());
            }
            if begun.elapsed() > Duration::from_mins(3) {
                return Err(format!("{left} did not end").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let workers = futures::future::try_join_all((0..WORKERS).map(|_| worker()));
    futures::future::try_join(workers, sweeper()).await?;
    let wrong =
        "select count(*) from brief.delegations where callee_id = 'b' and result_preview::bigint <> attempt";
    Ok(sqlx::query_scalar(wrong).fetch_one(&scene.pool).await?)
}

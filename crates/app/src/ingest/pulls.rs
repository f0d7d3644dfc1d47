//! Pulling: the task that pulls the next records from an ingester, and opening runs that begin with one.

use std::time::Duration;

use domain::{Actor, ConventionSlug, Event, IngestMode, IngestRunId, TaskId, TaskKind};
use ports::Repos;
use ports::ingest::NewIngestRun;
use ports::ledger::NewTask;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::failure::Failure;
use crate::own_tasks::delegation;

/// The parameters of a task of the kind `ingest_pull`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct PullParams {
    pub(crate) ingest_run_id: uuid::Uuid,
    pub(crate) pull: u64,
}

impl PullParams {
    pub(crate) const fn run(self) -> IngestRunId {
        IngestRunId::from_uuid(self.ingest_run_id)
    }

    /// Returns the name of the pull, for people.
    pub(crate) fn name(self) -> String {
        format!("pull {} of ingest run {}", self.pull, self.ingest_run_id)
    }
}

/// Queues the pull of this number, once even if it is called repeatedly.
async fn queue_pull(
    repos: &mut dyn Repos,
    run: IngestRunId,
    pull: u64,
    (convention, batch_size): (&ConventionSlug, u32),
    actor: &Actor,
) -> Result<(), Failure> {
    let params = PullParams {
        ingest_run_id: run.as_uuid(),
        pull,
    };
    let task = TaskId::of_pull(run, pull);
    let new = repos
        .tasks()
        .create(&NewTask {
            id: task,
            kind: TaskKind::own(TaskKind::INGEST_PULL),
            name: params.name(),
            params: json!(params),
            creator: actor.clone(),
            request: None,
        })
        .await?;
    // The task and its delegation are created together. Looking for the delegation of an existing task would lock it,
    // and the transaction that ends that very pull has locked it before it waits for the run.
    if new {
        let payload = json!({"ingest_run_id": run.to_string(), "convention_id": convention.as_str(), "batch_size": batch_size, "batch_index": pull});
        repos
            .activity()
            .append(&Event {
                kind: "NextBatchRequested",
                subject: format!("ingest_run:{run}"),
                actor: actor.clone(),
                payload,
            })
            .await?;
        repos
            .delegations()
            .create(&delegation(
                task,
                TaskKind::INGEST_PULL,
                0,
                &params.name(),
                Duration::ZERO,
            ))
            .await?;
    }
    Ok(())
}

/// The maximum number of batches of a run that are open while the next pull is made: batch N+1 is sourced while batch
/// N runs its hooks, but an ingester that is faster than the hooks does not fill the disk.
pub(crate) const MAX_AHEAD: u32 = 4;

/// Queues the next pull of a run whose row this unit of work has locked, if there is one and there is room for its
/// records.
pub(crate) async fn queue_next_pull(repos: &mut dyn Repos, run: IngestRunId) -> Result<(), Failure> {
    let Some(locked) = repos.ingests().lock(run).await? else {
        return Ok(());
    };
    let waiting = locked.next_batch.saturating_sub(locked.batches_done);
    let pulls = locked.mode == IngestMode::Pull && locked.status.is_active() && !locked.ingestion_finished;
    // The first one is queued when the run is opened.
    if pulls && locked.pulls > 0 && waiting < MAX_AHEAD {
        queue_pull(
            repos,
            run,
            locked.pulls,
            (&locked.convention, locked.batch_size),
            &locked.opened_by,
        )
        .await?;
    }
    Ok(())
}

/// Opens a run, with its first pull if it pulls. Returns `Some(active)` and writes nothing if the convention has an
/// active run.
pub(crate) async fn open_run(
    repos: &mut dyn Repos,
    run: &NewIngestRun,
) -> Result<Option<IngestRunId>, Failure> {
    if let Some(active) = repos.ingests().open(run).await? {
        return Ok(Some(active));
    }
    repos.activity().append(&started_event(run)).await?;
    if run.mode == IngestMode::Pull {
        queue_pull(
            repos,
            run.id,
            0,
            (&run.convention, run.batch_size),
            &run.opened_by,
        )
        .await?;
    }
    Ok(None)
}

fn started_event(run: &NewIngestRun) -> Event {
    let convention: &ConventionSlug = &run.convention;
    Event {
        kind: "IngestRunStarted",
        subject: format!("ingest_run:{}", run.id),
        actor: run.opened_by.clone(),
        payload: json!({"ingest_run_id": run.id.to_string(), "convention_id": convention.as_str(), "batch_size": run.batch_size}),
    }
}

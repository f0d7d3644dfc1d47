//! Forming batches: waiting lines become a batch, its task and its queued delegation in one transaction.

use std::time::Duration;

use domain::{Actor, IngestRunId, TaskId, TaskKind};
use ports::Repos;
use ports::ingest::LockedIngestRun;
use ports::ledger::NewTask;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::own_tasks::delegation;

/// The parameters of a task of the kind `ingest_batch`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct BatchParams {
    pub(crate) ingest_run_id: uuid::Uuid,
    pub(crate) batch: u32,
}

impl BatchParams {
    pub(crate) const fn run(self) -> IngestRunId {
        IngestRunId::from_uuid(self.ingest_run_id)
    }
}

/// Cuts batches of a locked run while a full one waits, and the last one too if `rest`. Returns how many were cut.
pub(crate) async fn cut_batches(
    repos: &mut dyn Repos,
    run: IngestRunId,
    locked: &LockedIngestRun,
    actor: &Actor,
    rest: bool,
) -> Result<u32, Failure> {
    let mut waiting = repos.ingests().waiting(run).await?;
    let mut cut = 0;
    while waiting >= u64::from(locked.batch_size) || (rest && waiting > 0) {
        let batch = locked.next_batch + cut;
        let task = TaskId::of_batch(run, batch);
        let name = format!(
            "run the hooks of {} over batch {batch} of ingest run {run}",
            locked.convention
        );
        let params = serde_json::json!(BatchParams {
            ingest_run_id: run.as_uuid(),
            batch
        });
        repos
            .tasks()
            .create(&NewTask {
                id: task,
                kind: TaskKind::ingest_batch(),
                name: name.clone(),
                params,
                creator: actor.clone(),
                request: None,
            })
            .await?;
        let records = repos
            .ingests()
            .cut_batch(run, batch, task, locked.batch_size)
            .await?;
        repos
            .delegations()
            .create(&delegation(
                task,
                TaskKind::INGEST_BATCH,
                0,
                &name,
                Duration::ZERO,
            ))
            .await?;
        waiting = waiting.saturating_sub(u64::from(records));
        cut += 1;
    }
    Ok(cut)
}

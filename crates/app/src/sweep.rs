//! Taking work back from workers that died or fell silent, and handing it to others (LED-5, LED-6).

use std::sync::Arc;
use std::time::Duration;

use domain::TaskKind;
use domain::delegation::MOST_RETRIES;
use ports::{Committed, Store, StoreError, UnitOfWork, WorkQueue, WorkerIdentity};

use crate::batches::{BatchParams, backoff, delegation};
use crate::failure::Failure;
use crate::process_batch::give_up_batch;
use crate::retry::retried;

/// How many delegations one transaction takes back.
const MOST_AT_ONCE: u32 = 100;

/// Sweeps.
pub struct Sweep {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
}

impl Sweep {
    /// A use case on these ports.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn WorkQueue>) -> Self {
        Self { store, queue }
    }

    /// Takes back what is silent for longer than `silence`, past its deadline, or held by an earlier boot of `worker`; gives how many.
    pub async fn run(&self, worker: &WorkerIdentity, silence: Duration) -> Result<usize, Failure> {
        let mut all = 0;
        loop {
            let taken = retried!(self.once(worker, silence))?.into_inner();
            all += taken;
            if taken > 0 {
                self.queue.wake();
            }
            if taken < MOST_AT_ONCE as usize {
                return Ok(all);
            }
        }
    }

    async fn once(&self, worker: &WorkerIdentity, silence: Duration) -> Result<Committed<usize>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let stuck = uow
            .delegations()
            .take_stuck(worker, silence, MOST_AT_ONCE)
            .await?;
        for one in &stuck {
            tracing::warn!(delegation = %one.id, retry_count = one.retry_count, why = one.why, "a delegation is stuck");
            let Some((task, kind, params)) = &one.task else {
                continue;
            };
            if one.retry_count < MOST_RETRIES {
                let retry = one.retry_count + 1;
                // The first times at once: a restart is no fault of the task.
                let delay = if retry <= 3 {
                    Duration::ZERO
                } else {
                    backoff(retry - 3)
                };
                uow.delegations()
                    .create(&delegation(*task, retry, &one.preview, delay))
                    .await?;
            } else {
                uow.delegations().give_up(*task).await?;
                match kind {
                    TaskKind::IngestBatch => {
                        let params: BatchParams = serde_json::from_value(params.clone())
                            .map_err(|e| StoreError::corrupt("tasks", e))?;
                        give_up_batch(
                            &mut uow,
                            params,
                            &format!("given up after {MOST_RETRIES} retries: {}", one.why),
                        )
                        .await?;
                    }
                }
            }
        }
        Ok(uow.commit(stuck.len()).await?)
    }
}

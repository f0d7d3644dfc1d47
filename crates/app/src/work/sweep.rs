//! Taking delegations back from callees that died or fell silent, or that missed their deadline, and redelegating
//! them (LED-5, LED-6).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::ledger::delegation::{MAX_RETRIES, backoff};
use ports::ledger::{Stuck, Swept};
use ports::{Committed, Notifier, Store, UnitOfWork, WorkerIdentity, inbox_topic, work_topic};

use crate::failure::Failure;
use crate::own_tasks::{delegation, is_own};
use crate::retry::retried;
use crate::work::letting_go::{end_given_up, give_up};

/// How many delegations one transaction takes back.
const MAX_AT_ONCE: u32 = 100;

/// Sweeps the ledger for stuck delegations.
pub struct Sweep {
    store: Arc<dyn Store>,
    notifier: Arc<dyn Notifier>,
    most_crashes: u32,
}

/// What a transaction looks for.
#[derive(Clone, Copy)]
enum Overdue {
    /// Leases whose holder is silent, dead or late.
    Leases,
    /// Unclaimed delegations past their deadline.
    Queued,
}

/// The result of one transaction.
struct Taken {
    count: usize,
    held_back: u64,
    topics: BTreeSet<String>,
}

impl Sweep {
    /// Creates the use case over these ports. The server's own work during which `most_crashes` servers ended is given
    /// up.
    pub fn new(store: Arc<dyn Store>, notifier: Arc<dyn Notifier>, most_crashes: u32) -> Self {
        Self {
            store,
            notifier,
            most_crashes,
        }
    }

    /// Takes back delegations that are silent for longer than `silence`, past their deadline, or held by an earlier
    /// boot of `worker`. Returns how many.
    pub async fn run(&self, worker: &WorkerIdentity, silence: Duration) -> Result<usize, Failure> {
        let mut all = 0;
        for wanted in [Overdue::Leases, Overdue::Queued] {
            loop {
                let taken = retried!(self.once(wanted, worker, silence))?.into_inner();
                all += taken.count;
                taken.topics.iter().for_each(|topic| self.notifier.notify(topic));
                if taken.held_back > 0 {
                    tracing::error!(
                        held_back = taken.held_back,
                        "so many callees fell silent at once that it looks like a fault of the network or the database; their leases get as much time again"
                    );
                }
                if taken.count < MAX_AT_ONCE as usize {
                    break;
                }
            }
        }
        Ok(all)
    }

    async fn once(
        &self,
        wanted: Overdue,
        worker: &WorkerIdentity,
        silence: Duration,
    ) -> Result<Committed<Taken>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let swept = match wanted {
            Overdue::Leases => uow.delegations().take_stuck(worker, silence, MAX_AT_ONCE).await?,
            Overdue::Queued => Swept {
                stuck: uow.delegations().take_expired(MAX_AT_ONCE).await?,
                held_back: 0,
            },
        };
        let taken = Taken {
            topics: go_on(&mut uow, &swept.stuck, self.most_crashes).await?,
            count: swept.stuck.len(),
            held_back: swept.held_back,
        };
        Ok(uow.commit(taken).await?)
    }
}

/// Redelegates stuck delegations, or gives up their tasks. Returns the topics to wake.
async fn go_on(
    uow: &mut UnitOfWork,
    stuck: &[Stuck],
    most_crashes: u32,
) -> Result<BTreeSet<String>, Failure> {
    let mut topics = BTreeSet::new();
    for one in stuck {
        tracing::warn!(delegation = %one.id, retry_count = one.retry_count, crashes = one.crashes, why = one.why, "a delegation is stuck");
        if is_own(&one.caller) {
            go_on_with_own(uow, one, most_crashes).await?;
        } else {
            go_on_for_caller(uow, one).await?;
            topics.insert(inbox_topic(&one.caller));
        }
        topics.insert(work_topic(&one.callee));
    }
    Ok(topics)
}

async fn go_on_for_caller(uow: &mut UnitOfWork, stuck: &Stuck) -> Result<(), Failure> {
    // After its deadline it can no longer be done.
    let next = (!stuck.expired && stuck.retry_count < stuck.max_retries)
        .then(|| stuck.id.retry(stuck.retry_count + 1));
    let next = match next {
        Some(next)
            if uow
                .delegations()
                .redelegate(&stuck.id, &next, backoff(stuck.retry_count + 1), false)
                .await? =>
        {
            Some(next)
        }
        _ => None,
    };
    if let (None, Some((task, ..))) = (&next, &stuck.task) {
        uow.delegations().give_up(*task, &stuck.why).await?;
    }
    uow.delegations().notify_stuck(stuck, next.as_ref()).await?;
    Ok(())
}

async fn go_on_with_own(uow: &mut UnitOfWork, stuck: &Stuck, most_crashes: u32) -> Result<(), Failure> {
    let Some((task, kind, params)) = &stuck.task else {
        return Ok(());
    };
    // It would end the next server as well, and with it the work of others.
    if stuck.crashes >= most_crashes {
        let why = format!("the server that worked on it ended {} times", stuck.crashes);
        tracing::error!(task.id = %task, why, "the server's own work is given up");
        uow.delegations().give_up(*task, &why).await?;
        return end_given_up(uow, *task, kind, params, &why).await;
    }
    if stuck.retry_count < MAX_RETRIES {
        let retry = stuck.retry_count + 1;
        // The first retry is immediate: a restart is no fault of the task.
        let delay = retry
            .checked_sub(3)
            .filter(|n| *n > 0)
            .map_or(Duration::ZERO, backoff);
        uow.delegations()
            .create(&delegation(*task, kind.as_str(), retry, &stuck.preview, delay))
            .await?;
        return Ok(());
    }
    uow.delegations().give_up(*task, &stuck.why).await?;
    give_up(uow, *task, kind, params, &stuck.why).await
}

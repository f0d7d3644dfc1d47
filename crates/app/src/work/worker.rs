//! The worker: claims, works, sends heartbeats, sweeps, and drains when it is stopped.
//!
//! Its concurrency limits the running of hooks: a batch releases its place when its hooks have ended, and is written
//! while those of the next one run. Invariant: at most `concurrency` units run hooks, and at most twice as many are
//! held. Who can break it: a database that writes slower than hooks compute; so nothing is claimed while twice as
//! many are held, and what waits stays in the queue for other servers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::kind::{Coded as _, Kind};
use domain::{DelegationId, TaskKind};
use ports::{Claim, WorkQueue, WorkerIdentity};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ingest::schedule_ingestions::ScheduleIngestions;
use crate::metrics::{Metrics, WorkEnd};
use crate::work::archive::Archive;
use crate::work::process_batch::ProcessBatch;
use crate::work::process_submission::ProcessSubmission;
use crate::work::pull_records::PullRecords;
use crate::work::run_hooks::RunHooks;
use crate::work::sweep::Sweep;

/// The interval at which schedules are checked; their unit is minutes.
const SCHEDULE_EVERY: Duration = Duration::from_secs(5);

/// How a worker behaves.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Its name and boot id.
    pub identity: WorkerIdentity,
    /// How many claims it runs hooks for at once; as many more may be written meanwhile.
    pub concurrency: u32,
    /// After how long without a heartbeat its leases expire.
    pub silence: Duration,
    /// The poll interval if nothing wakes it.
    pub poll: Duration,
    /// How long it continues with what it holds after it was stopped.
    pub drain: Duration,
}

/// The jobs of a worker.
pub struct WorkerJobs {
    /// Running hooks over batches.
    pub batches: ProcessBatch,
    /// Asking ingesters.
    pub pulls: PullRecords,
    /// Running hooks over submissions.
    pub submissions: ProcessSubmission,
    /// The runner of hooks that all of these share.
    pub hooks: Arc<RunHooks>,
    /// Opening runs when a schedule says so.
    pub schedules: ScheduleIngestions,
}

/// Runs the server's own work.
pub struct Worker {
    options: WorkerOptions,
    queue: Arc<dyn WorkQueue>,
    work: WorkerJobs,
    sweep: Arc<Sweep>,
    archive: Arc<Archive>,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    held: Mutex<BTreeMap<DelegationId, (i64, CancellationToken)>>,
}

/// Removes a delegation from the held ones, however its work ends.
struct Held<'a> {
    worker: &'a Worker,
    delegation: &'a DelegationId,
}

/// Returns how many units may run hooks at once.
fn places(options: &WorkerOptions) -> usize {
    usize::try_from(options.concurrency).unwrap_or(Semaphore::MAX_PERMITS / 2)
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.worker.holding().remove(self.delegation);
        self.worker.metrics.let_go();
        if std::thread::panicking() {
            self.worker.metrics.unhandled_error();
        }
    }
}

impl Worker {
    /// Creates a worker over these use cases.
    pub fn new(
        options: WorkerOptions,
        queue: Arc<dyn WorkQueue>,
        work: WorkerJobs,
        sweep: Arc<Sweep>,
        archive: Arc<Archive>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(places(&options)));
        Self {
            options,
            places,
            queue,
            work,
            sweep,
            archive,
            metrics,
            held: Mutex::new(BTreeMap::new()),
        }
    }

    /// Works until `stop`, then makes no new claims, continues with what it holds for at most the drain time, and
    /// lets the rest go.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let heartbeats = tokio::spawn(Arc::clone(&self).heartbeat_loop());
        let sweeps = tokio::spawn(Arc::clone(&self).sweep_loop(stop.clone()));
        let archives = tokio::spawn(Arc::clone(&self).archive_loop());
        let schedules = tokio::spawn(Arc::clone(&self).schedule_loop());
        let mut running = JoinSet::new();
        let most_held = 2 * places(&self.options);
        while !stop.is_cancelled() {
            while running.try_join_next().is_some() {}
            let room = most_held.saturating_sub(running.len());
            if room == 0 {
                tokio::select! { _ = running.join_next() => {}, () = stop.cancelled() => {} }
                continue;
            }
            // Waits for one place, and takes all that are free.
            let mut free = tokio::select! {
                place = Arc::clone(&self.places).acquire_owned() => place.into_iter().collect::<Vec<_>>(),
                () = stop.cancelled() => continue,
            };
            while free.len() < room
                && let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
            {
                free.push(place);
            }
            let claims = self.claim(u32::try_from(free.len()).unwrap_or(u32::MAX)).await;
            let none = claims.is_empty();
            for (claim, place) in claims.into_iter().zip(free.drain(..)) {
                running.spawn(Arc::clone(&self).work(claim, place));
            }
            if none {
                tokio::select! {
                    () = self.queue.wait(self.options.poll) => {}
                    _ = running.join_next(), if !running.is_empty() => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        let drained = tokio::time::timeout(self.options.drain, async {
            while running.join_next().await.is_some() {}
        })
        .await
        .is_ok();
        if !drained {
            tracing::warn!(
                left = running.len(),
                "the drain time is over; other servers will resume what is left"
            );
            running.shutdown().await;
        }
        heartbeats.abort();
        sweeps.abort();
        archives.abort();
        schedules.abort();
    }

    async fn claim(&self, most: u32) -> Vec<Claim> {
        match self.queue.claim(&self.options.identity, most).await {
            Ok(claims) => {
                self.metrics.queue_answered();
                claims
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "claiming failed");
                tokio::time::sleep(self.options.poll).await;
                Vec::new()
            }
        }
    }

    /// Works on a claim. Its failure ends neither the worker nor its other claims (WC-D7).
    async fn work(self: Arc<Self>, claim: Claim, place: OwnedSemaphorePermit) {
        let lost = CancellationToken::new();
        self.holding()
            .insert(claim.delegation.clone(), (claim.attempt, lost.clone()));
        self.metrics.begun();
        let begun = Instant::now();
        // Also when the work panics: without a worker, a claim must not get heartbeats.
        let _held = Held {
            worker: &self,
            delegation: &claim.delegation,
        };
        let work = async {
            match claim.kind.as_str() {
                TaskKind::INGEST_BATCH => self.work.batches.run(&claim, place).await,
                TaskKind::SUBMISSION => self.work.submissions.run(&claim).await,
                TaskKind::INGEST_PULL => self.work.pulls.run(&claim).await,
                other => {
                    tracing::error!(delegation = %claim.delegation, kind = other, "no server knows work of this kind");
                    Ok(WorkEnd::Done)
                }
            }
        };
        let end = tokio::select! {
            result = work => match result {
                Ok(end) => end,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, delegation = %claim.delegation, "work failed; it will be retried when its lease expires");
                    if error.kind() == Kind::Bug {
                        self.metrics.unhandled_error();
                    }
                    WorkEnd::Failed
                }
            },
            () = lost.cancelled() => {
                tracing::warn!(delegation = %claim.delegation, attempt = claim.attempt, "the claim was lost; its work was stopped");
                WorkEnd::Lost
            }
        };
        self.metrics.ended(claim.kind.as_str(), end, begun.elapsed());
    }

    fn holding(&self) -> std::sync::MutexGuard<'_, BTreeMap<DelegationId, (i64, CancellationToken)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends heartbeats at a sixth of the silence limit, at most every 30 s, in one statement for all claims
    /// (LEDGER-6.3).
    async fn heartbeat_loop(self: Arc<Self>) {
        let every = (self.options.silence / 6).min(Duration::from_secs(30));
        loop {
            tokio::time::sleep(every).await;
            let claims: Vec<(DelegationId, i64)> = self
                .holding()
                .iter()
                .map(|(id, (attempt, _))| (id.clone(), *attempt))
                .collect();
            if claims.is_empty() {
                continue;
            }
            match self.queue.heartbeat(&claims).await {
                Ok(kept) => {
                    for (id, attempt) in claims.iter().filter(|(id, _)| !kept.contains(id)) {
                        // It may have ended meanwhile; then the token has no listener.
                        if let Some((_, lost)) = self.holding().get(id).filter(|(held, _)| held == attempt) {
                            lost.cancel();
                        }
                    }
                }
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "heartbeat failed"),
            }
        }
    }

    /// Archives old delegations. Each move is a transaction of its own, so it can be ended at any time.
    async fn archive_loop(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.archive.every()).await;
            match self.archive.run().await {
                Ok(0) => {}
                Ok(moved) => tracing::info!(moved, "old delegations were moved to the archive"),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "moving to the archive failed"
                    );
                }
            }
        }
    }

    /// Opens scheduled runs. Each one is opened in a transaction of its own, so it can be ended at any time.
    async fn schedule_loop(self: Arc<Self>) {
        // Left-overs can wait; like the queue they are checked when nothing else happens.
        let tidy_every = self.options.poll.max(SCHEDULE_EVERY);
        let mut tidied: Option<Instant> = None;
        loop {
            if let Err(error) = self.work.schedules.run().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "opening scheduled ingest runs failed"
                );
            }
            if tidied.is_none_or(|last| last.elapsed() >= tidy_every) {
                tidied = Some(Instant::now());
                if let Err(error) = self.work.hooks.tidy().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "checkpoints of ended attempts could not be removed"
                    );
                }
            }
            tokio::time::sleep(SCHEDULE_EVERY).await;
        }
    }

    async fn sweep_loop(self: Arc<Self>, stop: CancellationToken) {
        let every = (self.options.silence / 4).min(Duration::from_secs(30));
        while !stop.is_cancelled() {
            match self.sweep.run(&self.options.identity, self.options.silence).await {
                Ok(0) => {}
                Ok(taken) => tracing::warn!(taken, "stuck delegations were taken back"),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "sweeping failed"),
            }
            tokio::time::sleep(every).await;
        }
    }
}

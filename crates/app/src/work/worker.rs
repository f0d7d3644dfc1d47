//! The worker: claims, works, sends heartbeats, sweeps, and drains when it is stopped.
//!
//! Its concurrency limits the running of hooks: a batch releases its place when its hooks have ended, and is written
//! while those of the next one run. Invariant: at most `concurrency` units run hooks, and at most twice as many are
//! held. Who can break it: a database that writes slower than hooks compute; so nothing is claimed while twice as
//! many are held, and what waits stays in the queue for other servers.
//!
//! Each held unit has a turn. Invariant: a unit at which servers ended runs while no other unit has one, so that its next
//! end takes no other unit with it, and tells who it was. Who can break it: two such units at once, or one that keeps its place
//! while it waits; so it gives both back, and takes all turns at once and needs no place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::ledger::delegation::ALONE_AFTER_CRASHES;
use domain::{DelegationId, TaskKind};
use ports::{Claim, WorkQueue, WorkerIdentity};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::background::Pulse;
use crate::failure::Failure;
use crate::ingest::follow_withdrawals::FollowWithdrawals;
use crate::ingest::schedule_ingestions::ScheduleIngestions;
use crate::metrics::{Metrics, WorkEnd};
use crate::pause::Pause;
use crate::work::archive::Archive;
use crate::work::attempt::Attempt;
use crate::work::housekeeping::{Housekeeping, LEFT_OVERS_PATIENCE, LONG_ROUND};
use crate::work::process_batch::ProcessBatch;
use crate::work::process_submission::ProcessSubmission;
use crate::work::pull_records::PullRecords;
use crate::work::run_hooks::RunHooks;
use crate::work::sweep::Sweep;

/// How long a loop that is to act within seconds may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a stopping server tries to say so of what it held.
const STOPPED: Duration = Duration::from_secs(5);
/// How long after a failed claim the ledger is searched for claims whose response was lost: the failed statement may
/// commit late.
const UNSURE: Duration = Duration::from_secs(60);

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
    /// What withdrawals of whole runs leave to do.
    pub withdrawals: FollowWithdrawals,
}

/// Runs the server's own work.
pub struct Worker {
    options: WorkerOptions,
    queue: Arc<dyn WorkQueue>,
    batches: ProcessBatch,
    pulls: PullRecords,
    submissions: ProcessSubmission,
    housekeeping: Housekeeping,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    held: Mutex<BTreeMap<DelegationId, (i64, CancellationToken)>>,
}

/// A held claim. Dropped, it is held no longer, however its work ended: then it must not get heartbeats.
struct Held {
    worker: Arc<Worker>,
    claim: Claim,
    /// Cancelled when the claim is lost.
    lost: CancellationToken,
}

/// What a claimed unit has from the start: a place to run hooks, and a turn.
struct Admission {
    place: OwnedSemaphorePermit,
    turn: OwnedSemaphorePermit,
}

/// How long to pause at most between two tries to begin the work on a claim.
const LONGEST: Duration = Duration::from_secs(10);

/// Returns how many units may run hooks at once.
fn places(options: &WorkerOptions) -> u32 {
    options.concurrency.clamp(1, u32::MAX / 2)
}

/// Returns how many permits a semaphore has.
fn permits(count: u32) -> usize {
    usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)
}

impl Drop for Held {
    fn drop(&mut self) {
        self.worker.holding().remove(&self.claim.delegation);
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
        let places = places(&options);
        Self {
            options,
            places: Arc::new(Semaphore::new(permits(places))),
            turns: Arc::new(Semaphore::new(permits(2 * places))),
            queue,
            batches: work.batches,
            pulls: work.pulls,
            submissions: work.submissions,
            housekeeping: Housekeeping {
                sweep,
                archive,
                schedules: work.schedules,
                hooks: work.hooks,
                withdrawals: work.withdrawals,
            },
            metrics,
            held: Mutex::new(BTreeMap::new()),
        }
    }

    /// Works until `stop`, then makes no new claims, continues with what it holds for at most the drain time, and
    /// lets the rest go.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut loops = self.start_loops(&stop);
        // Outside of the loop that claims, so that its restart ends no work.
        let running = tokio::sync::Mutex::new(JoinSet::new());
        let (all, work, until) = (&self, &running, &stop);
        self.metrics
            .loops()
            .keep("claims", Duration::MAX, until, |pulse| async move {
                all.claim_loop(&mut *work.lock().await, until, pulse).await;
            })
            .await;
        let mut running = running.into_inner();
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
            // Their end is none of their doing.
            let stopped = self.queue.stopped(&self.options.identity);
            match tokio::time::timeout(STOPPED, stopped).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what is left could not be marked as stopped; it counts as work that a server ended at"
                ),
                Err(_) => tracing::warn!(
                    "what is left could not be marked as stopped in time; it counts as work that a server ended at"
                ),
            }
        }
        loops.shutdown().await;
    }

    /// Starts the loops besides the one that claims.
    fn start_loops(self: &Arc<Self>, stop: &CancellationToken) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        let (worker, all) = (Arc::clone(self), Arc::clone(self.metrics.loops()));
        loops.spawn(async move {
            // While the server drains, too.
            let never = CancellationToken::new();
            all.keep("heartbeats", PATIENCE, &never, |pulse| {
                worker.heartbeat_loop(pulse)
            })
            .await;
        });
        let (worker, all, stop) = (Arc::clone(self), Arc::clone(self.metrics.loops()), stop.clone());
        loops.spawn(async move {
            let (house, options) = (&worker.housekeeping, &worker.options);
            let working = async {
                tokio::join!(
                    all.keep("sweep", PATIENCE, &stop, |pulse| house.sweep(
                        &options.identity,
                        options.silence,
                        pulse
                    )),
                    all.keep("archive", LONG_ROUND, &stop, |pulse| house.archive(pulse)),
                    all.keep("schedules", LONG_ROUND, &stop, |pulse| house
                        .schedules(options.poll, pulse)),
                    all.keep("withdrawals", LONG_ROUND, &stop, |pulse| house.withdrawals(pulse)),
                    all.keep("left_overs", LEFT_OVERS_PATIENCE, &stop, |pulse| house
                        .left_overs(pulse)),
                )
            };
            tokio::select! { _ = working => {}, () = stop.cancelled() => {} }
        });
        loops
    }

    async fn claim_loop(self: &Arc<Self>, running: &mut JoinSet<()>, stop: &CancellationToken, pulse: Pulse) {
        let most_held = permits(2 * places(&self.options));
        let mut unsure: Option<Instant> = None;
        while !stop.is_cancelled() {
            while running.try_join_next().is_some() {}
            let room = most_held.saturating_sub(running.len());
            if room == 0 {
                tokio::select! { _ = running.join_next() => {}, () = stop.cancelled() => {} }
                continue;
            }
            let mut free = tokio::select! {
                admission = self.admission() => admission.into_iter().collect::<Vec<_>>(),
                () = stop.cancelled() => continue,
            };
            while free.len() < room
                && let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned()
                && let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
            {
                free.push(Admission { place, turn });
            }
            if unsure.is_some() {
                self.disown(&mut unsure).await;
            }
            let claimed = self
                .queue
                .claim(
                    &self.options.identity,
                    u32::try_from(free.len()).unwrap_or(u32::MAX),
                )
                .await;
            pulse.round(&claimed);
            let claims = match claimed {
                Ok(claims) => {
                    self.metrics.queue_answered();
                    claims
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "claiming failed");
                    unsure = Some(Instant::now());
                    drop(free);
                    tokio::time::sleep(self.options.poll).await;
                    continue;
                }
            };
            let none = claims.is_empty();
            for (claim, admission) in claims.into_iter().zip(free.drain(..)) {
                running.spawn(self.hold(claim).work(admission));
            }
            drop(free);
            if none {
                tokio::select! {
                    () = self.queue.wait(self.options.poll) => {}
                    _ = running.join_next(), if !running.is_empty() => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// Waits for one turn and one place. The turn comes first: a unit that waits to be alone would wait for those who
    /// hold turns, and they for a place.
    async fn admission(&self) -> Option<Admission> {
        // They are never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Admission { place, turn })
    }

    /// Waits until nothing runs beside a claim, and begins the work on it. Returns the turns, or `None` if the claim was
    /// lost.
    async fn alone(&self, claim: &Claim) -> Option<OwnedSemaphorePermit> {
        tracing::warn!(delegation = %claim.delegation, attempt = claim.attempt, crashes = claim.crashes, "servers ended while they worked on this; it waits until nothing runs beside it");
        let all = 2 * places(&self.options);
        let turns = Arc::clone(&self.turns).acquire_many_owned(all).await.ok()?;
        let mut pause = Pause::of_at_most(LONGEST);
        loop {
            match self.queue.begin(claim).await {
                Ok(true) => return Some(turns),
                Ok(false) => return None,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    delegation = %claim.delegation,
                    "the work on a claim could not be begun"
                ),
            }
            tokio::time::sleep(pause.next()).await;
        }
    }

    /// Disowns claims whose response was lost, so that they do not wait for their leases to expire.
    async fn disown(&self, unsure: &mut Option<Instant>) {
        let options = &self.options;
        match self.queue.disown(&options.identity, &self.claims_held()).await {
            Ok(disowned) => {
                if disowned > 0 {
                    tracing::warn!(disowned, "claims whose response was lost are taken back");
                    // If this fails, the loop of the sweep does it.
                    let _ = self
                        .housekeeping
                        .sweep_now(&options.identity, options.silence)
                        .await;
                }
                if unsure.is_some_and(|since| since.elapsed() > UNSURE) {
                    *unsure = None;
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "claims whose response was lost could not be searched for"
            ),
        }
    }

    /// Holds a claim from now on.
    fn hold(self: &Arc<Self>, claim: Claim) -> Held {
        let lost = CancellationToken::new();
        self.holding()
            .insert(claim.delegation.clone(), (claim.attempt, lost.clone()));
        self.metrics.begun();
        Held {
            worker: Arc::clone(self),
            claim,
            lost,
        }
    }

    /// Makes one try at a claim. The first has a place to run hooks; a repetition waits for one. What is alone needs
    /// none.
    async fn process(
        &self,
        claim: &Claim,
        place: Option<OwnedSemaphorePermit>,
        is_alone: bool,
    ) -> Result<WorkEnd, Failure> {
        let place = match place {
            Some(place) => Some(place),
            None if is_alone => None,
            None => Arc::clone(&self.places).acquire_owned().await.ok(),
        };
        match claim.kind.as_str() {
            TaskKind::INGEST_BATCH => self.batches.run(claim, place).await,
            TaskKind::SUBMISSION => self.submissions.run(claim).await,
            TaskKind::INGEST_PULL => self.pulls.run(claim).await,
            other => {
                tracing::error!(delegation = %claim.delegation, kind = other, "no server knows work of this kind");
                Ok(WorkEnd::Done)
            }
        }
    }

    fn holding(&self) -> std::sync::MutexGuard<'_, BTreeMap<DelegationId, (i64, CancellationToken)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claims_held(&self) -> Vec<(DelegationId, i64)> {
        let held = self.holding();
        held.iter()
            .map(|(id, (attempt, _))| (id.clone(), *attempt))
            .collect()
    }

    /// Sends heartbeats at a sixth of the silence limit, at most every 30 s, in one statement for all claims
    /// (LEDGER-6.3). Sends them at once when claims were cancelled.
    async fn heartbeat_loop(&self, pulse: Pulse) {
        let every = (self.options.silence / 6).min(Duration::from_secs(30));
        loop {
            // Cancelled work stops at once, and not only when the next heartbeat is due.
            self.queue.wait_cancelled(every).await;
            let claims = self.claims_held();
            if claims.is_empty() {
                pulse.alive();
                continue;
            }
            let answer = self.queue.heartbeat(&claims).await;
            pulse.round(&answer);
            match answer {
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
}

impl Held {
    /// Works on the claim. Its failure ends neither the worker nor its other claims (WC-D7).
    async fn work(self, Admission { place, turn }: Admission) {
        let (worker, claim) = (&*self.worker, &self.claim);
        let begun = Instant::now();
        let attempt = Attempt {
            store: &*worker.housekeeping.hooks.store,
            queue: &*worker.queue,
            metrics: &worker.metrics,
            claim,
        };
        let is_alone = claim.crashes >= ALONE_AFTER_CRASHES;
        let work = async {
            let (mut place, _turn) = if is_alone {
                drop((place, turn));
                let Some(turns) = worker.alone(claim).await else {
                    return WorkEnd::Lost;
                };
                (None, turns)
            } else {
                (Some(place), turn)
            };
            attempt
                .run(|| worker.process(claim, place.take(), is_alone))
                .await
        };
        let end = tokio::select! {
            end = work => end,
            () = self.lost.cancelled() => {
                tracing::warn!(delegation = %claim.delegation, attempt = claim.attempt, "the claim was lost; its work was stopped");
                WorkEnd::Lost
            }
        };
        worker.metrics.ended(claim.kind.as_str(), end, begun.elapsed());
    }
}

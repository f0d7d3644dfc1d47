//! What every server does besides working on claims: the sweep, the archive, schedules, left-overs, and what withdrawals
//! of whole runs leave to do. Each is a loop, which reports its rounds and can be ended at any time: what it does is
//! transactions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::WorkerIdentity;

use crate::background::Pulse;
use crate::failure::Failure;
use crate::ingest::follow_withdrawals::FollowWithdrawals;
use crate::ingest::schedule_ingestions::ScheduleIngestions;
use crate::work::archive::Archive;
use crate::work::run_hooks::RunHooks;
use crate::work::sweep::Sweep;

/// The interval at which schedules are checked; their unit is minutes.
const SCHEDULE_EVERY: Duration = Duration::from_secs(5);
/// The interval at which unfinished withdrawals of runs are looked for; the server that took the request works on them first.
const WITHDRAWALS_EVERY: Duration = Duration::from_secs(15);
/// The interval at which the blob store is searched for what killed servers left unfinished.
const LEFT_OVERS_EVERY: Duration = Duration::from_hours(6);
/// After so long without a write, what is unfinished in the blob store is a killed server's. A living one writes a part of
/// 8 MiB at least every nine hours, even of a body as slow as `http.body_bytes_per_second` allows by default.
const LEFT_OVER_AGE: Duration = Duration::from_hours(24);
/// How long the search may be silent: it reads every name in the blob store.
pub(crate) const LEFT_OVERS_PATIENCE: Duration = Duration::from_hours(12);
/// How long a round of a loop may take that works through much, as the archive does.
pub(crate) const LONG_ROUND: Duration = Duration::from_mins(10);

/// The loops of a server.
pub(crate) struct Housekeeping {
    pub(crate) sweep: Arc<Sweep>,
    pub(crate) archive: Arc<Archive>,
    pub(crate) schedules: ScheduleIngestions,
    pub(crate) hooks: Arc<RunHooks>,
    pub(crate) withdrawals: FollowWithdrawals,
}

impl Housekeeping {
    /// Takes back stuck delegations, four times within `silence` and at most every 30 s.
    pub(crate) async fn sweep(&self, worker: &WorkerIdentity, silence: Duration, pulse: Pulse) {
        let every = (silence / 4).min(Duration::from_secs(30));
        loop {
            pulse.round(&self.sweep_now(worker, silence).await);
            tokio::time::sleep(every).await;
        }
    }

    /// Takes back stuck delegations once.
    pub(crate) async fn sweep_now(
        &self,
        worker: &WorkerIdentity,
        silence: Duration,
    ) -> Result<usize, Failure> {
        let swept = self.sweep.run(worker, silence).await;
        match &swept {
            Ok(0) => {}
            Ok(taken) => tracing::warn!(taken, "stuck delegations were taken back"),
            Err(error) => tracing::error!(error = error as &dyn std::error::Error, "sweeping failed"),
        }
        swept
    }

    /// Archives old delegations.
    pub(crate) async fn archive(&self, pulse: Pulse) {
        loop {
            tokio::time::sleep(self.archive.every()).await;
            let moved = self.archive.run().await;
            match &moved {
                Ok(0) => {}
                Ok(moved) => tracing::info!(moved, "old delegations were moved to the archive"),
                Err(error) => tracing::error!(
                    error = error as &dyn std::error::Error,
                    "moving to the archive failed"
                ),
            }
            pulse.round(&moved);
        }
    }

    /// Opens scheduled runs, and removes left-overs when nothing else happens: at most as often as the queue is polled.
    pub(crate) async fn schedules(&self, poll: Duration, pulse: Pulse) {
        let tidy_every = poll.max(SCHEDULE_EVERY);
        let mut tidied: Option<Instant> = None;
        loop {
            let opened = self.schedules.run().await;
            if let Err(error) = &opened {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    "opening scheduled ingest runs failed"
                );
            }
            if tidied.is_none_or(|last| last.elapsed() >= tidy_every) {
                tidied = Some(Instant::now());
                if let Err(error) = self.hooks.tidy().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "checkpoints of ended attempts could not be removed"
                    );
                }
            }
            pulse.round(&opened);
            tokio::time::sleep(SCHEDULE_EVERY).await;
        }
    }

    /// Removes what killed servers left in the blob store, at the start and then now and again. Several servers may do so at
    /// once.
    pub(crate) async fn left_overs(&self, pulse: Pulse) {
        loop {
            let removed = self.hooks.blobs.remove_unfinished(LEFT_OVER_AGE).await;
            match &removed {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "unfinished files of killed servers were removed"),
                Err(error) => tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "unfinished files of killed servers could not be removed"
                ),
            }
            // What cannot be removed takes room, and keeps nothing from working.
            pulse.alive();
            tokio::time::sleep(LEFT_OVERS_EVERY).await;
        }
    }

    /// Lets the tables follow withdrawals and restores of runs that a request left unfinished.
    pub(crate) async fn withdrawals(&self, pulse: Pulse) {
        loop {
            let followed = self.withdrawals.run().await;
            match &followed {
                Ok(0) => {}
                Ok(runs) => tracing::info!(runs, "withdrawals or restores of ingest runs were carried on"),
                Err(error) => tracing::error!(
                    error = error as &dyn std::error::Error,
                    "withdrawals of ingest runs could not be carried on"
                ),
            }
            pulse.round(&followed);
            tokio::time::sleep(WITHDRAWALS_EVERY).await;
        }
    }
}

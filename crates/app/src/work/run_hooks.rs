//! Running every hook of a unit of work, a batch or a submission: the same code for both, and so the same
//! policy (WC-D16).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use domain::work::failure::{FailureAction, FailureKind};
use domain::work::outcome::HookOutput;
use domain::work::output_file::OutputFile;
use domain::{HookRun, RecordOutcome, RunCounts, RunId, SourceId};
use ports::error::is_full;
use ports::ingest::RecordEnd;
use ports::work::{CheckpointRef, Pin};
use ports::{
    Blobs, Claim, Committed, Disk, HookRecord, RecordFile, Runner, StagedFiles, Store, StoreError, UnitOfWork,
};
use time::OffsetDateTime;

use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::outputs::{Outputs, store};
use crate::retry::retried;
use crate::work::hook_execution::{Checkpoints, HookExecution, Killed, Work, execute};

/// The input of the hooks.
pub(crate) struct Unit {
    pub(crate) pins: Vec<Pin>,
    pub(crate) records: Vec<HookRecord>,
    pub(crate) files: Vec<RecordFile>,
    /// How often the unit was handed back before.
    pub(crate) retries: u32,
    /// The database's time, and the local one at that moment: run times are the former plus what passed since by the
    /// latter.
    pub(crate) at: OffsetDateTime,
    pub(crate) begun: Instant,
}

/// The execution of one hook.
pub(crate) struct Ran {
    pub(crate) run: HookRun,
    pub(crate) execution: HookExecution,
}

/// The result of a unit.
pub(crate) enum UnitEnd {
    /// Every hook was run, and each record has an outcome of each; or hooks were run until a failure that aborts the
    /// unit.
    Ran(Vec<Ran>, Option<Abort>),
    /// The unit is to be retried, for this reason.
    Retry(String),
}

/// A failure after which no unit like this one would succeed.
pub(crate) struct Abort {
    /// The reason, which names the hook.
    pub(crate) why: String,
    pub(crate) failure: FailureKind,
}

/// Runs the hooks of units.
pub struct RunHooks {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) blobs: Arc<dyn Blobs>,
    outputs: Outputs,
    metrics: Arc<Metrics>,
}

impl RunHooks {
    /// Creates the runner of hooks over these ports. One hook may compute at most `most_rows` rows for one batch.
    pub fn new(
        store: Arc<dyn Store>,
        runner: Arc<dyn Runner>,
        blobs: Arc<dyn Blobs>,
        metrics: Arc<Metrics>,
        most_rows: u64,
    ) -> Self {
        Self {
            store,
            outputs: Outputs::new(runner.clone(), most_rows),
            runner,
            blobs,
            metrics,
        }
    }

    /// Runs one hook after the other, over all records.
    pub(crate) async fn run(&self, claim: &Claim, unit: &Unit) -> Result<UnitEnd, Failure> {
        let mut ran = Vec::with_capacity(unit.pins.len());
        // Containers and processes find files in different directories; most units have one kind of hook.
        let mut staged: BTreeMap<&str, StagedFiles> = BTreeMap::new();
        for pin in &unit.pins {
            let image = &pin.release.release.image;
            let kind = self.runner.name(image);
            if !unit.files.is_empty() && !staged.contains_key(kind) {
                match self
                    .runner
                    .stage(image, claim.task, &*self.blobs, &unit.files)
                    .await
                {
                    Ok(files) => {
                        staged.insert(kind, files);
                    }
                    Err(error) if is_full(&error) => {
                        return Err(StoreError::full(Disk::Work, error).into());
                    }
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, task.id = %claim.task, "the records' files could not be laid out");
                        return Ok(UnitEnd::Retry(error.to_string()));
                    }
                }
            }
            let one = self.run_hook(claim, unit, pin, staged.get(kind)).await?;
            let text = |failure: &FailureKind| format!("hook {}: {failure}", pin.release.hook);
            match (one.execution.action, one.execution.failure.clone()) {
                (Some(FailureAction::Retry), Some(failure)) => return Ok(UnitEnd::Retry(text(&failure))),
                (Some(FailureAction::Abort), Some(failure)) => {
                    ran.push(one);
                    let why = text(&failure);
                    return Ok(UnitEnd::Ran(ran, Some(Abort { why, failure })));
                }
                _ => ran.push(one),
            }
        }
        Ok(UnitEnd::Ran(ran, None))
    }

    async fn run_hook(
        &self,
        claim: &Claim,
        unit: &Unit,
        pin: &Pin,
        files: Option<&StagedFiles>,
    ) -> Result<Ran, Failure> {
        let started_at = unit.at + unit.begun.elapsed();
        let work = Work {
            pin,
            records: &unit.records,
            files,
            retries: unit.retries,
        };
        let kept = StoredCheckpoint { of: self, claim };
        let execution = execute(&*self.runner, &self.outputs, &kept, work).await?;
        if let (Some(kind), Some(decision)) = (&execution.failure, execution.action) {
            self.metrics
                .hook_failed(pin.release.hook.as_str(), kind, decision);
        }
        let log_ref = if execution.keeps_log() {
            let key = format!(
                "logs/hook-runs/{}/{}-{}.log",
                pin.run, claim.delegation, claim.attempt
            );
            self.keep_log(key, &execution.log).await
        } else {
            None
        };
        let run = HookRun {
            id: pin.run,
            release: pin.release.id,
            location: pin.release.locations.number(),
            status: execution.status(),
            started_at,
            finished_at: unit.at + unit.begun.elapsed(),
            duration_s: execution.duration.as_secs_f64(),
            oom_retries: execution.oom_retries,
            counts: Some(RunCounts::of(execution.outcomes.values())),
            worker: format!(
                "{} ({})",
                claim.worker.name,
                self.runner.name(&pin.release.release.image)
            ),
            log_ref,
            failure: execution.failure.as_ref().map(FailureKind::to_string),
        };
        tracing::info!(run.id = %run.id, hook = %pin.release.hook, version = %pin.release.version, status = run.status.as_str(), records = unit.records.len(), duration_s = run.duration_s, "hook run");
        Ok(Ran { run, execution })
    }

    /// Stores a log, and returns its key. A run without its log is worth more than no run. The content of a log goes
    /// nowhere else (PRV-8).
    pub(crate) async fn keep_log(&self, key: String, log: &[u8]) -> Option<String> {
        match self.blobs.put(&key, Bytes::copy_from_slice(log)).await {
            Ok(()) => Some(key),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    key,
                    "a log could not be stored"
                );
                None
            }
        }
    }

    /// Removes the checkpoints of tasks that have ended: first the files, then the rows that name them, so that a
    /// server that dies in between leaves no orphaned files. Returns the number of cleaned runs.
    pub(crate) async fn tidy(&self) -> Result<usize, Failure> {
        let runs = retried!(self.useless())?.into_inner();
        for run in &runs {
            self.blobs.delete_all(&checkpoint_prefix(*run)).await?;
        }
        if !runs.is_empty() {
            retried!(self.remove(&runs))?.into_inner();
        }
        Ok(runs.len())
    }

    async fn useless(&self) -> Result<Committed<Vec<RunId>>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let runs = uow.runs().useless_checkpoints(MAX_TIDIED).await?;
        Ok(uow.commit(runs).await?)
    }

    async fn remove(&self, runs: &[RunId]) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        uow.runs().remove_checkpoints(runs).await?;
        Ok(uow.commit(()).await?)
    }
}

/// The maximum number of runs that are cleaned at a time.
const MAX_TIDIED: u32 = 100;

/// Returns the outcome of a record that a hook did not pass: that of the first such hook, in their order. None if
/// every hook passed it.
pub(crate) fn against(pins: &[Pin], ran: &[Ran], record: &SourceId) -> Option<RecordEnd> {
    pins.iter().zip(ran).find_map(|(pin, one)| {
        let hook = || pin.release.hook.clone();
        match one.execution.outcomes.get(record) {
            Some(RecordOutcome::Passed(_)) => None,
            Some(RecordOutcome::Rejected(reason)) => Some(RecordEnd::Rejected(hook(), reason.clone())),
            Some(RecordOutcome::Errored(reason)) => Some(RecordEnd::Errored(hook(), reason.clone())),
            None => Some(RecordEnd::Errored(
                hook(),
                "the hook reported no outcome".to_owned(),
            )),
        }
    })
}

fn checkpoint_prefix(run: RunId) -> String {
    format!("checkpoints/{run}")
}

/// The files of a checkpoint, as parts of its key.
const PARTS: [&str; 5] = ["features", "rejections", "errors", "progress", "log"];

/// The checkpoints of one claim.
struct StoredCheckpoint<'a> {
    of: &'a RunHooks,
    claim: &'a Claim,
}

impl StoredCheckpoint<'_> {
    async fn references(&self, pin: &Pin) -> Result<Committed<Vec<CheckpointRef>>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.of.store).await?;
        let found = uow.runs().checkpoints(pin.run).await?;
        Ok(uow.commit(found).await?)
    }

    async fn refer(&self, pin: &Pin, checkpoint: &CheckpointRef) -> Result<Committed<bool>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.of.store).await?;
        let claim = self.claim;
        let held = uow
            .runs()
            .add_checkpoint(&claim.delegation, claim.attempt, pin.run, checkpoint)
            .await?;
        Ok(uow.commit(held).await?)
    }

    /// Returns the log, which the runner has bounded.
    async fn log(&self, key: &str) -> Result<Vec<u8>, Failure> {
        let log = self.part(key, "log").await?.to_vec();
        Ok(log.map_err(|e| StoreError::Unavailable(e.into()))?)
    }

    async fn part(&self, key: &str, part: &str) -> Result<OutputFile, Failure> {
        let key = format!("{key}/{part}");
        let found = self.of.outputs.stored(&*self.of.blobs, &key).await?;
        let missing = || {
            StoreError::corrupt(
                "hook_checkpoints",
                "a checkpoint's file is missing in the blob store",
            )
        };
        Ok(found.ok_or_else(missing)?)
    }
}

#[async_trait]
impl Checkpoints for StoredCheckpoint<'_> {
    async fn load(&self, pin: &Pin) -> Result<Vec<Killed>, Failure> {
        let mut killed = Vec::new();
        let mut memory = pin.release.release.content.limits.memory;
        for found in retried!(self.references(pin))?.into_inner() {
            let key = &found.key;
            killed.push(Killed {
                limit: memory.bytes(),
                output: HookOutput {
                    features: self.part(key, "features").await?,
                    rejections: self.part(key, "rejections").await?,
                    errors: self.part(key, "errors").await?,
                    progress: self.part(key, "progress").await?,
                },
                log: self.log(key).await?,
                duration: std::time::Duration::from_secs_f64(found.duration_s.max(0.0)),
            });
            memory = memory.doubled();
        }
        Ok(killed)
    }

    async fn save(&self, pin: &Pin, oom_retries: u32, killed: &Killed) -> Result<(), Failure> {
        // The attempt is in the key: a worker that was presumed dead writes elsewhere than the one that continues.
        let key = format!(
            "{}/{}-{}-{oom_retries}",
            checkpoint_prefix(pin.run),
            self.claim.delegation,
            self.claim.attempt
        );
        let output = &killed.output;
        let log = OutputFile::from(killed.log.clone());
        let contents = [
            &output.features,
            &output.rejections,
            &output.errors,
            &output.progress,
            &log,
        ];
        for (part, content) in PARTS.iter().zip(contents) {
            store(&*self.of.blobs, &format!("{key}/{part}"), content).await?;
        }
        let checkpoint = CheckpointRef {
            oom_retries,
            key,
            duration_s: killed.duration.as_secs_f64(),
        };
        if retried!(self.refer(pin, &checkpoint))?.into_inner() {
            self.of.metrics.hook_failed(
                pin.release.hook.as_str(),
                &FailureKind::Oom(killed.limit),
                FailureAction::RetryWithMoreMemory,
            );
            return Ok(());
        }
        Err(StoreError::Unavailable("the claim was lost: another worker has it now".into()).into())
    }
}

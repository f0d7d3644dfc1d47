//! Running one hook over the records of a unit of work, with more memory where it needs it (PRV-5).
//!
//! Invariant: a hook is run again with more memory at most three times per run, and the stored number is correct,
//! even after a crash. Who can break it: a server that is killed between two attempts. So the output of a killed
//! attempt is stored before the next one starts, under the claim's fence, and the server that resumes the run
//! continues from there (WC-D30).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use async_trait::async_trait;
use domain::kind::limited;
use domain::work::failure::{FailureAction, FailureKind, Stage, Tried};
use domain::work::outcome::{HookOutput, MAX_REASON};
use domain::{RecordOutcome, RunStatus, SourceId};
use ports::error::is_full;
use ports::work::Pin;
use ports::{Attempt, Disk, HookJob, HookRecord, RunStamp, Runner, StagedFiles, StoreError};

use crate::failure::Failure;
use crate::log_head::log_head;
use crate::outputs::{Outputs, Reading};

/// The result of an execution: an outcome for every record.
#[derive(Clone, Debug)]
pub struct HookExecution {
    /// Each record's outcome.
    pub outcomes: BTreeMap<SourceId, RecordOutcome>,
    /// The failure that the run ended with.
    pub failure: Option<FailureKind>,
    /// The action for that failure: keep this, retry the unit, or abort the run.
    pub action: Option<FailureAction>,
    /// How often it was run again with more memory.
    pub oom_retries: u32,
    /// How long the hook itself ran, over all tries.
    pub duration: Duration,
    /// The logs of the failed tries, one after the other, and of a last one that left a record errored.
    pub log: Vec<u8>,
    /// Lines of the last output that could not be read.
    pub faults: Vec<String>,
    /// How many rows it computed, over all tries.
    pub rows: u64,
}

impl HookExecution {
    /// Returns the run's status.
    pub fn status(&self) -> RunStatus {
        self.failure
            .as_ref()
            .map_or(RunStatus::Passed, FailureKind::run_status)
    }

    /// Returns whether its log is kept: it failed, or a record is errored.
    pub fn keeps_log(&self) -> bool {
        self.failure.is_some() || self.has_errored()
    }

    fn has_errored(&self) -> bool {
        let mut outcomes = self.outcomes.values();
        outcomes.any(|outcome| matches!(outcome, RecordOutcome::Errored(_)))
    }
}

/// An attempt that was killed for memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Killed {
    /// Its memory limit, in bytes.
    pub limit: u64,
    /// The hook's output until then.
    pub output: HookOutput,
    /// What it had printed until then.
    pub log: Vec<u8>,
    /// How long it had run.
    pub duration: Duration,
}

/// Stores the output of killed attempts of one run.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Loads those of earlier attempts at this run, in order.
    async fn load(&self, pin: &Pin) -> Result<Vec<Killed>, Failure>;
    /// Stores the `oom_retries`-th one, before the next attempt starts.
    async fn save(&self, pin: &Pin, oom_retries: u32, killed: &Killed) -> Result<(), Failure>;
}

/// The input of an execution.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The pinned release.
    pub pin: &'a Pin,
    /// The records.
    pub records: &'a [HookRecord],
    /// Their files.
    pub files: Option<&'a StagedFiles>,
    /// How often the unit of work was handed back before.
    pub retries: u32,
}

/// Runs the pinned release over the records. An error comes from the store or from a full disk; other failures of the
/// hook or the runner are part of the result.
pub async fn execute(
    runner: &dyn Runner,
    outputs: &Outputs,
    checkpoints: &dyn Checkpoints,
    work: Work<'_>,
) -> Result<HookExecution, Failure> {
    let pin = work.pin;
    let mut done = HookExecution {
        outcomes: BTreeMap::new(),
        failure: None,
        action: None,
        oom_retries: 0,
        duration: Duration::ZERO,
        log: Vec::new(),
        faults: Vec::new(),
        rows: 0,
    };
    let mut remaining: Vec<HookRecord> = work.records.to_vec();
    let mut limits = pin.release.release.content.limits;
    for killed in checkpoints.load(pin).await? {
        let reading = done.read(outputs, &killed.output, pin, &remaining).await?;
        done.take(reading, &mut remaining);
        done.add_log(&FailureKind::Oom(killed.limit), &killed.log);
        done.duration += killed.duration;
        done.oom_retries += 1;
        limits.memory = limits.memory.doubled();
    }
    // Small records first: if one record alone is too much, the others are done before it.
    let small_first =
        |records: &mut Vec<HookRecord>| records.sort_by(|a, b| a.size_hint_mb.total_cmp(&b.size_hint_mb));
    if done.oom_retries > 0 {
        small_first(&mut remaining);
    }
    // An empty record list passes without a run (WC-5.1).
    while !remaining.is_empty() {
        let content = &pin.release.release.content;
        let job = HookJob {
            run: pin.run,
            hook: pin.release.hook.clone(),
            release: pin.release.id,
            image: pin.release.release.image.clone(),
            digest: content.digest.clone(),
            config: content.config.clone(),
            limits,
            records: remaining,
            files: work.files.cloned(),
        };
        let attempt = attempted(runner, &job).await?;
        remaining = job.records;
        done.duration += attempt.duration;
        let mut reading = done.read(outputs, &attempt.output, pin, &remaining).await?;
        done.failure = why_failed(attempt.failure, &mut reading);
        let tried = Tried {
            oom_retries: done.oom_retries,
            retries: work.retries,
        };
        done.action = done
            .failure
            .as_ref()
            .map(|failure| failure.action(Stage::Hook, tried));
        if let Some(failure) = done.failure.clone() {
            done.add_log(&failure, &attempt.log);
        }
        if matches!(done.action, Some(FailureAction::Retry | FailureAction::Abort)) {
            return Ok(done);
        }
        if done.action != Some(FailureAction::ErrorAll) {
            done.take(reading, &mut remaining);
        }
        if done.action == Some(FailureAction::RetryWithMoreMemory) {
            if remaining.is_empty() {
                // It was killed after it had judged every record: nothing remains to be retried.
                (done.failure, done.action) = (None, None);
                break;
            }
            done.oom_retries += 1;
            let killed = Killed {
                limit: limits.memory.bytes(),
                output: attempt.output,
                log: attempt.log,
                duration: attempt.duration,
            };
            checkpoints.save(pin, done.oom_retries, &killed).await?;
            limits.memory = limits.memory.doubled();
            small_first(&mut remaining);
            continue;
        }
        let rest = match &done.failure {
            Some(FailureKind::RejectedRun(reason)) => RecordOutcome::Rejected(reason.clone()),
            Some(failure) => RecordOutcome::Errored(failure.to_string()),
            None => RecordOutcome::Errored(done.silence()),
        };
        done.outcomes
            .extend(remaining.drain(..).map(|record| (record.id, rest.clone())));
        if done.failure.is_none() && done.has_errored() {
            done.add_log(&"the hook ended with success", &attempt.log);
        }
    }
    Ok(done)
}

impl HookExecution {
    /// Reads an output as far as it is about these records.
    async fn read(
        &self,
        outputs: &Outputs,
        output: &HookOutput,
        pin: &Pin,
        remaining: &[HookRecord],
    ) -> Result<Reading, Failure> {
        let asked: BTreeSet<SourceId> = remaining.iter().map(|record| record.id.clone()).collect();
        outputs.read(output, &pin.contract, asked, self.rows).await
    }

    /// Takes over the outcomes of an output; the first outcome of a record counts. Removes those records from
    /// `remaining`.
    fn take(&mut self, reading: Reading, remaining: &mut Vec<HookRecord>) {
        self.outcomes.extend(reading.read.outcomes);
        self.faults = reading.read.faults;
        self.rows = reading.rows;
        remaining.retain(|record| !self.outcomes.contains_key(&record.id));
    }

    /// Returns why a record without an outcome is errored. A line that could not be read may have been its own.
    fn silence(&self) -> String {
        let mut why = "the hook ended with success and reported no outcome for this record".to_owned();
        if !self.faults.is_empty() {
            why.push_str("; ");
            why.push_str(&self.faults.join("; "));
        }
        limited(&why, MAX_REASON)
    }

    fn add_log(&mut self, end: &dyn Display, log: &[u8]) {
        self.log.extend_from_slice(log_head(end).as_bytes());
        self.log.extend_from_slice(log);
    }
}

/// Returns the failure of an attempt. Memory comes first, then a rejection of the whole run regardless of the exit status
/// (WC-5.1), then an output that cannot be read, which an exit status or a signal does not explain.
fn why_failed(attempt: Option<FailureKind>, reading: &mut Reading) -> Option<FailureKind> {
    match (attempt, reading.rejection.take(), reading.failure.take()) {
        (Some(oom @ FailureKind::Oom(_)), _, _) => Some(oom),
        (_, Some(message), _) => Some(FailureKind::RejectedRun(message)),
        (None | Some(FailureKind::HookExit(_) | FailureKind::Signalled(_)), None, Some(unread)) => {
            Some(unread)
        }
        (failure, None, _) => failure,
    }
}

/// Makes one attempt. A failure of the runner is one way in which an attempt can fail, and so is an output that
/// belongs to another run (PRV-3). A full disk is none: nothing is wrong with the hook.
async fn attempted(runner: &dyn Runner, job: &HookJob) -> Result<Attempt, Failure> {
    let expected = RunStamp {
        run: job.run,
        release: job.release,
    };
    let failed = |why: String| Attempt {
        failure: Some(FailureKind::Runtime(why)),
        output: HookOutput::default(),
        stamp: None,
        log: Vec::new(),
        duration: Duration::ZERO,
        peak_memory_bytes: None,
    };
    Ok(match runner.run(job).await {
        Ok(attempt) if attempt.stamp == Some(expected) => attempt,
        Ok(attempt) if attempt.stamp.is_none() && attempt.output.is_empty() => attempt,
        Ok(_) => failed("run.json beside the output does not name this run".to_owned()),
        Err(error) if is_full(&error) => return Err(StoreError::full(Disk::Work, error).into()),
        // Not its causes: they may contain what the hook printed.
        Err(error) => {
            tracing::error!(%error, hook = %job.hook, "the runner failed");
            failed(error.to_string())
        }
    })
}

#[cfg(test)]
mod tests;

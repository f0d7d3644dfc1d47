//! Running one hook over the records of a unit of work, with more memory where it needs it (PRV-5).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::failure::{FailureAction, FailureKind};
use domain::{RecordOutcome, RunStatus, SourceId};
use ports::repos::Pin;
use ports::{HookJob, HookRecord, HookRunner, RunnerError};

/// What became of it: an outcome for every record.
#[derive(Clone, Debug)]
pub struct HookExecution {
    /// Each record's outcome.
    pub outcomes: BTreeMap<SourceId, RecordOutcome>,
    /// The failure that the run ended with.
    pub failure: Option<FailureKind>,
    /// How often it was run again with more memory.
    pub oom_retries: u32,
    /// How long the hook itself ran, over all tries.
    pub duration: Duration,
    /// The logs of the tries that failed, one after the other.
    pub log: Vec<u8>,
}

impl HookExecution {
    /// The run's status.
    pub fn status(&self) -> RunStatus {
        self.failure
            .as_ref()
            .map_or(RunStatus::Passed, FailureKind::run_status)
    }
}

/// Runs the pinned release over `records`. An error is the runner's own, and nothing is known of the hook.
pub async fn execute(
    runner: &dyn HookRunner,
    pin: &Pin,
    records: &[HookRecord],
) -> Result<HookExecution, RunnerError> {
    let mut done = HookExecution {
        outcomes: BTreeMap::new(),
        failure: None,
        oom_retries: 0,
        duration: Duration::ZERO,
        log: Vec::new(),
    };
    let mut remaining: Vec<HookRecord> = records.to_vec();
    let mut limits = pin.release.release.content.limits;
    // An empty record list passes without a run (wire contract 5.1).
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
        };
        let attempt = runner.run(&job).await?;
        remaining = job.records;
        done.duration += attempt.duration;
        // Memory comes first, then a rejection of the whole run whatever the exit status (wire contract 5.1).
        done.failure = match (attempt.failure, attempt.output.whole_run_rejection()) {
            (Some(oom @ FailureKind::Oom(_)), _) => Some(oom),
            (_, Some(message)) => Some(FailureKind::RejectedRun(message)),
            (failure, None) => failure,
        };
        let action = done
            .failure
            .as_ref()
            .map(|failure| failure.action(done.oom_retries));
        if action != Some(FailureAction::ErrorAll) {
            let asked: BTreeSet<SourceId> = remaining.iter().map(|record| record.id.clone()).collect();
            done.outcomes
                .extend(attempt.output.outcomes(&pin.contract, &asked));
            remaining.retain(|record| !done.outcomes.contains_key(&record.id));
        }
        if let Some(failure) = &done.failure {
            done.log.extend_from_slice(format!("--- {failure}\n").as_bytes());
            done.log.extend_from_slice(&attempt.log);
        }
        if action == Some(FailureAction::RetryWithMoreMemory) && !remaining.is_empty() {
            done.oom_retries += 1;
            limits.memory = limits.memory.doubled();
            // Small ones first: if one record alone is too much, the others are done before it.
            remaining.sort_by(|a, b| a.size_hint_mb.total_cmp(&b.size_hint_mb));
            continue;
        }
        if action == Some(FailureAction::RetryWithMoreMemory) {
            // It was killed after it had judged every record: nothing is left to do again.
            done.failure = None;
        }
        let rest = match (&done.failure, action) {
            (Some(FailureKind::RejectedRun(reason)), _) => RecordOutcome::Rejected(reason.clone()),
            (Some(failure), _) => RecordOutcome::Errored(failure.to_string()),
            (None, _) => RecordOutcome::Errored(
                "the hook ended with success and reported no outcome for this record".to_owned(),
            ),
        };
        done.outcomes
            .extend(remaining.drain(..).map(|record| (record.id, rest.clone())));
    }
    Ok(done)
}

#[cfg(test)]
mod tests;

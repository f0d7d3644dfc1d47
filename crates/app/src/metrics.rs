//! What this server process counts about its own work, for `/metrics` and `/ready` (WC-1.8).
//!
//! The store's metrics are about the whole archive and outlive a server. These begin at zero with every process, as
//! Prometheus expects of counters, and are to be summed over the servers. Their labels are hook names and fixed
//! words, so their number is bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::TaskKind;
use domain::work::failure::{FailureAction, FailureKind};
use ports::data::{Family, Part, Sample, family};

use crate::OWN_WORKERS;
use crate::background::{self, Loops};

/// Every metric family that a server counts itself.
pub const SERVER_FAMILIES: &[Family] = &[
    family(
        HOOK_FAILURES,
        "counter",
        "Attempts at hooks that failed, and what was done about them; of this server.",
    ),
    family(
        STAGES,
        "counter",
        "Units of work that this server finished, by how they ended.",
    ),
    family(
        DELIVERIES,
        "counter",
        "Delegations to this server's workers, by how they ended.",
    ),
    family(
        DISPATCH,
        "summary",
        "How long this server worked on deliveries, in seconds.",
    ),
    family(
        ERRORS,
        "counter",
        "Requests and units of work that failed for an unforeseen reason.",
    ),
    family(BUSY, "gauge", "Workers of this server that have work."),
    family(TOTAL, "gauge", "Workers of this server."),
    family(
        CHECKED_OUT,
        "gauge",
        "Connections to the database that this server uses.",
    ),
    family(SIZE, "gauge", "Connections to the database that this server has."),
    family(OVERFLOW, "gauge", "Connections beyond the pool's size; always 0."),
    family(
        background::RESTARTS,
        "counter",
        "Times that a background loop of this server ended and was started again.",
    ),
    family(
        background::FAILURES,
        "counter",
        "Rounds of a background loop of this server that failed.",
    ),
    family(
        DROPPED,
        "counter",
        "Lines that this server could not write to its log or to standard output.",
    ),
];

const HOOK_FAILURES: &str = "osa_hook_failures_total";
const STAGES: &str = "osa_workflow_stages_total";
const DELIVERIES: &str = "osa_deliveries_total";
const DISPATCH: &str = "osa_dispatch_duration_seconds";
const ERRORS: &str = "osa_unhandled_errors_total";
const BUSY: &str = "osa_workers_busy";
const TOTAL: &str = "osa_workers_total";
const CHECKED_OUT: &str = "osa_db_pool_checked_out";
const SIZE: &str = "osa_db_pool_size";
const OVERFLOW: &str = "osa_db_pool_overflow";
const DROPPED: &str = "hallmark_lines_dropped_total";

/// The minimum time without a successful claim after which the workers count as broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a unit of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// Its end is stored, whether success or failure.
    Done,
    /// It failed, and will be retried.
    Failed,
    /// Its lease was lost before its end was stored.
    Lost,
}

impl WorkEnd {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

type Key = (&'static str, Part, Vec<(&'static str, String)>);

/// Returns how many lines could not be written, for each stream.
pub type DroppedLines = fn() -> [(&'static str, u64); 2];

/// Counts the work of one server.
pub struct Metrics {
    workers: u32,
    patience: Duration,
    state: Mutex<State>,
    loops: Arc<Loops>,
    dropped: DroppedLines,
}

struct State {
    counted: BTreeMap<Key, f64>,
    /// Units of work that are held now.
    held: u32,
    /// When a claim last succeeded.
    answered: Instant,
}

impl State {
    fn add(&mut self, family: &'static str, part: Part, labels: &[(&'static str, &str)], by: f64) {
        let labels = labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        *self.counted.entry((family, part, labels)).or_default() += by;
    }
}

impl Metrics {
    /// Creates the metrics of so many workers, which poll for work at the interval `poll`.
    pub fn new(workers: u32, poll: Duration, dropped: DroppedLines) -> Self {
        Self {
            loops: Arc::default(),
            dropped,
            workers,
            patience: PATIENCE.max(poll.saturating_mul(3)),
            state: Mutex::new(State {
                counted: BTreeMap::new(),
                held: 0,
                answered: Instant::now(),
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the background loops of this server.
    pub fn loops(&self) -> &Arc<Loops> {
        &self.loops
    }

    /// Counts a failed attempt at a hook, and the action taken.
    pub(crate) fn hook_failed(&self, hook: &str, kind: &FailureKind, decision: FailureAction) {
        let labels = [
            ("hook", hook),
            ("kind", kind.as_str()),
            ("decision", decision.as_str()),
        ];
        self.state().add(HOOK_FAILURES, Part::Whole, &labels, 1.0);
    }

    /// Counts a request or a unit of work that failed for an unforeseen reason.
    pub fn unhandled_error(&self) {
        self.state().add(ERRORS, Part::Whole, &[], 1.0);
    }

    /// Records that the queue answered a claim.
    pub(crate) fn queue_answered(&self) {
        self.state().answered = Instant::now();
    }

    /// Records that a unit of work began.
    pub(crate) fn begun(&self) {
        self.state().held += 1;
    }

    /// Records that a unit of work is no longer held, however it ended.
    pub(crate) fn let_go(&self) {
        let mut state = self.state();
        state.held = state.held.saturating_sub(1);
        // Until now there was no need to claim.
        state.answered = Instant::now();
    }

    /// Counts a unit of work of this kind with its end and duration.
    pub(crate) fn ended(&self, kind: &str, end: WorkEnd, took: Duration) {
        let workflow = if kind == TaskKind::SUBMISSION {
            "deposition"
        } else {
            "ingest"
        };
        let stage = [("workflow", workflow), ("stage", kind), ("outcome", end.as_str())];
        let group = ("consumer_group", OWN_WORKERS);
        // One lock, so that a reader sees all or nothing of it.
        let mut state = self.state();
        state.add(STAGES, Part::Whole, &stage, 1.0);
        state.add(DELIVERIES, Part::Whole, &[group, ("status", end.as_str())], 1.0);
        state.add(DISPATCH, Part::Sum, &[group], took.as_secs_f64());
        state.add(DISPATCH, Part::Count, &[group], 1.0);
    }

    /// Checks whether the workers are working: a claim succeeded recently, or they are busy. The error is the reason.
    pub fn workers(&self) -> Result<(), &'static str> {
        let state = self.state();
        if state.held > 0 || state.answered.elapsed() < self.patience {
            Ok(())
        } else {
            Err("the workers could not claim work recently")
        }
    }

    /// Returns all samples, with the connections of the pool: in use, and all.
    pub(crate) fn samples(&self, (used, size): (u32, u32)) -> Vec<Sample> {
        let state = self.state();
        let mut samples: Vec<Sample> = state
            .counted
            .iter()
            .map(|((family, part, labels), value)| Sample {
                family,
                part: *part,
                labels: labels.clone(),
                value: *value,
            })
            .collect();
        if !state.counted.keys().any(|(family, ..)| *family == ERRORS) {
            // Starts at zero, so that the first increase is visible.
            samples.push(Sample::plain(ERRORS, 0.0));
        }
        samples.push(Sample::plain(BUSY, state.held.min(self.workers).into()));
        samples.push(Sample::plain(TOTAL, self.workers.into()));
        samples.push(Sample::plain(CHECKED_OUT, used.into()));
        samples.push(Sample::plain(SIZE, size.into()));
        samples.push(Sample::plain(OVERFLOW, 0.0));
        drop(state);
        samples.extend(self.loops.samples());
        samples.extend((self.dropped)().map(|(stream, lines)| Sample {
            family: DROPPED,
            part: Part::Whole,
            labels: vec![("stream", stream.to_owned())],
            // Exact up to the number of a u32, which stays.
            value: u32::try_from(lines).unwrap_or(u32::MAX).into(),
        }));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(workers: u32, poll: Duration) -> Metrics {
        Metrics::new(workers, poll, || [("stderr", 2), ("stdout", 0)])
    }

    fn value(metrics: &Metrics, family: &str, part: Part) -> f64 {
        let samples = metrics.samples((1, 2));
        let of = samples
            .iter()
            .filter(|sample| sample.family == family && sample.part == part);
        of.map(|sample| sample.value).sum()
    }

    #[test]
    fn work_is_counted_by_its_end_and_its_time() {
        let metrics = metrics(2, Duration::from_secs(1));
        metrics.ended(TaskKind::INGEST_BATCH, WorkEnd::Done, Duration::from_secs(2));
        metrics.ended(TaskKind::SUBMISSION, WorkEnd::Lost, Duration::from_secs(3));
        assert!((value(&metrics, STAGES, Part::Whole) - 2.0).abs() < f64::EPSILON);
        assert!((value(&metrics, DISPATCH, Part::Sum) - 5.0).abs() < f64::EPSILON);
        assert!((value(&metrics, DISPATCH, Part::Count) - 2.0).abs() < f64::EPSILON);
        assert!(value(&metrics, ERRORS, Part::Whole).abs() < f64::EPSILON);
        metrics.unhandled_error();
        assert!((value(&metrics, ERRORS, Part::Whole) - 1.0).abs() < f64::EPSILON);
        assert!((value(&metrics, DROPPED, Part::Whole) - 2.0).abs() < f64::EPSILON);
        let known: Vec<&str> = SERVER_FAMILIES.iter().map(|family| family.name).collect();
        assert!(
            metrics
                .samples((0, 0))
                .iter()
                .all(|sample| known.contains(&sample.family))
        );
    }

    #[test]
    fn workers_without_an_answer_are_broken_unless_they_are_busy() {
        let mut metrics = metrics(1, Duration::ZERO);
        assert_eq!(metrics.workers(), Ok(()));
        metrics.patience = Duration::ZERO;
        assert!(metrics.workers().is_err());
        metrics.begun();
        assert_eq!(metrics.workers(), Ok(()));
        assert!((value(&metrics, BUSY, Part::Whole) - 1.0).abs() < f64::EPSILON);
        metrics.patience = PATIENCE;
        metrics.let_go();
        assert_eq!(
            metrics.workers(),
            Ok(()),
            "it has not claimed since because it was busy"
        );
    }
}

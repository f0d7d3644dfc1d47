//! The background loops of a server, under one supervisor.
//!
//! Invariant: a loop that was started runs until its server stops, and `/ready` reports one that does not do its work.
//! Who can break it: a panic or a return (the loop is started again, after a delay that grows until a round succeeds), a
//! round that fails each time (it counts like a panic), a round that never ends (the loop is silent for longer than its
//! patience).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use ports::data::{Part, Sample};
use tokio_util::sync::CancellationToken;

use crate::pause::Pause;

/// The metric family of restarts.
pub(crate) const RESTARTS: &str = "hallmark_loop_restarts_total";
/// The metric family of failed rounds.
pub(crate) const FAILURES: &str = "hallmark_loop_failures_total";
/// After so many failures in a row a loop counts as broken. Fewer are a short break of the database.
const MAX_FAILURES: u32 = 3;

/// Where loops report what they do.
#[derive(Debug, Default)]
pub struct Loops {
    all: Mutex<BTreeMap<&'static str, State>>,
}

#[derive(Debug)]
struct State {
    patience: Duration,
    /// When it was last seen: at its start, or at the end of a round.
    seen: Instant,
    restarts: u32,
    failures: u32,
    /// Panics, returns and failed rounds since the last round that succeeded.
    in_a_row: u32,
    last_error: Option<String>,
}

impl State {
    fn failed(&mut self, why: String) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last_error = Some(why);
    }
}

/// The reports of one loop.
#[derive(Clone, Debug)]
pub struct Pulse {
    loops: Arc<Loops>,
    name: &'static str,
}

impl Pulse {
    /// Reports the end of a round. The error is public: its own words, without its causes.
    pub fn round<T, E: Display>(&self, result: &Result<T, E>) {
        let why = result.as_ref().err().map(ToString::to_string);
        self.loops.update(self.name, |state| {
            state.seen = Instant::now();
            match why {
                None => state.in_a_row = 0,
                Some(why) => {
                    state.failures = state.failures.saturating_add(1);
                    state.failed(why);
                }
            }
        });
    }

    /// Reports a round that cannot fail.
    pub fn alive(&self) {
        self.round(&Ok::<(), std::convert::Infallible>(()));
    }
}

impl Loops {
    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, name: &str, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.all().get_mut(name) {
            change(state);
        }
    }

    fn failures_in_a_row(&self, name: &str) -> u32 {
        self.all().get(name).map_or(0, |state| state.in_a_row)
    }

    /// Runs a loop, and starts it again whenever it ends before `stop`: after 0.2 s, and twice as long each time, until a
    /// round succeeds. A loop that reports no round for longer than `patience` counts as broken.
    pub async fn keep<F: Future<Output = ()>>(
        self: &Arc<Self>,
        name: &'static str,
        patience: Duration,
        stop: &CancellationToken,
        start: impl Fn(Pulse) -> F,
    ) {
        let new = State {
            patience,
            seen: Instant::now(),
            restarts: 0,
            failures: 0,
            in_a_row: 0,
            last_error: None,
        };
        self.all().entry(name).or_insert(new);
        let pulse = Pulse {
            loops: Arc::clone(self),
            name,
        };
        let mut pause = Pause::new();
        loop {
            let running = AssertUnwindSafe(async { start(pulse.clone()).await });
            let ended = running.catch_unwind().await;
            if stop.is_cancelled() {
                return;
            }
            let why = match &ended {
                Ok(()) => "it returned",
                // Not its message, which may contain data: the log has it.
                Err(_) => "it panicked",
            };
            if self.failures_in_a_row(name) == 0 {
                pause = Pause::new();
            }
            self.update(name, |state| {
                state.restarts = state.restarts.saturating_add(1);
                state.failed(format!("{why}; see the server's log"));
            });
            let delay = pause.next();
            tracing::error!(name, why, ?delay, "a background loop ended and is started again");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return,
            }
            self.update(name, |state| state.seen = Instant::now());
        }
    }

    /// Checks whether every loop does its work. Each fault names the loop, how often it failed, and why.
    pub fn check(&self) -> Result<(), String> {
        let faults: Vec<String> = self
            .all()
            .iter()
            .filter_map(|(name, state)| {
                let silent = state.seen.elapsed();
                if state.in_a_row >= MAX_FAILURES {
                    let why = state.last_error.as_deref().unwrap_or_default();
                    Some(format!("{name} failed {} times in a row: {why}", state.in_a_row))
                } else if silent > state.patience {
                    Some(format!("{name} has not ended a round for {} s", silent.as_secs()))
                } else {
                    None
                }
            })
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }

    /// Describes the loops that were started again or failed; `None` if there are none.
    pub fn history(&self) -> Option<String> {
        let told: Vec<String> = self
            .all()
            .iter()
            .filter_map(|(name, state)| {
                let why = state.last_error.as_deref()?;
                Some(format!(
                    "{name} was started again {} times, {} rounds of it failed, the last error: {why}",
                    state.restarts, state.failures
                ))
            })
            .collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// Returns the restarts and the failed rounds of each loop.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let sample = |family: &'static str, name: &str, count: u32| Sample {
            family,
            part: Part::Whole,
            labels: vec![("loop", name.to_owned())],
            value: count.into(),
        };
        self.all()
            .iter()
            .flat_map(|(name, state)| {
                [
                    sample(RESTARTS, name, state.restarts),
                    sample(FAILURES, name, state.failures),
                ]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const LONG: Duration = Duration::from_secs(60);

    fn value(loops: &Loops, family: &str) -> f64 {
        let samples = loops.samples();
        let of = samples.iter().filter(|sample| sample.family == family);
        of.map(|sample| sample.value).sum()
    }

    #[tokio::test]
    async fn a_loop_that_panics_or_returns_is_started_again_and_counted() {
        let (loops, stop) = (Arc::<Loops>::default(), CancellationToken::new());
        let starts = AtomicU32::new(0);
        let keeping = loops.keep("sweep", LONG, &stop, |pulse| {
            let start = starts.fetch_add(1, Ordering::SeqCst);
            let stop = stop.clone();
            async move {
                match start {
                    0 => panic!("the first time"),
                    1 => {}
                    _ => {
                        pulse.alive();
                        stop.cancelled().await;
                    }
                }
            }
        });
        let looking = async {
            while starts.load(Ordering::SeqCst) < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!((value(&loops, RESTARTS) - 2.0).abs() < f64::EPSILON);
            assert_eq!(loops.check(), Ok(()));
            let history = loops.history().unwrap();
            assert!(
                history.contains("sweep was started again 2 times") && history.contains("it returned"),
                "{history}"
            );
            stop.cancel();
        };
        let begun = Instant::now();
        tokio::join!(keeping, looking);
        assert!(begun.elapsed() >= Duration::from_millis(600), "0.2 s, then 0.4 s");
    }

    #[tokio::test]
    async fn a_loop_that_panics_where_it_is_started_is_broken_after_the_third_time() {
        let (loops, stop) = (Arc::<Loops>::default(), CancellationToken::new());
        let keeping = loops.keep("archive", LONG, &stop, |_| -> std::future::Ready<()> {
            panic!("before its first round")
        });
        let broken = async {
            while loops.check().is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! { () = keeping => {}, () = broken => {} }
        let fault = loops.check().unwrap_err();
        assert!(
            fault.contains("archive failed 3 times in a row") && fault.contains("it panicked"),
            "{fault}"
        );
    }

    #[tokio::test]
    async fn rounds_that_fail_break_a_loop_until_one_succeeds_and_silence_does_so_too() {
        let (loops, stop) = (Arc::<Loops>::default(), CancellationToken::new());
        let keeping = loops.keep("sweep", Duration::from_millis(50), &stop, |pulse| async move {
            for _ in 0..3 {
                pulse.round(&Err::<(), _>("the store is unavailable"));
            }
            let fault = pulse.loops.check().unwrap_err();
            assert_eq!(fault, "sweep failed 3 times in a row: the store is unavailable");
            pulse.alive();
            assert_eq!(pulse.loops.check(), Ok(()));
            tokio::time::sleep(Duration::from_millis(100)).await;
            let fault = pulse.loops.check().unwrap_err();
            assert!(fault.contains("has not ended a round for"), "{fault}");
            std::future::pending::<()>().await;
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(500), keeping)
                .await
                .is_err()
        );
        assert!(
            value(&loops, RESTARTS).abs() < f64::EPSILON,
            "an assertion in the loop would have restarted it"
        );
        assert!((value(&loops, FAILURES) - 3.0).abs() < f64::EPSILON);
    }
}

//! What can go wrong with a hook or an ingester, and what is then done (PIP-3): facts, one policy table, an action.
//!
//! The table is that of WC-6.4, the same for submissions and batches (WC-D16). Where it says "retry", it says how
//! often: a unit of work that is retried for ever is one that nobody hears of.

use std::fmt;

use crate::work::run::RunStatus;

/// How often a hook that was killed for memory is run again, each time with twice as much (PRV-5).
pub const MAX_OOM_RETRIES: u32 = 3;
/// How often a unit of work is done again because a hook or an ingester took more than its time.
pub const MAX_TIMEOUT_RETRIES: u32 = 2;
/// How often a pull is done again because the ingester, or what it reads from, failed.
pub const MAX_UPSTREAM_RETRIES: u32 = 6;
/// How often a unit of work is done again because the runner failed and nothing is known of what it ran.
pub const MAX_RUNTIME_RETRIES: u32 = crate::ledger::delegation::MAX_RETRIES;

/// A fact about how an execution failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It ended with another status than 0.
    HookExit(i32),
    /// It was ended by a signal that the server did not send.
    Signalled(i32),
    /// It used more memory than its limit, in bytes.
    Oom(u64),
    /// It used more wall clock or processor time than its limit, in seconds.
    Timeout(u64),
    /// What it wrote cannot be read: too large, or no plain file.
    Output(String),
    /// The image is not there, or is not what the release's digest says (PIP-5).
    ImageUnusable(String),
    /// The runner may not do what it must: a container engine's proxy forbids it.
    Forbidden(String),
    /// The runner is set up so that nothing can run: a directory that the engine does not see.
    Misconfigured(String),
    /// The ingester ended with another status than 0.
    Upstream(String),
    /// The runner failed; nothing is known of what it ran.
    Runtime(String),
    /// It rejected the whole run.
    RejectedRun(String),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HookExit(code) => write!(f, "the hook ended with status {code}"),
            Self::Signalled(signal) => write!(f, "it was ended by signal {signal}"),
            Self::Oom(limit) => write!(f, "it used more than its {} MiB of memory", limit / (1024 * 1024)),
            Self::Timeout(seconds) => write!(f, "it used more than its {seconds} s"),
            Self::Output(why) => write!(f, "its output cannot be read: {why}"),
            Self::ImageUnusable(why) => write!(f, "its image cannot be run: {why}"),
            Self::Forbidden(why) => write!(f, "the runner may not run it: {why}"),
            Self::Misconfigured(why) => write!(f, "the runner is not set up to run it: {why}"),
            Self::Upstream(why) => write!(f, "the ingester failed: {why}"),
            Self::Runtime(why) => write!(f, "the runner failed: {why}"),
            Self::RejectedRun(why) => write!(f, "the hook rejected the whole run: {why}"),
        }
    }
}

/// What was being done when something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A hook was run, over a batch or over a submission: both are treated alike (WC-D16).
    Hook,
    /// An ingester was asked for its next records.
    Pull,
}

/// How often something was tried again already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// With more memory, in this run.
    pub oom_retries: u32,
    /// The whole unit of work.
    pub retries: u32,
}

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// Run the records without an outcome again, with twice the memory.
    RetryWithMoreMemory,
    /// Do the whole unit of work again, later; nothing of this attempt is kept.
    Retry,
    /// A hook: keep what it reported before it failed, and every other record is errored, with the reason. A pull: there are
    /// no more records.
    GiveUp,
    /// Every record is errored, with the reason: what was written cannot be trusted.
    ErrorAll,
    /// Every record that has no outcome of its own is rejected, with the reason.
    RejectRest,
    /// End the whole ingest run, or give the deposition back: no other batch would fare better.
    Abort,
}

impl FailureAction {
    /// The action's stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RetryWithMoreMemory => "retry_with_more_memory",
            Self::Retry => "retry",
            Self::GiveUp => "give_up",
            Self::ErrorAll => "error_all",
            Self::RejectRest => "reject_rest",
            Self::Abort => "abort",
        }
    }
}

impl FailureKind {
    /// The policy: what is done about this at this stage, after so many tries.
    pub const fn action(&self, stage: Stage, tried: Tried) -> FailureAction {
        const fn again(tried: u32, most: u32) -> FailureAction {
            if tried < most {
                FailureAction::Retry
            } else {
                FailureAction::GiveUp
            }
        }
        match (self, stage) {
            (Self::ImageUnusable(_) | Self::Forbidden(_) | Self::Misconfigured(_), _) => FailureAction::Abort,
            (Self::Oom(_), Stage::Hook) if tried.oom_retries < MAX_OOM_RETRIES => {
                FailureAction::RetryWithMoreMemory
            }
            (Self::Timeout(_), _) => again(tried.retries, MAX_TIMEOUT_RETRIES),
            (Self::Runtime(_), _) => again(tried.retries, MAX_RUNTIME_RETRIES),
            (Self::Upstream(_) | Self::Signalled(_) | Self::HookExit(_), Stage::Pull) => {
                again(tried.retries, MAX_UPSTREAM_RETRIES)
            }
            (Self::Output(_), Stage::Hook) => FailureAction::ErrorAll,
            (Self::RejectedRun(_), Stage::Hook) => FailureAction::RejectRest,
            // WC-D5: what a hook reported before it died stands; what it did not report is errored. An ingester has no memory lever.
            (
                Self::Oom(_)
                | Self::HookExit(_)
                | Self::Signalled(_)
                | Self::Upstream(_)
                | Self::Output(_)
                | Self::RejectedRun(_),
                _,
            ) => FailureAction::GiveUp,
        }
    }

    /// The status of a run that ended so.
    pub const fn run_status(&self) -> RunStatus {
        match self {
            Self::HookExit(_) | Self::Signalled(_) | Self::RejectedRun(_) => RunStatus::Failed,
            _ => RunStatus::Error,
        }
    }

    /// The kind's stable name (WC-6.4).
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::HookExit(_) => "hook_exit",
            Self::Signalled(_) => "signalled",
            Self::Oom(_) => "oom",
            Self::Timeout(_) => "timeout",
            Self::Output(_) => "output",
            Self::ImageUnusable(_) => "image_pull",
            Self::Forbidden(_) => "rbac",
            Self::Misconfigured(_) => "config",
            Self::Upstream(_) => "upstream",
            Self::Runtime(_) => "runtime",
            Self::RejectedRun(_) => "rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureAction::{Abort, ErrorAll, GiveUp, RejectRest, Retry, RetryWithMoreMemory};
    use super::*;

    fn every_kind() -> Vec<FailureKind> {
        let why = || "x".to_owned();
        vec![
            FailureKind::HookExit(1),
            FailureKind::Signalled(11),
            FailureKind::Oom(1),
            FailureKind::Timeout(1),
            FailureKind::Output(why()),
            FailureKind::ImageUnusable(why()),
            FailureKind::Forbidden(why()),
            FailureKind::Misconfigured(why()),
            FailureKind::Upstream(why()),
            FailureKind::Runtime(why()),
            FailureKind::RejectedRun(why()),
        ]
    }

    /// The first action, what it becomes in the end, and after how many tries.
    type Cell = (FailureAction, FailureAction, u32);

    /// One row per kind: its cell for a hook and its cell for a pull.
    fn row(kind: &FailureKind) -> (Cell, Cell) {
        let at_once = |action| (action, action, 0);
        match kind {
            FailureKind::ImageUnusable(_) | FailureKind::Forbidden(_) | FailureKind::Misconfigured(_) => {
                (at_once(Abort), at_once(Abort))
            }
            FailureKind::Oom(_) => ((RetryWithMoreMemory, GiveUp, 3), at_once(GiveUp)),
            FailureKind::Timeout(_) => ((Retry, GiveUp, 2), (Retry, GiveUp, 2)),
            FailureKind::Runtime(_) => ((Retry, GiveUp, 20), (Retry, GiveUp, 20)),
            FailureKind::Upstream(_) | FailureKind::HookExit(_) | FailureKind::Signalled(_) => {
                (at_once(GiveUp), (Retry, GiveUp, 6))
            }
            FailureKind::Output(_) => (at_once(ErrorAll), at_once(GiveUp)),
            FailureKind::RejectedRun(_) => (at_once(RejectRest), at_once(GiveUp)),
        }
    }

    // proves PIP-3, PRV-5
    #[test]
    fn every_cell_of_the_table_is_as_the_contract_says() {
        for kind in every_kind() {
            let (hook, pull) = row(&kind);
            for (stage, (first, last, most)) in [(Stage::Hook, hook), (Stage::Pull, pull)] {
                for n in 0..25 {
                    let oom = matches!(kind, FailureKind::Oom(_));
                    let tried = Tried {
                        oom_retries: if oom { n } else { 0 },
                        retries: if oom { 0 } else { n },
                    };
                    let expected = if n < most { first } else { last };
                    assert_eq!(
                        kind.action(stage, tried),
                        expected,
                        "{kind:?} {stage:?} after {n}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = every_kind().iter().map(FailureKind::as_str).collect();
        assert_eq!(names.len(), every_kind().len());
    }
}

//! Failures of hooks and ingesters, and the actions that follow (PIP-3): facts, one policy table, an action.
//!
//! The table is that of WC-6.4, the same for submissions and batches (WC-D16). Where it requires a retry, it also
//! bounds the number of retries: a unit of work that is retried forever never reports its failure.

use std::fmt;

use crate::work::run::RunStatus;

/// Maximum number of retries after an out-of-memory kill, each with twice the memory (PRV-5).
pub const MAX_OOM_RETRIES: u32 = 3;
/// Maximum number of retries of a unit of work after a timeout of a hook or an ingester.
pub const MAX_TIMEOUT_RETRIES: u32 = 2;
/// Maximum number of retries of a pull after a failure of the ingester or its source.
pub const MAX_UPSTREAM_RETRIES: u32 = 6;
/// Maximum number of retries of a unit of work after a failure of the runner with an unknown outcome.
pub const MAX_RUNTIME_RETRIES: u32 = crate::ledger::delegation::MAX_RETRIES;

/// Cause of a failed execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The hook exited with a status other than 0.
    HookExit(i32),
    /// A signal that the server did not send terminated the process.
    Signalled(i32),
    /// It exceeded its memory limit, in bytes.
    Oom(u64),
    /// It exceeded its wall-clock or processor time limit, in seconds.
    Timeout(u64),
    /// Its output is unreadable: too large, or not a plain file.
    Output(String),
    /// The image is missing or does not match the release's digest (PIP-5).
    ImageUnusable(String),
    /// The runner lacks a permission: a container engine's proxy denies it.
    Forbidden(String),
    /// The runner is misconfigured, so that nothing can run: for example a directory that the engine does not see.
    Misconfigured(String),
    /// The ingester exited with a status other than 0.
    Upstream(String),
    /// The runner failed; the outcome of the execution is unknown.
    Runtime(String),
    /// The hook rejected the whole run.
    RejectedRun(String),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What shells, `env` and the dynamic linker mean by these.
            Self::HookExit(code @ 126) => {
                write!(
                    f,
                    "the hook exited with status {code}: usually a program that is not executable"
                )
            }
            Self::HookExit(code @ 127) => {
                write!(
                    f,
                    "the hook exited with status {code}: usually a program or library that is missing"
                )
            }
            Self::HookExit(code) => write!(f, "the hook exited with status {code}"),
            Self::Signalled(signal) => write!(f, "it was terminated by signal {signal}"),
            Self::Oom(limit) => write!(f, "it exceeded its memory limit of {} MiB", limit / (1024 * 1024)),
            Self::Timeout(seconds) => write!(f, "it exceeded its time limit of {seconds} s"),
            Self::Output(why) => write!(f, "its output cannot be read: {why}"),
            Self::ImageUnusable(why) => write!(f, "its image cannot be run: {why}"),
            Self::Forbidden(why) => write!(f, "the runner is not permitted to run it: {why}"),
            Self::Misconfigured(why) => write!(f, "the runner is misconfigured: {why}"),
            Self::Upstream(why) => write!(f, "the ingester failed: {why}"),
            Self::Runtime(why) => write!(f, "the runner failed: {why}"),
            Self::RejectedRun(why) => write!(f, "the hook rejected the whole run: {why}"),
        }
    }
}

/// Stage of the work that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Execution of a hook, over a batch or a submission: both are treated alike (WC-D16).
    Hook,
    /// A pull from an ingester.
    Pull,
}

/// Number of retries so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Retries with more memory, in this run.
    pub oom_retries: u32,
    /// Retries of the whole unit of work.
    pub retries: u32,
}

/// Action after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// Run the records without an outcome again, with twice the memory.
    RetryWithMoreMemory,
    /// Retry the whole unit of work later; nothing of this attempt is kept.
    Retry,
    /// For a hook: keep the outcomes reported before the failure, and mark all other records as errored with the
    /// reason. For a pull: there are no more records.
    GiveUp,
    /// Mark every record as errored with the reason: the output cannot be trusted.
    ErrorAll,
    /// Reject every record without its own outcome, with the reason.
    RejectRest,
    /// Fail the whole ingest run, or return the deposition to its owner: another batch would not succeed either.
    Abort,
}

impl FailureAction {
    /// Returns the stable name of the action.
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
    /// Returns the policy's action for this failure at this stage, after these retries.
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
            // WC-D5: outcomes that a hook reported before it died count; records without an outcome are errored. An
            // ingester cannot be retried with more memory.
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

    /// Returns the status of a run that ended with this failure.
    pub const fn run_status(&self) -> RunStatus {
        match self {
            Self::HookExit(_) | Self::Signalled(_) | Self::RejectedRun(_) => RunStatus::Failed,
            _ => RunStatus::Error,
        }
    }

    /// Returns the stable name of the kind (WC-6.4).
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

    /// The first action, the final action, and the number of retries before it.
    type Cell = (FailureAction, FailureAction, u32);

    /// Returns one row per kind: its cell for a hook and its cell for a pull.
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

//! What can go wrong with a hook, and what is then done (PIP-3): facts, one policy table, an action.

use std::fmt;

use crate::provenance::RunStatus;

/// How often a hook that was killed for memory is run again, each time with twice as much (PRV-5).
pub const MOST_OOM_RETRIES: u32 = 3;

/// A fact about how a hook's execution failed.
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
    /// It rejected the whole run.
    RejectedRun(String),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HookExit(code) => write!(f, "the hook ended with status {code}"),
            Self::Signalled(signal) => write!(f, "the hook was ended by signal {signal}"),
            Self::Oom(limit) => write!(
                f,
                "the hook used more than its {} MiB of memory",
                limit / (1024 * 1024)
            ),
            Self::Timeout(seconds) => write!(f, "the hook used more than its {seconds} s"),
            Self::Output(why) => write!(f, "the hook's output cannot be read: {why}"),
            Self::ImageUnusable(why) => write!(f, "the hook's image cannot be run: {why}"),
            Self::RejectedRun(why) => write!(f, "the hook rejected the whole run: {why}"),
        }
    }
}

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    /// Run the records without an outcome again, with twice the memory.
    RetryWithMoreMemory,
    /// Keep the outcomes that were written; every other record is errored, with the reason.
    KeepOutcomesErrorRest,
    /// Every record is errored, with the reason: nothing ran, or nothing that was written can be trusted.
    ErrorAll,
    /// Every record that has no outcome of its own is rejected, with the reason.
    RejectRest,
}

impl FailureKind {
    /// What is done about it after `oom_retries` tries with more memory: one table for submissions and batches (D16).
    pub const fn action(&self, oom_retries: u32) -> FailureAction {
        match self {
            Self::Oom(_) if oom_retries < MOST_OOM_RETRIES => FailureAction::RetryWithMoreMemory,
            // D5: what the hook reported before it died stands; what it did not report is errored.
            Self::Oom(_) | Self::HookExit(_) | Self::Signalled(_) | Self::Timeout(_) => {
                FailureAction::KeepOutcomesErrorRest
            }
            Self::Output(_) | Self::ImageUnusable(_) => FailureAction::ErrorAll,
            Self::RejectedRun(_) => FailureAction::RejectRest,
        }
    }

    /// The status of a run that ended so.
    pub const fn run_status(&self) -> RunStatus {
        match self {
            Self::HookExit(_) | Self::Signalled(_) | Self::RejectedRun(_) => RunStatus::Failed,
            Self::Oom(_) | Self::Timeout(_) | Self::Output(_) | Self::ImageUnusable(_) => RunStatus::Error,
        }
    }

    /// The kind's stable name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::HookExit(_) => "hook_exit",
            Self::Signalled(_) => "signalled",
            Self::Oom(_) => "oom",
            Self::Timeout(_) => "timeout",
            Self::Output(_) => "output",
            Self::ImageUnusable(_) => "image_pull",
            Self::RejectedRun(_) => "rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves PIP-3, PRV-5
    #[test]
    fn memory_is_doubled_three_times_and_then_the_rest_is_errored() {
        let oom = FailureKind::Oom(1);
        let actions: Vec<_> = (0..5).map(|n| oom.action(n)).collect();
        use FailureAction::{KeepOutcomesErrorRest as Keep, RetryWithMoreMemory as Retry};
        assert_eq!(actions, [Retry, Retry, Retry, Keep, Keep]);
    }

    #[test]
    fn an_image_that_is_not_the_releases_taints_everything() {
        assert_eq!(
            FailureKind::ImageUnusable("x".into()).action(0),
            FailureAction::ErrorAll
        );
        assert_eq!(
            FailureKind::RejectedRun("x".into()).action(0),
            FailureAction::RejectRest
        );
    }
}

//! The server's own tasks: their callers, and their delegations to its workers.

use std::time::Duration;

use domain::ledger::delegation::MAX_RETRIES;
use domain::{DelegationId, TaskId, TaskKind};
use ports::ledger::{Deadline, NewDelegation};

use crate::OWN_WORKERS;

/// Returns the caller that delegates the server's own work of a kind.
pub(crate) fn caller_of(kind: &str) -> &'static str {
    if kind == TaskKind::SUBMISSION {
        "hallmark:depositions"
    } else {
        "hallmark:ingest"
    }
}

/// Returns whether a caller is the server itself. No party can be: theirs begin with `user:` or `service_account:`.
pub(crate) fn is_own(caller: &str) -> bool {
    caller.starts_with("hallmark:")
}

/// Returns the n-th delegation of a task of this kind to the server's own workers.
pub(crate) fn delegation(
    task: TaskId,
    kind: &str,
    retry: u32,
    preview: &str,
    delay: Duration,
) -> NewDelegation {
    NewDelegation {
        id: DelegationId::of_task(task, retry),
        task: Some(task),
        caller: caller_of(kind).to_owned(),
        callee: OWN_WORKERS.to_owned(),
        preview: preview.to_owned(),
        input: None,
        request: None,
        nesting: None,
        deadline: Deadline::Default,
        // Its time counts from the claim.
        may_expire: false,
        retry_count: retry,
        retry_of: retry.checked_sub(1).map(|last| DelegationId::of_task(task, last)),
        max_retries: MAX_RETRIES,
        delay,
    }
}

//! Working on a claim until its end is stored, or the claim is let go.
//!
//! Invariant: a claim whose work failed is repeated, let go or lost; no worker waits for its own lease to expire, and the
//! effects of the work still happen once. Who can break it: a commit whose response was lost, for the repetition would
//! compute again what is stored already, and replace the files that the stored end names. So each repetition begins with
//! [`WorkQueue::confirm`], which waits for that commit and finds the lease gone. A unit that fails for ever under its
//! attempt: it is let go after [`MAX_REPEATS`], and its task is given up after the last retry. A panic: it is caught, and
//! the claim is let go. A server that stops: its claims are lost, as when it is killed.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use domain::kind::{Coded as _, Kind};
use futures::FutureExt as _;
use ports::{Claim, Store, WorkQueue};

use crate::failure::Failure;
use crate::metrics::{Metrics, WorkEnd};
use crate::pause::Pause;
use crate::work::letting_go::let_go;

/// How often work is repeated under one attempt because the store was unavailable. What fails more often is likely a
/// fault of the unit itself, such as a statement that always takes too long. A full disk is never one.
const MAX_REPEATS: u32 = 20;
/// The longest delay before a repetition: the work is complete soon after the store is back.
const LONGEST: Duration = Duration::from_secs(10);

/// One attempt at a claim.
pub(crate) struct Attempt<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) queue: &'a dyn WorkQueue,
    pub(crate) metrics: &'a Metrics,
    pub(crate) claim: &'a Claim,
}

/// Returns whether the same work may succeed later.
fn is_transient(failure: &Failure) -> bool {
    matches!(failure.kind(), Kind::Unavailable | Kind::Full)
}

impl Attempt<'_> {
    /// Does the work, and repeats it while the store is at fault and the claim is held.
    pub(crate) async fn run<F>(&self, mut work: impl FnMut() -> F) -> WorkEnd
    where
        F: Future<Output = Result<WorkEnd, Failure>>,
    {
        let claim = self.claim;
        let mut pause = Pause::of_at_most(LONGEST);
        let mut repeats = 0;
        let why = loop {
            let failure = match AssertUnwindSafe(async { work().await }).catch_unwind().await {
                Ok(Ok(end)) => return end,
                Ok(Err(failure)) => failure,
                Err(_) => {
                    tracing::error!(delegation = %claim.delegation, "work panicked; its claim is let go");
                    self.metrics.unhandled_error();
                    break "the server failed at it; see its log".to_owned();
                }
            };
            if is_transient(&failure) && (repeats < MAX_REPEATS || failure.kind() == Kind::Full) {
                repeats += 1;
                tracing::warn!(error = &failure as &dyn std::error::Error, repeats, delegation = %claim.delegation, attempt = claim.attempt, "work failed for now; it is repeated under the same attempt");
                if !self.is_held(&mut pause).await {
                    tracing::warn!(delegation = %claim.delegation, attempt = claim.attempt, "the claim is no longer held: its end was stored, or another worker has it");
                    return WorkEnd::Lost;
                }
                continue;
            }
            tracing::error!(error = &failure as &dyn std::error::Error, delegation = %claim.delegation, attempt = claim.attempt, "work failed; its claim is let go");
            // The reason is shown to those who asked for the work: the database's words are for the log.
            break if failure.kind() == Kind::Bug {
                self.metrics.unhandled_error();
                "the server failed at it; see its log".to_owned()
            } else {
                failure.to_string()
            };
        };
        self.let_go(&why).await
    }

    /// Waits until the store answers, and returns whether the claim is still held.
    async fn is_held(&self, pause: &mut Pause) -> bool {
        loop {
            tokio::time::sleep(pause.next()).await;
            match self.queue.confirm(self.claim).await {
                Ok(held) => return held,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    delegation = %self.claim.delegation,
                    "the claim could not be confirmed"
                ),
            }
        }
    }

    async fn let_go(&self, why: &str) -> WorkEnd {
        let mut pause = Pause::of_at_most(LONGEST);
        loop {
            match let_go(self.store, self.claim, why).await {
                Ok(Some(queued)) => {
                    if queued {
                        self.queue.notify();
                    }
                    return WorkEnd::Failed;
                }
                Ok(None) => return WorkEnd::Lost,
                Err(failure) if is_transient(&failure) => tokio::time::sleep(pause.next()).await,
                Err(failure) => {
                    tracing::error!(error = &failure as &dyn std::error::Error, delegation = %self.claim.delegation, "a claim could not be let go; it is taken back when its lease expires");
                    return WorkEnd::Failed;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

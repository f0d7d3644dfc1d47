//! `POST /delegations/{id}/progress`, `.../complete`, `.../fail` and `POST /delegations/finish`: a callee's reports
//! on what it holds.

use std::collections::HashSet;
use std::sync::Arc;

use auth::{Permit, act};
use domain::ledger::delegation::{DelegationError, preview};
use domain::{DelegationId, DelegationStatus, Party};
use ports::ledger::{Completion, DelegationEnd, DelegationFacts};
use ports::{Committed, Ledger, LedgerQueries, Notifier, Store, UnitOfWork, inbox_topic};

use crate::access::delegation::party;
use crate::access::task::Asker;
use crate::failure::Failure;
use crate::retry::retried;

/// The result of one of several completions.
pub type Ended = (DelegationId, Result<DelegationStatus, DelegationError>);

/// Ends delegations, and records their progress.
pub struct FinishDelegations {
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    queries: Arc<dyn LedgerQueries>,
    notifier: Arc<dyn Notifier>,
}

/// The results, the callers to wake, and the late completions.
struct Outcome {
    ended: Vec<Ended>,
    callers: HashSet<String>,
    late: Vec<usize>,
    /// Those that look like repeats; comparing the whole result decides.
    again: Vec<usize>,
}

impl FinishDelegations {
    /// Creates the use case over these ports.
    pub fn new(
        store: Arc<dyn Store>,
        ledger: Arc<dyn Ledger>,
        queries: Arc<dyn LedgerQueries>,
        notifier: Arc<dyn Notifier>,
    ) -> Self {
        Self {
            store,
            ledger,
            queries,
            notifier,
        }
    }

    /// Records that the caller has begun, and its note on progress. This counts as a heartbeat.
    #[tracing::instrument(name = "app.finish_delegations.progress", skip_all, fields(delegation = %id))]
    pub async fn progress(
        &self,
        permit: Permit<act::UseDelegations>,
        id: &DelegationId,
        attempt: i64,
        note: Option<&str>,
    ) -> Result<Committed<()>, Failure> {
        let callee = party(&permit)?;
        let asker = Asker::of(&permit);
        retried!(self.progress_once(&asker, &callee, id, attempt, note))
    }

    async fn progress_once(
        &self,
        asker: &Asker,
        callee: &Party,
        id: &DelegationId,
        attempt: i64,
        note: Option<&str>,
    ) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        uow.activity().acting(&asker.actor).await?;
        if uow
            .delegations()
            .progress(id, attempt, callee.as_str(), note)
            .await?
        {
            return Ok(uow.commit(()).await?);
        }
        let facts = uow.delegations().find(id).await?;
        Err(not_held(facts, callee, "report progress of", id, attempt).into())
    }

    /// Ends each of these on its own, in one transaction with its task, its log and its caller's inbox. Returns the
    /// result of each, in their order.
    ///
    /// Repeating an end under the same attempt changes nothing. A late end is logged as an attempt and never applied
    /// (LED-6).
    #[tracing::instrument(name = "app.finish_delegations.finish", skip_all)]
    pub async fn finish(
        &self,
        permit: Permit<act::UseDelegations>,
        worker: &str,
        completions: &[Completion],
    ) -> Result<Vec<Ended>, Failure> {
        let callee = party(&permit)?;
        let asker = Asker::of(&permit);
        let mut outcome = retried!(self.finish_once(&asker, &callee, completions))?.into_inner();
        for index in std::mem::take(&mut outcome.again) {
            let (Some(ending), Some((_, ended))) = (completions.get(index), outcome.ended.get_mut(index))
            else {
                continue;
            };
            let DelegationEnd::Completed { result, .. } = &ending.end else {
                continue;
            };
            if self.queries.payload(&ending.id).await?.result != *result {
                *ended = Err(DelegationError::NotHeld {
                    id: ending.id.to_string(),
                    attempt: ending.attempt,
                    status: DelegationStatus::Completed,
                    last: ending.attempt,
                });
                outcome.late.push(index);
            }
        }
        for caller in &outcome.callers {
            self.notifier.notify(&inbox_topic(caller));
        }
        for ending in outcome.late.iter().filter_map(|index| completions.get(*index)) {
            let what = state_and_text(&ending.end).1;
            self.ledger
                .refuse_late(&ending.id, ending.attempt, worker, &what)
                .await?;
        }
        Ok(outcome.ended)
    }

    async fn finish_once(
        &self,
        asker: &Asker,
        callee: &Party,
        completions: &[Completion],
    ) -> Result<Committed<Outcome>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        uow.activity().acting(&asker.actor).await?;
        let now: HashSet<DelegationId> = uow
            .delegations()
            .finish_all(Some(callee.as_str()), completions)
            .await?
            .into_iter()
            .collect();
        let mut outcome = Outcome {
            ended: Vec::with_capacity(completions.len()),
            callers: HashSet::new(),
            late: Vec::new(),
            again: Vec::new(),
        };
        for (index, ending) in completions.iter().enumerate() {
            let facts = uow.delegations().find(&ending.id).await?;
            let (status, what) = state_and_text(&ending.end);
            let ended_so = |facts: &DelegationFacts| {
                facts.callee == callee.as_str()
                    && facts.attempt == ending.attempt
                    && facts.status == status
                    && facts.ended_with.as_deref() == Some(&*what)
            };
            let result = match facts {
                Some(facts) if now.contains(&ending.id) && facts.attempt == ending.attempt => {
                    outcome.callers.insert(facts.caller);
                    Ok(status)
                }
                Some(facts) if ended_so(&facts) => {
                    outcome.again.push(index);
                    Ok(status)
                }
                facts => {
                    let refused = not_held(facts, callee, "end", &ending.id, ending.attempt);
                    if matches!(refused, DelegationError::NotHeld { .. }) {
                        outcome.late.push(index);
                    }
                    Err(refused)
                }
            };
            outcome.ended.push((ending.id.clone(), result));
        }
        Ok(uow.commit(outcome).await?)
    }
}

/// Returns the state and the first characters of an end, as the ledger stores them.
fn state_and_text(end: &DelegationEnd) -> (DelegationStatus, String) {
    match end {
        DelegationEnd::Completed { preview: text, .. } => (DelegationStatus::Completed, preview(text)),
        DelegationEnd::Failed(why) | DelegationEnd::FailedForNow(why) => {
            (DelegationStatus::Failed, preview(why))
        }
    }
}

/// Returns why a party cannot write to a delegation: it does not exist for them, only its callee may, or they no
/// longer hold it.
fn not_held(
    facts: Option<DelegationFacts>,
    callee: &Party,
    what: &'static str,
    id: &DelegationId,
    attempt: i64,
) -> DelegationError {
    match facts {
        Some(facts) if facts.callee == callee.as_str() => DelegationError::NotHeld {
            id: id.to_string(),
            attempt,
            status: facts.status,
            last: facts.attempt,
        },
        Some(facts) if facts.caller == callee.as_str() => DelegationError::NotAllowed {
            id: id.to_string(),
            what,
            who: "callee",
        },
        _ => DelegationError::UnknownDelegation(id.to_string()),
    }
}

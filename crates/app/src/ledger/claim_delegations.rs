//! `POST /delegations/claim`, `POST /delegations/heartbeat`: how a callee claims delegations and keeps its leases.

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::DelegationId;
use ports::ledger::{ClaimRequest, Claimed};
use ports::{Ids, Ledger, Notifier, WorkerIdentity, work_topic};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::access::delegation::party;
use crate::failure::Failure;
use crate::ledger::long_poll::LongPoll;

/// A request for delegations.
#[derive(Clone, Debug)]
pub struct ClaimCommand {
    /// The worker that claims.
    pub worker: String,
    /// The maximum number of delegations.
    pub most: u32,
    /// Whether work on them begins at once; else they are dispatched, and begin with the first progress.
    pub begin: bool,
    /// How long to wait if there is nothing to claim.
    pub wait: Duration,
}

/// The result of a heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatOutcome {
    /// The claims that are still held, with the deadline of each.
    pub held: Vec<(DelegationId, i64, OffsetDateTime)>,
    /// The claims that the caller lost or never held: stop working on them.
    pub lost: Vec<(DelegationId, i64)>,
}

/// Makes claims, and accepts heartbeats for them.
pub struct ClaimDelegations {
    ledger: Arc<dyn Ledger>,
    ids: Arc<dyn Ids>,
    waiting: LongPoll,
    silence: Duration,
}

impl ClaimDelegations {
    /// Creates the use case over these ports; waits end when the server is `stopping`, and a lease expires after `silence` without a heartbeat.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        ids: Arc<dyn Ids>,
        notifier: Arc<dyn Notifier>,
        stopping: CancellationToken,
        silence: Duration,
    ) -> Self {
        Self {
            ledger,
            ids,
            waiting: LongPoll::new(notifier, stopping),
            silence,
        }
    }

    /// Returns after how long without a heartbeat a lease expires.
    pub const fn silence(&self) -> Duration {
        self.silence
    }

    /// Claims delegations of the caller, oldest first. If there is nothing to claim, waits for it.
    #[tracing::instrument(name = "app.claim_delegations", skip_all)]
    pub async fn run(
        &self,
        permit: Permit<act::UseDelegations>,
        command: ClaimCommand,
    ) -> Result<Vec<Claimed>, Failure> {
        let callee = party(&permit)?;
        let request = ClaimRequest {
            callee: callee.to_string(),
            worker: WorkerIdentity {
                name: command.worker,
                boot: self.ids.new_id(),
            },
            most: command.most,
            begin: command.begin,
        };
        let topic = work_topic(callee.as_str());
        self.waiting
            .until_some(&topic, command.wait, async || {
                Ok(self.ledger.claim(&request).await?)
            })
            .await
    }

    /// Extends the leases of the caller's claims.
    #[tracing::instrument(name = "app.claim_delegations.heartbeat", skip_all)]
    pub async fn heartbeat(
        &self,
        permit: Permit<act::UseDelegations>,
        claims: Vec<(DelegationId, i64)>,
    ) -> Result<HeartbeatOutcome, Failure> {
        let callee = party(&permit)?;
        let held = self.ledger.heartbeat(Some(&callee), &claims).await?;
        let is_held = |claim: &(DelegationId, i64)| {
            held.iter()
                .any(|(id, attempt, _)| *id == claim.0 && *attempt == claim.1)
        };
        Ok(HeartbeatOutcome {
            lost: claims.into_iter().filter(|claim| !is_held(claim)).collect(),
            held,
        })
    }
}

//! `POST /delegations/claim`, `POST /delegations/heartbeat`: what a callee takes and holds.

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::DelegationId;
use ports::ledger::{ClaimRequest, Claimed};
use ports::{Ids, Ledger, Notifier, WorkerIdentity, work_topic};
use time::OffsetDateTime;

use crate::access::delegation::party;
use crate::failure::Failure;
use crate::ledger::long_poll::LongPoll;

/// What a callee asks for.
#[derive(Clone, Debug)]
pub struct ClaimCommand {
    /// Which of its workers asks.
    pub worker: String,
    /// The most delegations.
    pub most: u32,
    /// Whether it begins with them at once; else they are dispatched, and begin with the first progress.
    pub begin: bool,
    /// How long to wait where there is nothing.
    pub wait: Duration,
}

/// What of some claims is still held.
#[derive(Clone, Debug)]
pub struct HeartbeatOutcome {
    /// The claims that were beaten for, and when the time of each is over.
    pub held: Vec<(DelegationId, i64, OffsetDateTime)>,
    /// Those that the caller does not hold any more, or never did: stop working on them.
    pub lost: Vec<(DelegationId, i64)>,
}

/// Claims, and beats for claims.
pub struct ClaimDelegations {
    ledger: Arc<dyn Ledger>,
    ids: Arc<dyn Ids>,
    waiting: LongPoll,
    silence: Duration,
}

impl ClaimDelegations {
    /// A use case on these ports; what is silent for longer than `silence` is taken away.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        ids: Arc<dyn Ids>,
        notifier: Arc<dyn Notifier>,
        silence: Duration,
    ) -> Self {
        Self {
            ledger,
            ids,
            waiting: LongPoll::new(notifier),
            silence,
        }
    }

    /// After how long without a heartbeat a claim is taken away.
    pub const fn silence(&self) -> Duration {
        self.silence
    }

    /// Claims what waits for the caller, oldest first. Where there is nothing, waits for it.
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

    /// Beats for what the caller holds.
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

//! Reading the ledger (LED-9): one delegation, those in flight, the stuck ones, and the archive.

use std::sync::Arc;

use auth::{Permit, act};
use domain::data::page::PageScope;
use domain::ledger::delegation::DelegationError;
use domain::{DelegationId, Invalid, Party};
use ports::LedgerQueries;
use ports::data::PageKey;
use ports::ledger::{AttemptEntry, DelegationFilter, DelegationStates, DelegationView, Payload, Side};

use crate::access::delegation::party;
use crate::access::task::Asker;
use crate::cursor::{self, Listed};
use crate::failure::Failure;
use crate::page::Page;

/// Reads the ledger.
pub struct ReadDelegations {
    ledger: Arc<dyn LedgerQueries>,
}

impl ReadDelegations {
    /// Creates the use case over the ledger.
    pub fn new(ledger: Arc<dyn LedgerQueries>) -> Self {
        Self { ledger }
    }

    /// Returns one delegation to its caller, its callee and admins. For others it does not exist.
    #[tracing::instrument(name = "app.read_delegations.get", skip_all, fields(delegation = %id))]
    pub async fn get(
        &self,
        permit: &Permit<act::UseDelegations>,
        id: &DelegationId,
    ) -> Result<(DelegationView, Payload), Failure> {
        let view = self.visible(permit, id).await?;
        let payload = self.ledger.payload(&view.id).await?;
        Ok((view, payload))
    }

    /// Returns its attempt log, oldest first: holders, ends, and late results.
    #[tracing::instrument(name = "app.read_delegations.attempts", skip_all, fields(delegation = %id))]
    pub async fn attempts(
        &self,
        permit: Permit<act::UseDelegations>,
        id: &DelegationId,
    ) -> Result<Vec<AttemptEntry>, Failure> {
        let view = self.visible(&permit, id).await?;
        Ok(self.ledger.attempts(&view.id).await?)
    }

    async fn visible(
        &self,
        permit: &Permit<act::UseDelegations>,
        id: &DelegationId,
    ) -> Result<DelegationView, Failure> {
        let asks = party(permit)?;
        let found = self.ledger.delegation(id).await?;
        let is_own = |view: &DelegationView| view.caller == asks.as_str();
        let view = if found.as_ref().is_some_and(is_own) {
            found
        } else {
            // Where another party has the id, the requester's own delegation has the requester's name in front.
            let own = self.ledger.delegation(&id.of_party(asks.as_str())).await?;
            let is_seen =
                |view: &DelegationView| view.callee == asks.as_str() || Asker::of(permit).manages_all;
            own.or_else(|| found.filter(is_seen))
        };
        Ok(view.ok_or_else(|| DelegationError::UnknownDelegation(id.to_string()))?)
    }

    /// Returns delegations of a party, newest first. Callers see their own; admins see those of any party, and may
    /// list all stuck ones.
    #[tracing::instrument(name = "app.read_delegations.list", skip_all)]
    pub async fn list(
        &self,
        permit: Permit<act::UseDelegations>,
        side: Option<Side>,
        of: Option<Party>,
        states: DelegationStates,
        cursor: Option<&str>,
        most: u32,
    ) -> Result<Page<DelegationView>, Failure> {
        let asks = party(&permit)?;
        let manages_all = Asker::of(&permit).manages_all;
        if of.as_ref().is_some_and(|of| *of != asks) && !manages_all {
            let rule =
                Invalid::value("must be left out, or name the caller: only admins see others' delegations");
            return Err(rule.of_field("party").into());
        }
        let party = match (side, of) {
            (Some(side), of) => Some((side, of.unwrap_or(asks).to_string())),
            (None, None) if states == DelegationStates::Stuck && manages_all => None,
            (None, _) => {
                let rule = Invalid::value(
                    "must be caller or callee; only admins leave it out, and only with state=stuck",
                );
                return Err(rule.of_field("side").into());
            }
        };
        let scope = PageScope::of(&[
            "delegations",
            &format!("{states:?}"),
            &party
                .as_ref()
                .map(|(side, name)| format!("{side:?} {name}"))
                .unwrap_or_default(),
        ]);
        let after = match cursor {
            Some(text) => match cursor::decode(&scope, Listed::Records, text)? {
                PageKey::Record(at, id) => Some((at, id)),
                _ => None,
            },
            None => None,
        };
        let filter = DelegationFilter { party, states, after };
        let mut items = self.ledger.delegations(&filter, most + 1).await?;
        let has_more = items.len() > most as usize;
        items.truncate(most as usize);
        let end = items.last().filter(|_| has_more);
        Ok(Page {
            next: end.map(|view| {
                let key = PageKey::Record(view.created_at, view.id.to_string());
                cursor::encode(&scope, &key)
            }),
            items,
        })
    }
}

//! `GET /inbox` and `POST /inbox/acknowledge`: the ends of what the caller handed over (LED-7).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::Party;
use ports::ledger::Message;
use ports::{Committed, LedgerQueries, Notifier, Store, UnitOfWork, inbox_topic};

use crate::access::delegation::party;
use crate::failure::Failure;
use crate::ledger::long_poll::LongPoll;
use crate::retry::retried;

/// Reads and acknowledges what came for the caller.
pub struct ReadInbox {
    store: Arc<dyn Store>,
    ledger: Arc<dyn LedgerQueries>,
    waiting: LongPoll,
}

impl ReadInbox {
    /// A use case on these ports.
    pub fn new(store: Arc<dyn Store>, ledger: Arc<dyn LedgerQueries>, notifier: Arc<dyn Notifier>) -> Self {
        Self {
            store,
            ledger,
            waiting: LongPoll::new(notifier),
        }
    }

    /// What was not acknowledged yet, oldest first, at most `most`; where there is nothing, waits for it. What is not acknowledged comes
    /// again at every look that does not begin after it.
    pub async fn list(
        &self,
        permit: Permit<act::UseDelegations>,
        after: i64,
        most: u32,
        wait: Duration,
    ) -> Result<Vec<Message>, Failure> {
        let caller = party(&permit)?;
        let topic = inbox_topic(caller.as_str());
        self.waiting
            .until_some(&topic, wait, async || {
                Ok(self.ledger.inbox(&caller, after, most).await?)
            })
            .await
    }

    /// Acknowledges messages: they do not come again. Gives those that waited; others were acknowledged before, or are not the caller's.
    pub async fn acknowledge(
        &self,
        permit: Permit<act::UseDelegations>,
        messages: &[i64],
    ) -> Result<Committed<Vec<i64>>, Failure> {
        let caller = party(&permit)?;
        retried!(self.acknowledge_once(&caller, messages))
    }

    async fn acknowledge_once(
        &self,
        caller: &Party,
        messages: &[i64],
    ) -> Result<Committed<Vec<i64>>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let mut done = uow.delegations().acknowledge(caller.as_str(), messages).await?;
        done.sort_unstable();
        Ok(uow.commit(done).await?)
    }
}

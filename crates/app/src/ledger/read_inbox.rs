//! `GET /inbox` and `POST /inbox/acknowledge`: how the caller's delegations ended (LED-7).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::Party;
use ports::ledger::Message;
use ports::{Committed, LedgerQueries, Notifier, Store, UnitOfWork, inbox_topic};
use tokio_util::sync::CancellationToken;

use crate::access::delegation::party;
use crate::failure::Failure;
use crate::ledger::long_poll::LongPoll;
use crate::retry::retried;

/// Reads and acknowledges the caller's messages.
pub struct ReadInbox {
    store: Arc<dyn Store>,
    ledger: Arc<dyn LedgerQueries>,
    waiting: LongPoll,
}

impl ReadInbox {
    /// Creates the use case over these ports. Waits end when the server is `stopping`.
    pub fn new(
        store: Arc<dyn Store>,
        ledger: Arc<dyn LedgerQueries>,
        notifier: Arc<dyn Notifier>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            store,
            ledger,
            waiting: LongPoll::new(notifier, stopping),
        }
    }

    /// Returns at most `most` unacknowledged messages, oldest first; if there are none, waits for one. Unacknowledged
    /// messages are redelivered by every read that does not begin after them.
    #[tracing::instrument(name = "app.read_inbox.list", skip_all)]
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

    /// Acknowledges messages, so that they are not redelivered. Returns those that were waiting; others were
    /// acknowledged before, or are not the caller's.
    #[tracing::instrument(name = "app.read_inbox.acknowledge", skip_all)]
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

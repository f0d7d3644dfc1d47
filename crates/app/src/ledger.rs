//! Tasks and the delegation ledger.

use std::time::Duration;

use crate::port_set::Ports;

pub mod accept_callers;
pub mod cancel_delegation;
pub mod cancel_task;
pub mod claim_delegations;
pub mod create_task;
pub mod delegate;
pub mod finish_delegations;
pub(crate) mod long_poll;
pub mod read_delegations;
pub mod read_inbox;
pub mod read_tasks;
pub(crate) mod redelegate;
pub mod share_task;
pub mod update_task;

pub use accept_callers::AcceptCallers;
pub use cancel_delegation::CancelDelegation;
pub use cancel_task::CancelTask;
pub use claim_delegations::ClaimDelegations;
pub use create_task::CreateTask;
pub use delegate::Delegate;
pub use finish_delegations::FinishDelegations;
pub use read_delegations::ReadDelegations;
pub use read_inbox::ReadInbox;
pub use read_tasks::ReadTasks;
pub use redelegate::Redelegate;
pub use share_task::ShareTask;
pub use update_task::UpdateTask;

/// The use cases of tasks and delegations.
#[expect(missing_docs, reason = "each field is named after its use case")]
pub struct Ledger {
    pub create_task: CreateTask,
    pub read_tasks: ReadTasks,
    pub update_task: UpdateTask,
    pub cancel_task: CancelTask,
    pub share_task: ShareTask,
    pub delegate: Delegate,
    pub accept_callers: AcceptCallers,
    pub claim_delegations: ClaimDelegations,
    pub finish_delegations: FinishDelegations,
    pub cancel_delegation: CancelDelegation,
    pub redelegate: Redelegate,
    pub read_delegations: ReadDelegations,
    pub read_inbox: ReadInbox,
}

impl Ledger {
    /// Creates the use cases over these adapters. A claim is lost after `silence` without a heartbeat.
    pub fn new(ports: &Ports, silence: Duration) -> Self {
        Self {
            create_task: CreateTask::new(
                ports.store.clone(),
                ports.tasks.clone(),
                ports.ids.clone(),
                ports.limits,
            ),
            read_tasks: ReadTasks::new(ports.tasks.clone()),
            update_task: UpdateTask::new(ports.store.clone(), ports.tasks.clone()),
            cancel_task: CancelTask::new(ports.store.clone(), ports.tasks.clone(), ports.notifier.clone()),
            share_task: ShareTask::new(ports.store.clone(), ports.tasks.clone()),
            delegate: Delegate::new(
                ports.store.clone(),
                ports.tasks.clone(),
                ports.ledger_queries.clone(),
                ports.notifier.clone(),
                ports.limits,
            ),
            accept_callers: AcceptCallers::new(ports.store.clone()),
            claim_delegations: ClaimDelegations::new(
                ports.ledger.clone(),
                ports.ids.clone(),
                ports.notifier.clone(),
                ports.stopping.clone(),
                silence,
            ),
            finish_delegations: FinishDelegations::new(
                ports.store.clone(),
                ports.ledger.clone(),
                ports.ledger_queries.clone(),
                ports.notifier.clone(),
            ),
            cancel_delegation: CancelDelegation::new(
                ports.store.clone(),
                ports.ledger_queries.clone(),
                ports.notifier.clone(),
            ),
            redelegate: Redelegate::new(
                ports.store.clone(),
                ports.ledger_queries.clone(),
                ports.notifier.clone(),
            ),
            read_delegations: ReadDelegations::new(ports.ledger_queries.clone()),
            read_inbox: ReadInbox::new(
                ports.store.clone(),
                ports.ledger_queries.clone(),
                ports.notifier.clone(),
                ports.stopping.clone(),
            ),
        }
    }
}

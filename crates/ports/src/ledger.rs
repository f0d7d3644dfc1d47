//! Tasks and the delegation ledger.

mod callees;
mod claims;
mod delegations;
mod notifier;
mod queries;
mod task_queries;
mod tasks;

pub use callees::{Callees, CallerList};
pub use claims::{ClaimRequest, Claimed, Ledger};
pub use delegations::{
    Completion, Deadline, Delegated, DelegationEnd, DelegationFacts, Delegations, Existing, Nesting,
    NewDelegation, Stuck, Swept,
};
pub use notifier::{Notifier, Subscription, cancelled_topic, inbox_topic, work_topic};
pub use queries::{
    AttemptEntry, DelegationFilter, DelegationStates, DelegationView, LedgerQueries, Message, Payload, Side,
};
pub use task_queries::{BoundedPage, TaskFilter, TaskGrant, TaskQueries, TaskView};
pub use tasks::{LockedTask, NewTask, RequestKey, Tasks};

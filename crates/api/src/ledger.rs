//! Operations on tasks, delegations and the inbox.

use std::sync::Arc;

use crate::services::Services;

pub(crate) mod callees;
pub(crate) mod claims;
pub(crate) mod completions;
pub(crate) mod delegations;
pub(crate) mod inbox;
pub(crate) mod tasks;
mod wire;

/// The API structs of this context.
pub(crate) type Apis = (
    tasks::TasksApi,
    delegations::DelegationsApi,
    claims::ClaimsApi,
    completions::CompletionsApi,
    inbox::InboxApi,
    callees::CalleesApi,
);

/// Creates the API structs of this context over `services`.
pub(crate) fn apis(services: &Arc<Services>) -> Apis {
    (
        tasks::TasksApi(Arc::clone(services)),
        delegations::DelegationsApi(Arc::clone(services)),
        claims::ClaimsApi(Arc::clone(services)),
        completions::CompletionsApi(Arc::clone(services)),
        inbox::InboxApi(Arc::clone(services)),
        callees::CalleesApi(Arc::clone(services)),
    )
}

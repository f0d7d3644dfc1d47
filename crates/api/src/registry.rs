//! Operations on conventions, schemas, hooks and releases.

use std::sync::Arc;

use crate::services::Services;

pub(crate) mod conventions;
pub(crate) mod hook_runs;
pub(crate) mod hooks;
pub(crate) mod hooks_live;
pub(crate) mod schemas;
pub(crate) mod template;
pub(crate) mod wire;
pub(crate) mod wire_deploy;

/// The API structs of this context.
pub(crate) type Apis = (
    conventions::ConventionsApi,
    schemas::SchemasApi,
    hooks::HooksApi,
    hooks_live::HooksLiveApi,
    hook_runs::HookRunsApi,
);

/// Creates the API structs of this context over `services`.
pub(crate) fn apis(services: &Arc<Services>) -> Apis {
    (
        conventions::ConventionsApi(Arc::clone(services)),
        schemas::SchemasApi(Arc::clone(services)),
        hooks::HooksApi::new(services),
        hooks_live::HooksLiveApi(Arc::clone(services)),
        hook_runs::HookRunsApi(Arc::clone(services)),
    )
}

//! Operations of sign-in, sessions and administration.

use std::sync::Arc;

use crate::services::Services;

pub(crate) mod admin;
pub(crate) mod auth_session;
pub(crate) mod auth_sign_in;
pub(crate) mod pages;

/// The API structs of this context.
pub(crate) type Apis = (
    auth_session::AuthSessionApi,
    auth_sign_in::AuthSignInApi,
    admin::AdminApi,
);

/// Creates the API structs of this context over `services`.
pub(crate) fn apis(services: &Arc<Services>) -> Apis {
    (
        auth_session::AuthSessionApi(Arc::clone(services)),
        auth_sign_in::AuthSignInApi(Arc::clone(services)),
        admin::AdminApi(Arc::clone(services)),
    )
}

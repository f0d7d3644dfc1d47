//! Principals, sign-in, tokens, roles and service accounts.

use std::sync::Arc;

use auth::{Minter, Verifier};

use crate::identity::sign_in::SignInOptions;
use crate::port_set::Ports;

pub mod authenticate;
pub mod end_session;
pub mod fetch_device_tokens;
pub mod grant_role;
pub mod issuer_keys;
pub mod open_device;
pub mod principals;
pub mod read_identities;
pub(crate) mod read_profile;
pub mod refresh_session;
pub mod revoke_role;
pub mod set_service_account_state;
pub mod sign_in;
pub mod tokens;

pub use authenticate::Authenticate;
pub use end_session::EndSession;
pub use fetch_device_tokens::FetchDeviceTokens;
pub use grant_role::GrantRole;
pub use issuer_keys::IssuerKeys;
pub use open_device::OpenDevice;
pub use principals::Principals;
pub use read_identities::ReadIdentities;
pub use read_profile::ReadProfile;
pub use refresh_session::RefreshSession;
pub use revoke_role::RevokeRole;
pub use set_service_account_state::SetServiceAccountState;
pub use sign_in::SignIn;
pub use tokens::{Lifetimes, TokenMaker};

/// How principals are recognised and signed in.
pub struct IdentityOptions {
    /// Verifies tokens.
    pub verifier: Verifier,
    /// The keys of the configured issuers.
    pub keys: Vec<Arc<IssuerKeys>>,
    /// Signs the node's own tokens.
    pub minter: Minter,
    /// How long tokens are valid.
    pub lifetimes: Lifetimes,
    /// How people sign in.
    pub sign_in: SignInOptions,
}

/// The use cases of principals, sign-in, roles and service accounts.
#[expect(missing_docs, reason = "each field is named after its use case")]
pub struct Identity {
    pub authenticate: Arc<Authenticate>,
    pub sign_in: SignIn,
    pub refresh_session: RefreshSession,
    pub end_session: EndSession,
    pub open_device: OpenDevice,
    pub fetch_device_tokens: FetchDeviceTokens,
    pub grant_role: GrantRole,
    pub revoke_role: RevokeRole,
    pub set_service_account_state: SetServiceAccountState,
    pub read_identities: ReadIdentities,
    pub read_profile: ReadProfile,
}

impl Identity {
    /// Creates the use cases over these adapters.
    pub fn new(ports: &Ports, options: IdentityOptions) -> Self {
        let principals = Arc::new(Principals::new(ports.identities.clone()));
        let tokens = Arc::new(TokenMaker {
            minter: options.minter,
            randomness: ports.randomness.clone(),
            ids: ports.ids.clone(),
            clock: ports.clock.clone(),
            lifetimes: options.lifetimes,
        });
        Self {
            authenticate: Arc::new(Authenticate::new(
                options.verifier,
                options.keys,
                Arc::clone(&principals),
                ports.clock.clone(),
            )),
            sign_in: SignIn::new(ports.store.clone(), Arc::clone(&tokens), options.sign_in),
            refresh_session: RefreshSession::new(ports.store.clone(), Arc::clone(&tokens)),
            end_session: EndSession::new(ports.store.clone(), Arc::clone(&principals)),
            open_device: OpenDevice::new(ports.store.clone(), Arc::clone(&tokens)),
            fetch_device_tokens: FetchDeviceTokens::new(ports.store.clone(), tokens),
            grant_role: GrantRole::new(ports.store.clone(), ports.ids.clone(), Arc::clone(&principals)),
            revoke_role: RevokeRole::new(ports.store.clone(), Arc::clone(&principals)),
            set_service_account_state: SetServiceAccountState::new(ports.store.clone(), principals),
            read_identities: ReadIdentities::new(ports.identities.clone()),
            read_profile: ReadProfile::new(ports.identities.clone()),
        }
    }
}

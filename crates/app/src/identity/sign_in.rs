//! `/auth/login`, `/auth/callback` and `/auth/device/verify`: OAuth 2.0 with PKCE, bound to the browser that began it
//! (WC-D28).

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::{Permit, Role, SIGN_IN_SECONDS, SignInState, act};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::identity::SessionError;
use domain::{Actor, Event, Invalid, UserId};
use ports::identity::{ExternalIdentity, UserProfile};
use ports::{Committed, IdentityProvider, IdentityProviderError, Store, UnitOfWork};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use url::Url;

use crate::failure::Failure;
use crate::identity::open_device::normal_user_code;
use crate::identity::tokens::{TokenMaker, Tokens};
use crate::retry::retried;

/// How people sign in to this node.
pub struct SignInOptions {
    /// The identity provider, if there is one.
    pub provider: Option<Arc<dyn IdentityProvider>>,
    /// The node's callback address for the provider: `.../api/v1/auth/callback`.
    pub callback_url: String,
    /// The default redirect target of a browser.
    pub home: Url,
    /// The origins to which browsers may be sent with tokens, besides the home: `https://host[:port]` (WC-D28).
    pub allowed_origins: Vec<String>,
    /// External ids that become superadmin at their first sign-in.
    pub admins: BTreeSet<String>,
    /// The role that others get at their first sign-in.
    pub base_role: Option<Role>,
}

/// The redirect of a browser to the provider, and the content of its cookie meanwhile.
#[derive(Clone, Debug)]
pub struct Departure {
    /// The provider's address.
    pub url: String,
    /// The content of the cookie.
    pub nonce: String,
}

/// The parameters of a browser that returns.
#[derive(Clone, Debug, Default)]
pub struct Return {
    /// The provider's code.
    pub code: Option<String>,
    /// The node's state.
    pub state: Option<String>,
    /// The provider's error code.
    pub error: Option<String>,
    /// The content of the cookie.
    pub nonce: Option<String>,
}

/// Where a returning browser goes next.
pub enum Landing {
    /// To its redirect target, with tokens.
    Home {
        /// The redirect target.
        redirect_uri: String,
        /// The tokens.
        tokens: Tokens,
        /// The user.
        user: UserProfile,
    },
    /// The device was approved.
    Device,
    /// It failed.
    Failed {
        /// Whether the sign-in was for a device.
        device: bool,
        /// The error code.
        error: String,
        /// The same in words.
        description: String,
    },
}

const DENIED: &str = "the identity provider was not allowed to sign you in";
const REFUSED: &str = "the identity provider refused the sign-in";
const CODE_OVER: &str = "the device's code was used or has expired; request a new one on the device";
const NO_STATE: &str = "the response of the identity provider has no state";
const OTHER_BROWSER: &str = "this sign-in was not begun in this browser, or it took longer than five minutes";
const NO_CODE: &str = "the response of the identity provider has no code";
const NO_PROVIDER: &str = "this node no longer has an identity provider";
const TOO_MANY: &str = "too many concurrent sign-ins; try again";
const NOT_IDENTIFIED: &str = "the identity provider could not identify you; try again";

/// Every reason in words for which a sign-in fails. A page shows no other text that its address has: a link with any
/// text would let anyone speak in the node's name.
pub const REASONS: [&str; 9] = [
    DENIED,
    REFUSED,
    CODE_OVER,
    NO_STATE,
    OTHER_BROWSER,
    NO_CODE,
    NO_PROVIDER,
    TOO_MANY,
    NOT_IDENTIFIED,
];

/// Returns the provider's error code if it has the form of one (RFC 6749 4.1.2.1).
fn provider_code(error: &str) -> &str {
    let fits = (1..=40).contains(&error.len()) && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if fits { error } else { "oauth_error" }
}

/// Signs people in.
pub struct SignIn {
    store: Arc<dyn Store>,
    tokens: Arc<TokenMaker>,
    options: SignInOptions,
    /// The callback is public, so the number of concurrent calls to the provider is limited.
    asking: Semaphore,
}

/// The maximum number of concurrent calls to the identity provider.
const MAX_ASKING: usize = 16;

impl SignIn {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, tokens: Arc<TokenMaker>, options: SignInOptions) -> Self {
        Self {
            store,
            tokens,
            options,
            asking: Semaphore::new(MAX_ASKING),
        }
    }

    /// Returns how people sign in, for administrators: the provider's name, the client id, and who becomes
    /// superadmin.
    pub fn options(&self, _permit: &Permit<act::ReadAuthConfig>) -> &SignInOptions {
        &self.options
    }

    /// Creates the token that binds a form to the browser that shows it.
    pub fn form_token(&self) -> String {
        self.tokens.secret()
    }

    /// Returns the page on which a failed sign-in is reported.
    pub fn home(&self) -> &Url {
        &self.options.home
    }

    /// Sends a browser to the provider. It will return to `redirect_uri` with tokens, so that must be of an allowed
    /// origin.
    pub fn begin(
        &self,
        _permit: &Permit<act::SignIn>,
        provider: &str,
        redirect_uri: Option<&str>,
    ) -> Result<Departure, Failure> {
        let redirect_uri = match redirect_uri {
            Some(text) => self.allowed(text)?,
            None => self.options.home.clone(),
        };
        self.depart(provider, redirect_uri.into(), None)
    }

    /// Sends the browser of a person who typed a device's code to the provider.
    #[tracing::instrument(name = "app.sign_in.begin_device", skip_all)]
    pub async fn begin_device(
        &self,
        _permit: &Permit<act::SignIn>,
        typed: &str,
    ) -> Result<Departure, Failure> {
        let unknown = || Invalid::value("is not a valid device code").of_field("user_code");
        let code = normal_user_code(typed).ok_or_else(unknown)?;
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let request = uow.sessions().lock_user_code(&code).await?;
        drop(uow);
        match request {
            Some(request) if !request.expired && request.user.is_none() => {
                let name = self.options.provider.as_ref().map_or("orcid", |p| p.name());
                self.depart(name, String::new(), Some(code))
            }
            Some(_) => Err(
                Invalid::value("was used or has expired; request a new one on the device")
                    .of_field("user_code")
                    .into(),
            ),
            None => Err(unknown().into()),
        }
    }

    fn depart(
        &self,
        provider: &str,
        redirect_uri: String,
        user_code: Option<String>,
    ) -> Result<Departure, Failure> {
        let known = self.options.provider.as_ref().filter(|p| p.name() == provider);
        let known =
            known.ok_or_else(|| SessionError::UnknownProvider(provider.chars().take(64).collect()))?;
        let nonce = self.tokens.secret();
        let minter = &self.tokens.minter;
        let state = minter.state(&SignInState {
            nonce: nonce.clone(),
            redirect_uri,
            provider: provider.to_owned(),
            exp: self.tokens.clock.now().unix_timestamp() + SIGN_IN_SECONDS,
            user_code,
        });
        // RFC 7636 4.2.
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(minter.code_verifier(&nonce)));
        Ok(Departure {
            url: known.authorization_url(&self.options.callback_url, &state, &challenge),
            nonce,
        })
    }

    /// Parses a redirect target and checks its origin; tokens are never sent to another one.
    fn allowed(&self, text: &str) -> Result<Url, Invalid> {
        let refuse = || {
            Invalid::value("must be a URL of an origin that auth.redirect_origins or frontend.url names")
                .of_field("redirect_uri")
        };
        let url = Url::parse(text).map_err(|_| refuse())?;
        let origin = url.origin().ascii_serialization();
        let fits = url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && matches!(url.scheme(), "http" | "https")
            && (url.origin() == self.options.home.origin() || self.options.allowed_origins.contains(&origin));
        if fits { Ok(url) } else { Err(refuse()) }
    }

    /// Completes the sign-in of a browser that returned.
    #[tracing::instrument(name = "app.sign_in.finish", skip_all)]
    pub async fn finish(&self, _permit: &Permit<act::SignIn>, back: Return) -> Result<Landing, Failure> {
        let failed = |device, error: &str, description: &str| {
            Ok(Landing::Failed {
                device,
                error: error.to_owned(),
                description: description.to_owned(),
            })
        };
        let Some(state) = &back.state else {
            return failed(false, "oauth_state_missing", NO_STATE);
        };
        let now = self.tokens.clock.now().unix_timestamp();
        // A valid state of another browser is not this browser's sign-in.
        let state = self.tokens.minter.read_state(state, now);
        let Some(state) = state.filter(|s| back.nonce.as_deref() == Some(&s.nonce)) else {
            return failed(false, "oauth_state_invalid", OTHER_BROWSER);
        };
        let device = state.user_code.is_some();
        if let Some(error) = &back.error {
            // What the provider says in words comes through the browser, so it may be anyone's text.
            return if error == "access_denied" {
                failed(device, error, DENIED)
            } else {
                failed(device, provider_code(error), REFUSED)
            };
        }
        let Some(code) = &back.code else {
            return failed(device, "missing_code", NO_CODE);
        };
        let Some(provider) = &self.options.provider else {
            return failed(device, "unknown_provider", NO_PROVIDER);
        };
        let Ok(_asking) = self.asking.try_acquire() else {
            return failed(device, "idp_unavailable", TOO_MANY);
        };
        let verifier = self.tokens.minter.code_verifier(&state.nonce);
        let identity = match provider
            .identify(code, &self.options.callback_url, &verifier)
            .await
        {
            Ok(identity) => identity,
            Err(error) => {
                tracing::warn!(%error, "a sign-in failed at the identity provider");
                let code = match error {
                    IdentityProviderError::Refused => "oauth_error",
                    IdentityProviderError::Unavailable(_) => "idp_unavailable",
                };
                return failed(device, code, NOT_IDENTIFIED);
            }
        };
        Ok(retried!(self.land(&state, &identity, provider.name()))?.into_inner())
    }

    async fn land(
        &self,
        state: &SignInState,
        identity: &ExternalIdentity,
        provider: &str,
    ) -> Result<Committed<Landing>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        // The device is locked before the user, as when it fetches its tokens: two lock orders would deadlock.
        let request = match &state.user_code {
            Some(code) => uow.sessions().lock_user_code(code).await?,
            None => None,
        };
        let (user, is_new) = uow
            .identities()
            .sign_in(
                UserId::from_uuid(self.tokens.ids.new_id()),
                provider,
                &identity.external_id,
                &identity.display_name,
            )
            .await?;
        let first = if self.options.admins.contains(&identity.external_id) {
            Some(Role::Superadmin)
        } else {
            self.options.base_role
        };
        if let Some(role) = first.filter(|_| is_new) {
            let id = self.tokens.ids.new_id();
            uow.identities()
                .grant_role(id, user.id, role.as_str(), None)
                .await?;
        }
        uow.activity()
            .append(&Event {
                kind: "UserAuthenticated",
                subject: format!("user:{}", user.id),
                actor: Actor::User(user.id),
                payload: json!({"user_id": user.id.to_string(), "provider": provider, "external_id": identity.external_id}),
            })
            .await?;
        let Some(code) = &state.user_code else {
            let tokens = self.tokens.issue(&mut *uow, &user, None).await?;
            let landing = Landing::Home {
                redirect_uri: state.redirect_uri.clone(),
                tokens,
                user,
            };
            return Ok(uow.commit(landing).await?);
        };
        let landing = match request {
            Some(request) if !request.expired && request.user.is_none() => {
                uow.sessions().authorize_device(code, user.id).await?;
                Landing::Device
            }
            _ => Landing::Failed {
                device: true,
                error: "expired_token".to_owned(),
                description: CODE_OVER.to_owned(),
            },
        };
        Ok(uow.commit(landing).await?)
    }
}

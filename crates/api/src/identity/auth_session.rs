//! `/auth/me`, `/auth/refresh`, `/auth/logout`, `/auth/config`, and tokens for devices (WC-1.10).

use std::sync::Arc;

use app::identity::open_device::{DEVICE_INTERVAL, DEVICE_LIFETIME};
use app::identity::tokens::Tokens;
use auth::act;
use pages::paths;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi, Tags};

use crate::http::body::Body;
use crate::http::client::Client;
use crate::http::gate::Gate;
use crate::http::problem::Problem;
use crate::services::Services;

#[derive(Tags)]
pub(crate) enum Tag {
    /// Sign-in, sessions and the caller's profile.
    Auth,
}

pub(crate) struct AuthSessionApi(pub(crate) Arc<Services>);

/// The caller's profile.
#[derive(Debug, Object)]
struct Profile {
    id: String,
    display_name: String,
    provider: String,
    external_id: String,
    /// The roles, in lower case.
    roles: Vec<String>,
}

/// A refresh token.
#[derive(Debug, Object)]
struct RefreshBody {
    refresh_token: String,
}

/// A pair of tokens of a user.
#[derive(Debug, Object)]
struct TokenPair {
    /// A JWT that authenticates requests.
    access_token: String,
    /// A single-use token for the next pair.
    refresh_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// Lifetime of the access token, in seconds.
    expires_in: u64,
}

impl From<Tokens> for TokenPair {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            token_type: "Bearer".to_owned(),
            expires_in: tokens.expires_in,
        }
    }
}

/// Confirmation that a session has ended.
#[derive(Debug, Object)]
struct LoggedOut {
    /// Always true.
    success: bool,
}

/// Sign-in configuration of the node.
#[derive(Debug, Object)]
struct AuthConfig {
    /// The identity provider.
    provider: String,
    /// Client id of the node at the provider; empty if none is configured.
    client_id: String,
    /// ORCID iDs that become superadmin at their first sign-in.
    admin_orcids: Vec<String>,
}

/// The codes of a device (RFC 8628).
#[derive(Debug, Object)]
struct DeviceAuthorization {
    /// Code that identifies the device.
    device_code: String,
    /// Code that the user types.
    user_code: String,
    /// Address at which the user types the code.
    verification_uri: String,
    /// Lifetime of the codes, in seconds.
    expires_in: u64,
    /// Minimum interval between two polls of the device, in seconds.
    interval: u64,
}

/// `POST /auth/device/token`.
#[derive(Debug, Object)]
struct DeviceTokenBody {
    device_code: String,
    /// `urn:ietf:params:oauth:grant-type:device_code`.
    grant_type: String,
}

#[OpenApi(tag = "Tag::Auth")]
impl AuthSessionApi {
    /// Get the caller's profile.
    #[oai(path = "/auth/me", method = "get", operation_id = "getProfile")]
    async fn me(&self, Gate(permit): Gate<act::ReadOwnProfile>) -> Result<Json<Profile>, Problem> {
        let profile = self
            .0
            .identity
            .read_profile
            .run(permit)
            .await
            .map_err(|e| Problem::from(e).for_auth())?;
        Ok(Json(Profile {
            id: profile.id.to_string(),
            display_name: profile.display_name,
            provider: profile.provider,
            external_id: profile.external_id,
            roles: profile.roles,
        }))
    }

    /// Exchange a refresh token for a new pair of tokens.
    ///
    /// A refresh token is single-use; reuse revokes the session.
    #[oai(path = "/auth/refresh", method = "post", operation_id = "refreshTokens")]
    async fn refresh(
        &self,
        Gate(permit): Gate<act::SignIn>,
        body: Body<RefreshBody>,
    ) -> Result<Json<TokenPair>, Problem> {
        let tokens = self
            .0
            .identity
            .refresh_session
            .run(permit, &body.0.refresh_token)
            .await
            .map_err(|e| Problem::from(e).for_auth())?;
        Ok(Json(tokens.into_inner().into()))
    }

    /// End the session of a refresh token, and with it its access tokens, on every server within 5 s.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn logout(
        &self,
        Gate(permit): Gate<act::SignIn>,
        body: Body<RefreshBody>,
    ) -> Result<Json<LoggedOut>, Problem> {
        self.0
            .identity
            .end_session
            .run(permit, &body.0.refresh_token)
            .await
            .map_err(|e| Problem::from(e).for_auth())?;
        Ok(Json(LoggedOut { success: true }))
    }

    /// Get the sign-in configuration of this node.
    #[oai(path = "/auth/config", method = "get", operation_id = "getAuthConfig")]
    async fn config(&self, Gate(permit): Gate<act::ReadAuthConfig>) -> Result<Json<AuthConfig>, Problem> {
        let options = self.0.identity.sign_in.options(&permit);
        Ok(Json(AuthConfig {
            provider: "orcid".to_owned(),
            client_id: options
                .provider
                .as_ref()
                .map_or_else(String::new, |p| p.client_id().to_owned()),
            admin_orcids: options.admins.iter().cloned().collect(),
        }))
    }

    /// Start a device authorization (RFC 8628).
    ///
    /// A client has at most 50 pending codes: each further one takes the place of its oldest.
    #[oai(path = "/auth/device", method = "post", operation_id = "openDevice")]
    async fn open_device(
        &self,
        Gate(permit): Gate<act::SignIn>,
        request: &poem::Request,
    ) -> Result<Json<DeviceAuthorization>, Problem> {
        let client = Client::named(request);
        let codes = self
            .0
            .identity
            .open_device
            .run(permit, client)
            .await
            .map_err(|e| Problem::from(e).for_auth())?
            .into_inner();
        Ok(Json(DeviceAuthorization {
            verification_uri: format!(
                "{}?code={}",
                self.0.node.base.url(&paths::DEVICE_VERIFY),
                codes.user_code
            ),
            device_code: codes.device_code,
            user_code: codes.user_code,
            expires_in: DEVICE_LIFETIME.as_secs(),
            interval: DEVICE_INTERVAL,
        }))
    }

    /// Fetch the tokens of an authorized device.
    ///
    /// Until the user approves, the problem's `error` is `authorization_pending`.
    #[oai(
        path = "/auth/device/token",
        method = "post",
        operation_id = "fetchDeviceTokens"
    )]
    async fn device_tokens(
        &self,
        Gate(permit): Gate<act::SignIn>,
        body: Body<DeviceTokenBody>,
    ) -> Result<Json<TokenPair>, Problem> {
        let tokens = self
            .0
            .identity
            .fetch_device_tokens
            .run(permit, &body.0.device_code, &body.0.grant_type)
            .await
            .map_err(|e| Problem::from(e).for_auth())?;
        Ok(Json(tokens.into_inner().into()))
    }
}

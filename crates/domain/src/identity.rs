//! Errors about users, roles, service accounts and sign-ins.

use crate::ids::{ServiceAccountId, UserId};
use crate::kind::{Coded, Fault, Invalid, Kind};

/// Reason for refusing an operation on an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The user does not exist.
    #[error("there is no user {0}")]
    UnknownUser(UserId),
    /// The user already has the role.
    #[error("user {user} already has the role {role}")]
    RoleAssigned {
        /// The user.
        user: UserId,
        /// The role.
        role: String,
    },
    /// The user does not have the role.
    #[error("user {user} does not have the role {role}")]
    RoleNotAssigned {
        /// The user.
        user: UserId,
        /// The role.
        role: String,
    },
    /// Without a superadmin, roles could no longer be managed.
    #[error("user {0} is the last superadmin; grant that role to another user first")]
    LastSuperadmin(UserId),
    /// The service account does not exist.
    #[error("there is no service account {0}; an account exists after its first request with a token")]
    UnknownServiceAccount(ServiceAccountId),
}

impl Coded for IdentityError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownUser(_) | Self::RoleNotAssigned { .. } | Self::UnknownServiceAccount(_) => {
                Kind::NotFound
            }
            Self::RoleAssigned { .. } | Self::LastSuperadmin(_) => Kind::Conflict,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownUser(_) => "user_not_found",
            Self::RoleAssigned { .. } => "role_already_assigned",
            Self::RoleNotAssigned { .. } => "role_not_found",
            Self::LastSuperadmin(_) => "last_superadmin",
            Self::UnknownServiceAccount(_) => "service_account_not_found",
        }
    }
}

/// Reason for refusing a sign-in, a refresh or a device (WC-1.10).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// This node does not support the identity provider.
    #[error("unknown identity provider {0:?}")]
    UnknownProvider(String),
    /// The refresh token is not from this node.
    #[error("unknown refresh token")]
    InvalidRefreshToken,
    /// The refresh token was used before, or its session was revoked.
    #[error("the session of this refresh token is revoked: the token was used twice, or its user signed out")]
    FamilyRevoked,
    /// The refresh token has expired.
    #[error("the refresh token has expired; sign in again")]
    RefreshTokenExpired,
    /// The identity provider is temporarily unavailable.
    #[error("the identity provider is temporarily unavailable; try again later")]
    ProviderUnavailable,
    /// The node stores no further pending devices.
    #[error("too many pending device authorizations; try again in a few minutes")]
    TooManyDevices,
    /// The device code is not from this node.
    #[error("unknown device code")]
    DeviceNotFound,
    /// The user has not approved or denied the device yet (RFC 8628 3.5).
    #[error("the user has not approved this device yet")]
    AuthorizationPending,
    /// The device code has expired.
    #[error("the device code has expired; request a new one")]
    DeviceExpired,
    /// The device has already fetched its tokens.
    #[error("the device code has already been used")]
    DeviceConsumed,
    /// The grant type is not supported.
    #[error("grant_type must be urn:ietf:params:oauth:grant-type:device_code")]
    UnsupportedGrantType,
}

impl Coded for SessionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => Kind::Invalid,
            Self::InvalidRefreshToken | Self::FamilyRevoked | Self::RefreshTokenExpired => {
                Kind::Unauthenticated
            }
            Self::ProviderUnavailable => Kind::Unavailable,
            Self::TooManyDevices => Kind::TooMany,
            Self::UnknownProvider(_)
            | Self::DeviceNotFound
            | Self::AuthorizationPending
            | Self::DeviceExpired
            | Self::DeviceConsumed
            | Self::UnsupportedGrantType => Kind::Refused,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(e) => e.code(),
            Self::UnknownProvider(_) => "unknown_provider",
            Self::InvalidRefreshToken => "invalid_refresh_token",
            Self::FamilyRevoked => "token_family_revoked",
            Self::RefreshTokenExpired => "refresh_token_expired",
            Self::ProviderUnavailable => "idp_unavailable",
            Self::TooManyDevices => "rate_limited",
            Self::DeviceNotFound => "device_not_found",
            Self::AuthorizationPending => "authorization_pending",
            Self::DeviceExpired => "expired_token",
            Self::DeviceConsumed => "device_consumed",
            Self::UnsupportedGrantType => "unsupported_grant_type",
        }
    }
    fn faults(&self) -> &[Fault] {
        match self {
            Self::Invalid(e) => e.faults(),
            _ => &[],
        }
    }
}

//! Why something about users, roles, service accounts or a sign-in was refused.

use crate::ids::{ServiceAccountId, UserId};
use crate::kind::{Coded, Fault, Invalid, Kind};

/// Why something about an identity was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no such user.
    #[error("there is no user {0}")]
    UnknownUser(UserId),
    /// The user has the role.
    #[error("user {user} has the role {role}")]
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
    /// Nobody could hand out roles any more.
    #[error(
        "user {0} is the last superadmin: without one nobody could hand out roles; make another one first"
    )]
    LastSuperadmin(UserId),
    /// There is no such service account.
    #[error("there is no service account {0}; one is known once it has come with a token")]
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

/// Why a sign-in, a refresh or a device was refused (WC-1.10).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// What was sent breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The identity provider is not one of this node.
    #[error("this node knows no identity provider {0:?}")]
    UnknownProvider(String),
    /// The refresh token is none of this node.
    #[error("the refresh token is not known here")]
    InvalidRefreshToken,
    /// The refresh token was used before, or its family was revoked.
    #[error("the sign-in of this refresh token was ended: the token was used twice, or its user signed out")]
    FamilyRevoked,
    /// The refresh token's time is over.
    #[error("the refresh token has expired; sign in again")]
    RefreshTokenExpired,
    /// The identity provider cannot be used now.
    #[error("the identity provider cannot be used now; try again")]
    ProviderUnavailable,
    /// More devices are waiting than this node keeps.
    #[error("too many devices are waiting to be let in; try again in a few minutes")]
    TooManyDevices,
    /// The device's code is none of this node.
    #[error("the device code is not known here")]
    DeviceNotFound,
    /// Nobody has said yes or no yet (RFC 8628 3.5).
    #[error("nobody has let this device in yet")]
    AuthorizationPending,
    /// The device's time is over.
    #[error("the device code has expired; ask for a new one")]
    DeviceExpired,
    /// The device has its tokens.
    #[error("the device code was used")]
    DeviceConsumed,
    /// Another grant type was asked for.
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

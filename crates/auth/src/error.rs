//! Authentication and authorization errors.

use domain::kind::Coded;
use domain::{HookName, Kind};

/// Reason for refusing a caller. No variant carries any part of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The operation requires credentials, but there were none.
    #[error("this operation requires a bearer token")]
    MissingToken,
    /// The token has expired.
    #[error("the token has expired")]
    TokenExpired,
    /// The token is invalid. The reason is a fixed text, never a part of the token.
    #[error("the token is invalid: {0}")]
    InvalidToken(&'static str),
    /// The token is valid, but its user is unknown.
    #[error("the token's user is unknown")]
    UnknownUser,
    /// The service account was disabled (AUT-3).
    #[error("this service account is disabled")]
    Disabled,
    /// The operation is for users, but the caller is a service account.
    #[error("this operation is for users; a service account has no profile")]
    NotAUser,
    /// The token is restricted to other hooks.
    #[error("not allowed to change the hook {0}: the token is restricted to other hooks")]
    OtherHook(HookName),
    /// The caller lacks the required permission.
    #[error("not allowed to {action}: requires {needs}")]
    Denied {
        /// The denied action, as in [`crate::Action::NAME`].
        action: &'static str,
        /// The requirement of the action, in words.
        needs: String,
    },
}

impl Coded for AuthError {
    fn kind(&self) -> Kind {
        match self {
            Self::MissingToken
            | Self::TokenExpired
            | Self::InvalidToken(_)
            | Self::UnknownUser
            | Self::Disabled => Kind::Unauthenticated,
            Self::NotAUser | Self::OtherHook(_) | Self::Denied { .. } => Kind::Forbidden,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::TokenExpired => "token_expired",
            Self::UnknownUser => "user_not_found",
            Self::InvalidToken(_) | Self::Disabled => "invalid_token",
            Self::NotAUser | Self::OtherHook(_) | Self::Denied { .. } => "access_denied",
        }
    }
}

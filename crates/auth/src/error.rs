//! Why a caller was turned away.

use domain::kind::Coded;
use domain::{HookName, Kind};

/// Why a caller was turned away. No variant carries anything of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The operation needs credentials and there were none.
    #[error("this operation needs a bearer token")]
    MissingToken,
    /// The token's time is over.
    #[error("the token has expired")]
    TokenExpired,
    /// The token does not hold. The reason is one of ours, never a part of the token.
    #[error("the token is not valid: {0}")]
    InvalidToken(&'static str),
    /// The token holds, and its user is not known here.
    #[error("the token's user is not known here")]
    UnknownUser,
    /// The service account was disabled (AUT-3).
    #[error("this service account is disabled")]
    Disabled,
    /// The operation is for users and a service account asked.
    #[error("this operation is for users; a service account has no profile")]
    NotAUser,
    /// The token is limited to named hooks, and this is none of them.
    #[error("not allowed to change the hook {0}: the token is limited to other hooks")]
    OtherHook(HookName),
    /// The caller lacks the right.
    #[error("not allowed to {action}: it needs {needs}")]
    Denied {
        /// What was asked for.
        action: &'static str,
        /// What it needs.
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

//! Verified credentials.

use std::collections::BTreeSet;

use domain::{ServiceAccountId, UserId};
use uuid::Uuid;

/// Verified credentials of a user or a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Credentials of a user.
    User(VerifiedUser),
    /// Credentials of a machine.
    Machine(VerifiedMachine),
}

/// A user with a verified token. Only a [`crate::Verifier`] creates one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedUser {
    id: UserId,
    provider: String,
    external_id: String,
    session: Option<Uuid>,
}

impl VerifiedUser {
    pub(super) const fn new(
        id: UserId,
        provider: String,
        external_id: String,
        session: Option<Uuid>,
    ) -> Self {
        Self {
            id,
            provider,
            external_id,
            session,
        }
    }

    /// Returns the sign-in that the token belongs to, with which it ends. Tokens that were minted without a sign-in
    /// have none.
    pub const fn session(&self) -> Option<Uuid> {
        self.session
    }

    /// Returns the user's id.
    pub const fn id(&self) -> UserId {
        self.id
    }

    pub(crate) fn into_parts(self) -> (UserId, String, String) {
        (self.id, self.provider, self.external_id)
    }
}

/// A machine with a verified token. Only a [`crate::Verifier`] creates one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedMachine {
    issuer: String,
    subject: String,
    scopes: BTreeSet<String>,
    hooks: Option<BTreeSet<String>>,
}

impl VerifiedMachine {
    pub(super) const fn new(
        issuer: String,
        subject: String,
        scopes: BTreeSet<String>,
        hooks: Option<BTreeSet<String>>,
    ) -> Self {
        Self {
            issuer,
            subject,
            scopes,
            hooks,
        }
    }

    /// Returns the account's stable id.
    pub fn id(&self) -> ServiceAccountId {
        ServiceAccountId::of(&self.issuer, &self.subject)
    }

    /// Returns the issuer of the token.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the issuer's name for the machine.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) fn into_parts(self) -> (ServiceAccountId, BTreeSet<String>, Option<BTreeSet<String>>) {
        (self.id(), self.scopes, self.hooks)
    }
}

//! Credentials that hold.

use std::collections::BTreeSet;

use domain::{ServiceAccountId, UserId};

/// Credentials that hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Of a user.
    User(VerifiedUser),
    /// Of a machine.
    Machine(VerifiedMachine),
}

/// A user whose token holds. Only a [`crate::Verifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedUser {
    id: UserId,
    provider: String,
    external_id: String,
}

impl VerifiedUser {
    pub(super) const fn new(id: UserId, provider: String, external_id: String) -> Self {
        Self {
            id,
            provider,
            external_id,
        }
    }

    /// The user's id.
    pub const fn id(&self) -> UserId {
        self.id
    }

    pub(crate) fn into_parts(self) -> (UserId, String, String) {
        (self.id, self.provider, self.external_id)
    }
}

/// A machine whose token holds. Only a [`crate::Verifier`] makes one.
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

    /// The account's stable id.
    pub fn id(&self) -> ServiceAccountId {
        ServiceAccountId::of(&self.issuer, &self.subject)
    }

    /// Who vouches for it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The issuer's name for it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) fn into_parts(self) -> (ServiceAccountId, BTreeSet<String>, Option<BTreeSet<String>>) {
        (self.id(), self.scopes, self.hooks)
    }
}

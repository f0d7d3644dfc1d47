//! Principals, actions and permits: the gate as a type.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use domain::{Actor, HookName, ServiceAccountId, UserId};

use crate::error::AuthError;
use crate::role::Role;
use crate::verify::{VerifiedMachine, VerifiedUser};

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody that we know.
    Anonymous,
    /// A person.
    User {
        /// The user's id.
        id: UserId,
        /// The identity provider of the token.
        provider: String,
        /// The provider's id of the user.
        external_id: String,
        /// The roles, from the database.
        roles: BTreeSet<Role>,
    },
    /// A machine.
    ServiceAccount {
        /// The account's id.
        id: ServiceAccountId,
        /// The scopes, from the token.
        scopes: BTreeSet<String>,
        /// The hooks that the token is limited to, if it is.
        hooks: Option<BTreeSet<String>>,
    },
}

/// A caller whose credentials were verified, or nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    who: Who,
}

impl Principal {
    /// Nobody that we know; may do what is open to anyone.
    pub const fn anonymous() -> Self {
        Self { who: Who::Anonymous }
    }

    /// A user with the roles that the database has for them.
    pub fn user(verified: VerifiedUser, roles: impl IntoIterator<Item = Role>) -> Self {
        let (id, provider, external_id) = verified.into_parts();
        Self {
            who: Who::User {
                id,
                provider,
                external_id,
                roles: roles.into_iter().collect(),
            },
        }
    }

    /// A service account that the database does not have as disabled.
    pub fn service_account(verified: VerifiedMachine) -> Self {
        let (id, scopes, hooks) = verified.into_parts();
        Self {
            who: Who::ServiceAccount { id, scopes, hooks },
        }
    }

    /// Who it is.
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// Whether the policy of the action `A` admits this principal.
    pub fn may<A: Action>(&self) -> bool {
        A::REQUIREMENT.admits(&self.who)
    }

    /// The permit for the action `A`, if its policy admits this principal.
    pub fn permit<A: Action>(self) -> Result<Permit<A>, AuthError> {
        self.demand::<A>()?;
        Ok(Permit {
            principal: self,
            _action: PhantomData,
        })
    }

    fn demand<A: Action>(&self) -> Result<(), AuthError> {
        if A::REQUIREMENT.admits(&self.who) {
            return Ok(());
        }
        match (&self.who, A::REQUIREMENT) {
            (Who::Anonymous, _) => Err(AuthError::MissingToken),
            (Who::ServiceAccount { .. }, Requirement::AnyUser) => Err(AuthError::NotAUser),
            _ => Err(AuthError::Denied {
                action: A::NAME,
                needs: A::REQUIREMENT.to_string(),
            }),
        }
    }
}

/// What an action asks of its caller. The OpenAPI document states it for every operation (AUT-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    Anyone,
    /// Nothing, but who shows credentials is known by them, and they must hold.
    Known,
    /// To be somebody: a user or a service account, with whatever roles and scopes.
    Authenticated,
    /// To be a user.
    AnyUser,
    /// To be a user with this role or a higher one.
    Role(Role),
    /// To be a service account with this scope, or a user who is at least admin (AUT-4).
    Scope(&'static str),
    /// To be a service account with this scope, or a user with this role or a higher one.
    ScopeOrRole(&'static str, Role),
}

impl Requirement {
    fn admits(self, who: &Who) -> bool {
        let at_least =
            |role: Role| matches!(who, Who::User { roles, .. } if roles.iter().any(|r| *r >= role));
        match self {
            Self::Anyone | Self::Known => true,
            Self::Authenticated => !matches!(who, Who::Anonymous),
            Self::AnyUser => matches!(who, Who::User { .. }),
            Self::Role(role) => at_least(role),
            Self::Scope(scope) => Self::ScopeOrRole(scope, Role::Admin).admits(who),
            Self::ScopeOrRole(scope, role) => {
                at_least(role) || matches!(who, Who::ServiceAccount { scopes, .. } if scopes.contains(scope))
            }
        }
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anyone | Self::Known => f.write_str("nothing: it is public"),
            Self::Authenticated => f.write_str("a user's or a service account's token"),
            Self::AnyUser => f.write_str("a user's token"),
            Self::Role(role) => write!(f, "the role {role} or a higher one"),
            Self::Scope(scope) => write!(f, "the scope {scope}, or the role admin"),
            Self::ScopeOrRole(scope, role) => {
                write!(f, "the scope {scope}, or the role {role} or a higher one")
            }
        }
    }
}

/// Something that can be done, with the policy of who may.
pub trait Action: Send + Sync + 'static {
    /// What it is, as the words after "not allowed to".
    const NAME: &'static str;
    /// What it asks of its caller.
    const REQUIREMENT: Requirement;
}

/// Proof that a principal may do `A`. Use cases take it by value, so an operation without its gate does not compile.
#[derive(Debug)]
pub struct Permit<A> {
    principal: Principal,
    _action: PhantomData<fn() -> A>,
}

impl<A> Permit<A> {
    /// The principal who may.
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// That the holder may also do `B`, or why not: for what an action gives to some of its callers only.
    pub fn also<B: Action>(&self) -> Result<(), AuthError> {
        self.principal.demand::<B>()
    }

    /// The grant to do `A` to this hook: a token may be limited to named hooks.
    pub fn over_hook(&self, hook: &HookName) -> Result<HookGrant, AuthError> {
        match self.principal.who() {
            Who::ServiceAccount {
                hooks: Some(hooks), ..
            } if !hooks.contains(hook.as_str()) => Err(AuthError::OtherHook(hook.clone())),
            _ => Ok(HookGrant {
                hook: hook.clone(),
                actor: self.actor(),
            }),
        }
    }

    /// The same, as the activity log and `built_by` name it. Nobody is the system.
    pub fn actor(&self) -> Actor {
        match self.principal.who() {
            Who::Anonymous => Actor::System,
            Who::User { id, .. } => Actor::User(*id),
            Who::ServiceAccount { id, .. } => Actor::ServiceAccount(*id),
        }
    }
}

/// Proof that a principal may change this hook. What writes a release, a pointer or a yank takes one, so that no way around a token's
/// limit to named hooks compiles.
#[derive(Clone, Debug)]
pub struct HookGrant {
    hook: HookName,
    actor: Actor,
}

impl HookGrant {
    /// The hook.
    pub const fn hook(&self) -> &HookName {
        &self.hook
    }

    /// Who may.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }
}

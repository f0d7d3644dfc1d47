//! Principals, actions and permits: the gate as a type.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use domain::{Actor, HookName, ServiceAccountId, UserId};

use crate::error::AuthError;
use crate::role::Role;
use crate::verify::{VerifiedMachine, VerifiedUser};

/// Identity of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// An unauthenticated caller.
    Anonymous,
    /// A user.
    User {
        /// Id of the user.
        id: UserId,
        /// The identity provider of the token.
        provider: String,
        /// The provider's id of the user.
        external_id: String,
        /// Roles from the database.
        roles: BTreeSet<Role>,
    },
    /// A service account.
    ServiceAccount {
        /// Id of the account.
        id: ServiceAccountId,
        /// Scopes from the token.
        scopes: BTreeSet<String>,
        /// The hooks that the token is restricted to; `None` means no restriction.
        hooks: Option<BTreeSet<String>>,
    },
}

/// A caller with verified credentials, or an unauthenticated one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    who: Who,
}

impl Principal {
    /// Returns the unauthenticated caller, who may do only what is public.
    pub const fn anonymous() -> Self {
        Self { who: Who::Anonymous }
    }

    /// Creates a user with the roles from the database.
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

    /// Creates a service account. The caller must ensure that the account is not disabled.
    pub fn service_account(verified: VerifiedMachine) -> Self {
        let (id, scopes, hooks) = verified.into_parts();
        Self {
            who: Who::ServiceAccount { id, scopes, hooks },
        }
    }

    /// Returns the identity.
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// Returns whether the policy of the action `A` admits this principal.
    pub fn may<A: Action>(&self) -> bool {
        A::REQUIREMENT.admits(&self.who)
    }

    /// Returns the permit for the action `A`, or an error if its policy does not admit this principal.
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

/// Requirement of an action. The OpenAPI document states it for every operation (AUT-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// None: the action is public.
    Anyone,
    /// None. Credentials are optional, but must be valid if sent.
    Known,
    /// Authentication as a user or a service account, with any roles and scopes.
    Authenticated,
    /// Authentication as a user.
    AnyUser,
    /// A user with this role or a higher one.
    Role(Role),
    /// A service account with this scope, or a user who is at least admin (AUT-4).
    Scope(&'static str),
    /// A service account with this scope, or a user with this role or a higher one.
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
            Self::Anyone | Self::Known => f.write_str("no authorization"),
            Self::Authenticated => f.write_str("a user or service account token"),
            Self::AnyUser => f.write_str("a user token"),
            Self::Role(role) => write!(f, "role {role} or higher"),
            Self::Scope(scope) => write!(f, "scope {scope}, or role admin"),
            Self::ScopeOrRole(scope, role) => {
                write!(f, "scope {scope}, or role {role} or higher")
            }
        }
    }
}

/// An action with its policy.
pub trait Action: Send + Sync + 'static {
    /// Name of the action, as the words after "not allowed to".
    const NAME: &'static str;
    /// Requirement that the caller must meet.
    const REQUIREMENT: Requirement;
}

/// Proof that a principal may do `A`. Use cases take it by value, so an operation without its gate does not compile.
#[derive(Debug)]
pub struct Permit<A> {
    principal: Principal,
    _action: PhantomData<fn() -> A>,
}

impl<A> Permit<A> {
    /// Returns the principal that holds the permit.
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Checks whether the holder may also do `B`, for details that an action returns only to some callers.
    pub fn also<B: Action>(&self) -> Result<(), AuthError> {
        self.principal.demand::<B>()
    }

    /// Returns the grant to do `A` to this hook. Fails if the token is restricted to other hooks.
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

    /// Returns the actor for the activity log and `built_by`. An unauthenticated caller is the system.
    pub fn actor(&self) -> Actor {
        match self.principal.who() {
            Who::Anonymous => Actor::System,
            Who::User { id, .. } => Actor::User(*id),
            Who::ServiceAccount { id, .. } => Actor::ServiceAccount(*id),
        }
    }
}

/// Proof that a principal may change this hook. Every write of a release, a pointer or a yank takes one, so code that
/// bypasses a token's restriction to named hooks does not compile.
#[derive(Clone, Debug)]
pub struct HookGrant {
    hook: HookName,
    actor: Actor,
}

impl HookGrant {
    /// Returns the hook.
    pub const fn hook(&self) -> &HookName {
        &self.hook
    }

    /// Returns the principal's actor.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }
}

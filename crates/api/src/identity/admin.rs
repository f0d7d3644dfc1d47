//! `/admin`: roles and service accounts (WC-1.9; AUT-3). For superadmins.

use std::sync::Arc;

use app::Committed;
use app::identity::set_service_account_state::State;
use app::views::{RoleAssignment, ServiceAccountView, UserProfile};
use auth::{Role, act};
use domain::{Invalid, Reason, ServiceAccountId, UserId};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{Limit, page_size};
use crate::http::render::{iso_time, model_time};
use crate::services::Services;

/// Page size: default and maximum.
const PAGE: (u32, u32) = (100, 1000);

#[derive(Tags)]
enum Tag {
    /// Roles and service accounts.
    Admin,
}

pub(crate) struct AdminApi(pub(crate) Arc<Services>);

/// A role granted to a user.
#[derive(Debug, Object)]
struct RoleAssignmentItem {
    id: String,
    user_id: String,
    /// In lower case.
    role: String,
    /// The user who granted it; `null` if the node did.
    assigned_by: Option<String>,
    assigned_at: String,
}

/// The roles of a user.
#[derive(Debug, Object)]
struct RoleList {
    roles: Vec<RoleAssignmentItem>,
}

/// `POST /admin/users/{user_id}/roles`.
#[derive(Debug, Object)]
struct RoleBody {
    /// `public`, `depositor`, `curator`, `admin` or `superadmin`, in any case.
    role: String,
}

#[derive(Debug, ApiResponse)]
enum GrantResponse {
    /// The role is granted.
    #[oai(status = 201)]
    Created(Json<RoleAssignmentItem>),
}

#[derive(Debug, ApiResponse)]
enum RevokeResponse {
    /// The role is revoked.
    #[oai(status = 204)]
    Gone,
}

/// A user.
#[derive(Debug, Object)]
struct UserItem {
    id: String,
    display_name: String,
    provider: String,
    external_id: String,
    /// In lower case.
    roles: Vec<String>,
}

/// A page of users, by id.
#[derive(Debug, Object)]
struct UserList {
    items: Vec<UserItem>,
    /// Send as `cursor` to read the next page; `null` on the last page.
    next_cursor: Option<String>,
    has_more: bool,
}

/// A service account: a machine that authenticated with a token of a configured issuer.
#[derive(Debug, Object)]
struct ServiceAccount {
    id: String,
    issuer: String,
    subject: String,
    first_seen: String,
    /// When the account was last seen, accurate to about a minute.
    last_seen: String,
    /// Whether the server refuses its tokens.
    disabled: bool,
    disabled_at: Option<String>,
    /// The user who disabled it.
    disabled_by: Option<String>,
    disabled_reason: Option<String>,
}

/// A page of service accounts, by id.
#[derive(Debug, Object)]
struct ServiceAccountList {
    items: Vec<ServiceAccount>,
    /// Send as `cursor` to read the next page; `null` on the last page.
    next_cursor: Option<String>,
    has_more: bool,
}

/// `POST /admin/service-accounts/{id}/disable`.
#[derive(Debug, Object)]
struct DisableBody {
    /// Reason for disabling the account.
    reason: String,
}

impl From<Committed<()>> for RevokeResponse {
    fn from(_: Committed<()>) -> Self {
        Self::Gone
    }
}

impl From<RoleAssignment> for RoleAssignmentItem {
    fn from(a: RoleAssignment) -> Self {
        Self {
            id: a.id.to_string(),
            user_id: a.user.to_string(),
            role: a.role,
            assigned_by: a.assigned_by.map(|id| id.to_string()),
            assigned_at: iso_time(a.assigned_at),
        }
    }
}

impl From<UserProfile> for UserItem {
    fn from(user: UserProfile) -> Self {
        Self {
            id: user.id.to_string(),
            display_name: user.display_name,
            provider: user.provider,
            external_id: user.external_id,
            roles: user.roles,
        }
    }
}

impl From<ServiceAccountView> for ServiceAccount {
    fn from(account: ServiceAccountView) -> Self {
        let (at, by, reason) = match account.disabled {
            Some(d) => (Some(d.at), d.by, d.reason),
            None => (None, None, None),
        };
        Self {
            id: account.id.to_string(),
            issuer: account.issuer,
            subject: account.subject,
            first_seen: model_time(account.first_seen),
            last_seen: model_time(account.last_seen),
            disabled: at.is_some(),
            disabled_at: at.map(model_time),
            disabled_by: by.map(|id| id.to_string()),
            disabled_reason: reason,
        }
    }
}

fn after<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    cursor
        .map(|text| {
            text.parse().map_err(|_| {
                let rule = Invalid::value("must be the next_cursor of a previous page").of_field("cursor");
                Problem::invalid(&rule, "query")
            })
        })
        .transpose()
}

#[OpenApi(tag = "Tag::Admin")]
impl AdminApi {
    /// List users, by id.
    #[oai(path = "/admin/users", method = "get", operation_id = "listUsers")]
    async fn users(
        &self,
        Gate(permit): Gate<act::ManageRoles>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Maximum number of users per page (1–1000, default 100).
        limit: Query<Option<Limit>>,
    ) -> Result<Json<UserList>, Problem> {
        let after = after::<UserId>(cursor.0.as_deref())?;
        let (users, has_more) = self
            .0
            .identity
            .read_identities
            .users(permit, after, page_size(limit.0, PAGE))
            .await?;
        Ok(Json(UserList {
            next_cursor: users.last().filter(|_| has_more).map(|u| u.id.to_string()),
            items: users.into_iter().map(Into::into).collect(),
            has_more,
        }))
    }

    /// Get the roles of a user.
    #[oai(
        path = "/admin/users/:user_id/roles",
        method = "get",
        operation_id = "listRoles"
    )]
    async fn roles(
        &self,
        Gate(permit): Gate<act::ManageRoles>,
        user_id: Path<String>,
    ) -> Result<Json<RoleList>, Problem> {
        let user = path("user_id", &user_id.0)?;
        let roles = self.0.identity.read_identities.roles(permit, user).await?;
        Ok(Json(RoleList {
            roles: roles.into_iter().map(Into::into).collect(),
        }))
    }

    /// Grant a role to a user.
    #[oai(
        path = "/admin/users/:user_id/roles",
        method = "post",
        operation_id = "grantRole"
    )]
    async fn grant(
        &self,
        Gate(permit): Gate<act::ManageRoles>,
        user_id: Path<String>,
        body: Body<RoleBody>,
    ) -> Result<GrantResponse, Problem> {
        let user = path("user_id", &user_id.0)?;
        let role: Role = body
            .0
            .role
            .parse()
            .map_err(|e: Invalid| Problem::invalid(&e.of_field("role"), "body"))?;
        let granted = self.0.identity.grant_role.run(permit, user, role).await?;
        Ok(GrantResponse::Created(Json(granted.into_inner().into())))
    }

    /// Revoke a role from a user. The last superadmin cannot lose that role.
    #[oai(
        path = "/admin/users/:user_id/roles/:role",
        method = "delete",
        operation_id = "revokeRole"
    )]
    async fn revoke(
        &self,
        Gate(permit): Gate<act::ManageRoles>,
        user_id: Path<String>,
        role: Path<String>,
    ) -> Result<RevokeResponse, Problem> {
        let user = path("user_id", &user_id.0)?;
        let role: Role = path("role", &role.0)?;
        Ok(self.0.identity.revoke_role.run(permit, user, role).await?.into())
    }

    /// List service accounts, by id.
    #[oai(
        path = "/admin/service-accounts",
        method = "get",
        operation_id = "listServiceAccounts"
    )]
    async fn accounts(
        &self,
        Gate(permit): Gate<act::ManageServiceAccounts>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Maximum number of accounts per page (1–1000, default 100).
        limit: Query<Option<Limit>>,
    ) -> Result<Json<ServiceAccountList>, Problem> {
        let after = after::<ServiceAccountId>(cursor.0.as_deref())?;
        let most = page_size(limit.0, PAGE);
        let (accounts, has_more) = self
            .0
            .identity
            .read_identities
            .service_accounts(permit, after, most)
            .await?;
        Ok(Json(ServiceAccountList {
            next_cursor: accounts.last().filter(|_| has_more).map(|a| a.id.to_string()),
            items: accounts.into_iter().map(Into::into).collect(),
            has_more,
        }))
    }

    /// Get a service account.
    #[oai(
        path = "/admin/service-accounts/:account_id",
        method = "get",
        operation_id = "getServiceAccount"
    )]
    async fn account(
        &self,
        Gate(permit): Gate<act::ManageServiceAccounts>,
        account_id: Path<String>,
    ) -> Result<Json<ServiceAccount>, Problem> {
        let id = path("account_id", &account_id.0)?;
        Ok(Json(
            self.0
                .identity
                .read_identities
                .service_account(permit, id)
                .await?
                .into(),
        ))
    }

    /// Disable a service account. Every server refuses its tokens within 5 s.
    #[oai(
        path = "/admin/service-accounts/:account_id/disable",
        method = "post",
        operation_id = "disableServiceAccount"
    )]
    async fn disable(
        &self,
        Gate(permit): Gate<act::ManageServiceAccounts>,
        account_id: Path<String>,
        body: Body<DisableBody>,
    ) -> Result<Json<ServiceAccount>, Problem> {
        let id = path("account_id", &account_id.0)?;
        let reason: Reason = body
            .0
            .reason
            .parse()
            .map_err(|e: Invalid| Problem::invalid(&e.of_field("reason"), "body"))?;
        let set = self
            .0
            .identity
            .set_service_account_state
            .run(permit, id, State::Disabled(reason))
            .await?;
        Ok(Json(set.into_inner().into()))
    }

    /// Enable a service account again.
    #[oai(
        path = "/admin/service-accounts/:account_id/enable",
        method = "post",
        operation_id = "enableServiceAccount"
    )]
    async fn enable(
        &self,
        Gate(permit): Gate<act::ManageServiceAccounts>,
        account_id: Path<String>,
    ) -> Result<Json<ServiceAccount>, Problem> {
        let id = path("account_id", &account_id.0)?;
        let set = self
            .0
            .identity
            .set_service_account_state
            .run(permit, id, State::Enabled)
            .await?;
        Ok(Json(set.into_inner().into()))
    }
}

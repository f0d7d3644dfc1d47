//! Users, roles, service accounts and sign-in.

mod identities;
mod keys;
mod provider;
mod queries;
mod randomness;
mod sessions;

pub use identities::Identities;
pub use keys::{KeyDocument, KeySource};
pub use provider::{ExternalIdentity, IdentityProvider, IdentityProviderError};
pub use queries::{Disabled, IdentityQueries, RoleAssignment, ServiceAccountView, UserProfile};
pub use randomness::Randomness;
pub use sessions::{DeviceBounds, DeviceRequest, RefreshToken, Sessions};

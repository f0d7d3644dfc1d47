//! Authentication and authorization. The crate is pure: keys and the time go in, a principal comes out.
//!
//! Three types ensure that no operation can forget its gate (AUT-5). Only a [`Verifier`] creates credentials from
//! tokens. A [`Principal`] is created from credentials and the database's knowledge of them. Only a principal creates a
//! [`Permit`], after the action's policy has admitted it. Use cases take a permit.
//!
//! ```
//! use auth::{Action, Principal, act};
//!
//! let anyone = Principal::anonymous();
//! assert!(anyone.clone().permit::<act::ReadData>().is_ok());
//! assert!(anyone.permit::<act::DeployConvention>().is_err());
//! ```

pub mod act;
mod error;
mod mint;
mod principal;
mod role;
mod verify;

pub use error::AuthError;
pub use mint::{Minter, SIGN_IN_SECONDS, SignInState, TokenIds};
pub use principal::{Action, HookGrant, Permit, Principal, Requirement, Who};
pub use role::Role;
pub use verify::{
    Credential, IssuerKey, KeyError, KeyRing, Refusal, TrustedIssuer, VerifiedMachine, VerifiedUser,
    Verifier, VerifierConfigError,
};

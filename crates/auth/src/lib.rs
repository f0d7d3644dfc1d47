//! Who is asking, and what they may do. Pure: keys and the time go in, a principal comes out.
//!
//! Three types hold the product's promise that no operation can forget its gate (AUT-5):
//! a [`Verifier`] alone makes credentials out of tokens, a [`Principal`] is made of credentials and what the database knows of
//! them, and a [`Permit`] is made by a principal alone, after the policy of the action said yes. Use cases take a permit.
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
pub use mint::{Minter, SIGN_IN_SECONDS, SignInState};
pub use principal::{Action, HookGrant, Permit, Principal, Requirement, Who};
pub use role::Role;
pub use verify::{
    Credential, IssuerKey, KeyError, KeyRing, Refusal, TrustedIssuer, VerifiedMachine, VerifiedUser,
    Verifier, VerifierConfigError,
};

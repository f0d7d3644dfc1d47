//! The sources of identities: an issuer's public keys in files and at URLs (AUT-7), and people's sign-in at ORCID
//! (WC-1.10).
//!
//! Every call is bounded in time and in what it reads. Calls are rare (a sign-in, an unknown key), so a blocking
//! client on a separate thread is sufficient.

mod http;
mod keys;
mod orcid;

pub use keys::{InlinePem, JwksFile, JwksUrl, PemFile};
pub use orcid::{Orcid, OrcidOptions};

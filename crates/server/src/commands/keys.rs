//! `hallmark keys generate`: a key pair for an issuer of machine credentials.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::output;

/// Create an Ed25519 key pair: private.pem, public.pem and jwks.json.
#[derive(Debug, Args)]
pub(crate) struct GenerateKeys {
    /// Directory for the three files. Existing files are never overwritten.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Key id; defaults to the RFC 7638 thumbprint of the key.
    #[arg(long)]
    kid: Option<String>,
}

impl GenerateKeys {
    pub(crate) fn run(&self) -> Result<()> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("cannot obtain random bytes from the system")?;
        let key = SigningKey::from_bytes(&seed);
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let kid = self.kid.clone().unwrap_or_else(|| thumbprint(&x));
        let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}]});
        let private = key
            .to_pkcs8_pem(LineEnding::LF)
            .context("cannot encode the private key")?;
        let public = key
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .context("cannot encode the public key")?;
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("--out: cannot create {}", self.out.display()))?;
        // An existing key may be in use, so it is never overwritten. The public files are written first: if one of them
        // exists, no private key is left behind without them.
        let mut printed = String::new();
        for (name, text, mode) in [
            ("public.pem", public.as_str(), 0o644),
            ("jwks.json", &format!("{jwks:#}\n"), 0o644),
            ("private.pem", private.as_str(), 0o600),
        ] {
            let path = self.out.join(name);
            write(&path, text, mode).with_context(|| format!("cannot write {}", path.display()))?;
            printed.push_str(&format!("{}\n", path.display()));
        }
        // At the end, so that no file is missing because the reader left.
        output::print(&format!("{printed}kid {kid}\n"))
    }
}

fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Returns the RFC 7638 thumbprint (section 3), with the members that RFC 8037 2 requires of an OKP key.
fn thumbprint(x: &str) -> String {
    let members = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}");
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037_a_3() {
        assert_eq!(
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }
}

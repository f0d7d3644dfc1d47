//! `hallmark token mint`: mints a token for development, in dev mode only.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use auth::{Minter, TokenIds};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use domain::UserId;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;
use uuid::Uuid;

use crate::config::{Config, WELL_KNOWN_SECRET};
use crate::output;

/// Mint a token for the local administrator, or with --key for a service account. In dev mode only.
#[derive(Debug, Args)]
pub(crate) struct MintToken {
    /// Lifetime of the token in seconds.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(i64).range(1..=31_536_000))]
    lifetime: i64,
    /// Private key (PEM), for a token of a service account.
    #[arg(long, requires = "issuer")]
    key: Option<PathBuf>,
    /// Issuer of the token, as configured on the server.
    #[arg(long, requires = "key")]
    issuer: Option<String>,
    /// Subject of the token: the name of the service account.
    #[arg(long, default_value = "dev", requires = "key")]
    subject: String,
    /// Scopes of the token, separated by spaces.
    #[arg(long, default_value = "", requires = "key")]
    scope: String,
    /// Audience of the token; defaults to this node.
    #[arg(long, requires = "key")]
    audience: Option<String>,
    /// Restrict the token to these hooks, separated by commas.
    #[arg(long, value_delimiter = ',', requires = "key")]
    hooks: Option<Vec<String>>,
    /// Key id.
    #[arg(long, requires = "key")]
    kid: Option<String>,
}

impl MintToken {
    pub(crate) fn run(&self, config: &Config) -> Result<()> {
        if !config.dev_mode {
            bail!(
                "tokens are minted in dev mode only (OSA_DEV_MODE=true); outside it, people sign in \
                 and machines get tokens from their issuer"
            );
        }
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let token = match &self.key {
            Some(key) => self.machine(key, config, now)?,
            None => {
                let secret = config.auth.jwt_secret.as_ref();
                let secret = secret.map_or(WELL_KNOWN_SECRET, |secret| secret.reveal());
                Minter::new(secret.as_bytes()).user_token(
                    UserId::LOCAL_ADMIN,
                    "local",
                    "admin@osa.local",
                    TokenIds {
                        jti: Uuid::new_v4(),
                        session: None,
                    },
                    now,
                    self.lifetime,
                )
            }
        };
        output::print(&format!("{token}\n"))
    }

    fn machine(&self, key: &PathBuf, config: &Config, now: i64) -> Result<String> {
        let pem =
            std::fs::read_to_string(key).with_context(|| format!("--key: cannot read {}", key.display()))?;
        let key = SigningKey::from_pkcs8_pem(&pem)
            .with_context(|| format!("--key: {} is not an Ed25519 private key in PEM", key.display()))?;
        let mut header = json!({"alg": "EdDSA", "typ": "JWT"});
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        let audience = self.audience.clone().unwrap_or_else(|| config.own_audience());
        let mut claims = json!({
            "iss": self.issuer, "sub": self.subject, "aud": audience, "scope": self.scope,
            "iat": now, "exp": now + self.lifetime, "jti": Uuid::new_v4().to_string(),
        });
        if let Some(hooks) = &self.hooks {
            claims["hooks"] = json!(hooks);
        }
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = key.sign(message.as_bytes());
        Ok(format!(
            "{message}.{}",
            URL_SAFE_NO_PAD.encode(signature.to_bytes())
        ))
    }
}

//! The authentication part of the configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use auth::Role;
use url::Url;

use crate::config::value::{LenientBool, Secret, url};
use crate::source::Source;

/// Trusted issuers, and the settings of the sign-in.
#[derive(Debug)]
pub(crate) struct AuthConfig {
    /// `None`: the server creates a secret and stores it in its data directory.
    pub(crate) jwt_secret: Option<Secret>,
    pub(crate) access_lifetime: Duration,
    pub(crate) refresh_lifetime: Duration,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) orcid: Option<OrcidConfig>,
    /// ORCID iDs that become superadmin at their first sign-in.
    pub(crate) admins: BTreeSet<String>,
    pub(crate) base_role: Option<Role>,
    /// `None`: `<base_url>/api/v1/auth/callback`.
    pub(crate) callback_url: Option<Url>,
    /// `None`: the node's own address.
    pub(crate) frontend_url: Option<Url>,
    pub(crate) redirect_origins: Vec<String>,
}

/// Credentials of this node at ORCID.
#[derive(Debug)]
pub(crate) struct OrcidConfig {
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    pub(crate) base_url: Url,
}

/// An issuer of machine credentials.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) issuer: String,
    pub(crate) audience: Option<String>,
    pub(crate) scope_claim: String,
    pub(crate) allowed_scopes: Option<BTreeSet<String>>,
    pub(crate) max_lifetime: Duration,
    pub(crate) keys: Vec<Key>,
    pub(crate) refresh_cool_down: Duration,
    pub(crate) refresh_every: Duration,
}

/// Source of one or several keys.
#[derive(Debug)]
pub(crate) enum Key {
    Pem { kid: Option<String>, text: String },
    PemFile { kid: Option<String>, path: PathBuf },
    JwksFile(PathBuf),
    JwksUrl(Url),
}

/// Reads a duration; a value outside 1 s to `most` is a fault.
fn seconds(s: &mut Source, key: &str, unit: u64, default: u64, most: u64) -> Duration {
    let rule = format!("must be a whole number from 1 to {}", most / unit);
    let given: Option<u64> = s.parsed(key, &rule);
    let value = given.map_or(default, |n| n.saturating_mul(unit));
    if value == 0 || value > most {
        s.fault(format!("{key}: {rule}"));
    }
    Duration::from_secs(value)
}

fn nonempty(s: &mut Source, key: &str) -> Option<String> {
    s.text(key).filter(|text| !text.is_empty())
}

const DAY: u64 = 86_400;

impl AuthConfig {
    pub(crate) fn read(s: &mut Source) -> Self {
        let base_role = nonempty(s, "auth.base_role");
        let role = base_role.as_ref().and_then(|name| name.parse().ok());
        if base_role.is_some() && role.is_none() {
            s.fault("auth.base_role: must be PUBLIC, DEPOSITOR, CURATOR, ADMIN or SUPERADMIN");
        }
        Self {
            jwt_secret: s.text("auth.jwt.secret").map(Secret),
            access_lifetime: seconds(s, "auth.jwt.access_token_expire_minutes", 60, 3600, DAY),
            refresh_lifetime: seconds(s, "auth.jwt.refresh_token_expire_days", DAY, 7 * DAY, 365 * DAY),
            issuers: issuers(s),
            orcid: orcid(s),
            admins: s.list("auth.admins").unwrap_or_default().into_iter().collect(),
            base_role: role,
            callback_url: url(s, "auth.callback_url"),
            frontend_url: url(s, "frontend_url"),
            redirect_origins: redirect_origins(s),
        }
    }
}

fn redirect_origins(s: &mut Source) -> Vec<String> {
    const KEY: &str = "auth.redirect_origins";
    let mut origins = Vec::new();
    for text in s.list(KEY).unwrap_or_default() {
        match Url::parse(&text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none() =>
            {
                origins.push(url.origin().ascii_serialization());
            }
            _ => s.fault(format!(
                "{KEY}: {text:?} is not an origin such as https://app.example.org"
            )),
        }
    }
    origins
}

fn orcid(s: &mut Source) -> Option<OrcidConfig> {
    let sandbox = s
        .parsed::<LenientBool>("auth.orcid.sandbox", "must be true or false")
        .is_some_and(|t| t.0);
    let home = if sandbox {
        "https://sandbox.orcid.org"
    } else {
        "https://orcid.org"
    };
    let base_url = url(s, "auth.orcid.base_url").or_else(|| Url::parse(home).ok());
    let client_id = nonempty(s, "auth.orcid.client_id");
    let client_secret = nonempty(s, "auth.orcid.client_secret").map(Secret);
    match (client_id, client_secret, base_url) {
        (Some(client_id), Some(client_secret), Some(base_url)) => Some(OrcidConfig {
            client_id,
            client_secret,
            base_url,
        }),
        (None, None, _) => None,
        _ => {
            s.fault("auth.orcid: requires both client_id and client_secret");
            None
        }
    }
}

fn issuers(s: &mut Source) -> Vec<Issuer> {
    let mut all: Vec<Issuer> = Vec::new();
    for name in s.below("auth.issuers") {
        let at = format!("auth.issuers.{name}");
        let issuer = nonempty(s, &format!("{at}.issuer"));
        let keys = keys(s, &at);
        if keys.is_empty() {
            s.fault(format!(
                "{at}: has no key; set public_key, keys with pem or file, jwks_file or jwks_url"
            ));
        }
        let read = Issuer {
            issuer: issuer.clone().unwrap_or_default(),
            audience: nonempty(s, &format!("{at}.audience")),
            scope_claim: nonempty(s, &format!("{at}.scope_claim")).unwrap_or_else(|| "scope".to_owned()),
            allowed_scopes: s
                .list(&format!("{at}.allowed_scopes"))
                .map(|list| list.into_iter().collect()),
            max_lifetime: seconds(s, &format!("{at}.max_lifetime_seconds"), 1, DAY, 366 * DAY),
            keys,
            refresh_cool_down: seconds(s, &format!("{at}.refresh_cool_down_seconds"), 1, 60, DAY),
            refresh_every: seconds(s, &format!("{at}.refresh_seconds"), 1, 300, 7 * DAY),
        };
        match issuer {
            Some(issuer) if all.iter().any(|other| other.issuer == issuer) => {
                s.fault(format!("{at}.issuer: {issuer:?} is configured twice"));
            }
            Some(_) => all.push(read),
            None => s.fault(format!("{at}.issuer: is required")),
        }
    }
    all
}

fn keys(s: &mut Source, at: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    // Environment variables often contain a PEM's line breaks as \n.
    let pem = |s: &mut Source, key: String, kid: Option<String>, text: &str| {
        let text = text.replace("\\n", "\n");
        if let Err(why) = auth::IssuerKey::from_pem(kid.clone(), &text) {
            s.fault(format!("{key}: {why}"));
        }
        Key::Pem { kid, text }
    };
    if let Some(text) = s.text(&format!("{at}.public_key")) {
        keys.push(pem(s, format!("{at}.public_key"), None, &text));
    }
    for number in s.below(&format!("{at}.keys")) {
        let key = format!("{at}.keys.{number}");
        let kid = nonempty(s, &format!("{key}.kid"));
        match (s.text(&format!("{key}.pem")), s.text(&format!("{key}.file"))) {
            (Some(text), None) => keys.push(pem(s, format!("{key}.pem"), kid, &text)),
            (None, Some(file)) => {
                match std::fs::read_to_string(&file) {
                    Ok(text) => {
                        if let Err(why) = auth::IssuerKey::from_pem(None, &text) {
                            s.fault(format!("{key}.file: {file} {why}"));
                        }
                    }
                    Err(error) => s.fault(format!("{key}.file: cannot read {file}: {error}")),
                }
                keys.push(Key::PemFile {
                    kid,
                    path: file.into(),
                });
            }
            _ => s.fault(format!("{key}: requires either pem or file")),
        }
    }
    if let Some(file) = s.text(&format!("{at}.jwks_file")) {
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                if let Err(why) = auth::IssuerKey::from_jwks(&text) {
                    s.fault(format!("{at}.jwks_file: {file} {why}"));
                }
            }
            Err(error) => s.fault(format!("{at}.jwks_file: cannot read {file}: {error}")),
        }
        keys.push(Key::JwksFile(file.into()));
    }
    if let Some(address) = url(s, &format!("{at}.jwks_url")) {
        let loopback = match address.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        // An attacker who can replace these keys in transit can impersonate every machine.
        if address.scheme() != "https" && !loopback {
            s.fault(format!(
                "{at}.jwks_url: must be an https URL; http is accepted on loopback only"
            ));
        }
        keys.push(Key::JwksUrl(address));
    }
    keys
}

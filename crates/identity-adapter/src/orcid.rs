//! Sign-in at ORCID
//! (<https://info.orcid.org/documentation/api-tutorials/api-tutorial-get-and-authenticated-orcid-id/>): with the
//! scope `/authenticate`, the response of the token endpoint contains the person's ORCID iD and name. Nothing else is
//! requested.

use async_trait::async_trait;
use ports::identity::ExternalIdentity;
use ports::{IdentityProvider, IdentityProviderError};
use serde::Deserialize;
use url::Url;

use crate::http::{agent, blocking, read};

/// This node's registration at ORCID.
#[derive(Clone)]
pub struct OrcidOptions {
    /// `https://orcid.org`, `https://sandbox.orcid.org`, or a test server.
    pub base_url: Url,
    /// The node's client id at ORCID.
    pub client_id: String,
    /// The node's client secret at ORCID.
    pub client_secret: String,
}

/// The identity provider ORCID.
pub struct Orcid {
    options: OrcidOptions,
}

/// The part of the token endpoint's response that is read.
#[derive(Deserialize)]
struct Answer {
    orcid: String,
    #[serde(default)]
    name: Option<String>,
}

impl Orcid {
    /// Creates the provider with these options.
    pub const fn new(options: OrcidOptions) -> Self {
        Self { options }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.options.base_url.clone();
        url.set_path(path);
        url
    }
}

/// Returns whether a text is an ORCID iD: four groups of four digits, the last of which may be X
/// (<https://support.orcid.org/hc/en-us/articles/360006897674>).
fn is_orcid(text: &str) -> bool {
    text.len() == 19
        && text.bytes().enumerate().all(|(n, b)| match n {
            4 | 9 | 14 => b == b'-',
            18 => b.is_ascii_digit() || b == b'X',
            _ => b.is_ascii_digit(),
        })
}

#[async_trait]
impl IdentityProvider for Orcid {
    fn name(&self) -> &'static str {
        "orcid"
    }

    fn client_id(&self) -> &str {
        &self.options.client_id
    }

    fn authorization_url(&self, redirect_uri: &str, state: &str, code_challenge: &str) -> String {
        let mut url = self.at("/oauth/authorize");
        url.query_pairs_mut()
            .append_pair("client_id", &self.options.client_id)
            .append_pair("response_type", "code")
            .append_pair("scope", "/authenticate")
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("state", state)
            .append_pair("code_challenge", code_challenge)
            .append_pair("code_challenge_method", "S256");
        url.into()
    }

    async fn identify(
        &self,
        code: &str,
        redirect_uri: &str,
        code_verifier: &str,
    ) -> Result<ExternalIdentity, IdentityProviderError> {
        let url = self.at("/oauth/token").to_string();
        let form: Vec<(&str, String)> = vec![
            ("client_id", self.options.client_id.clone()),
            ("client_secret", self.options.client_secret.clone()),
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", redirect_uri.to_owned()),
            ("code_verifier", code_verifier.to_owned()),
        ];
        let call = move || {
            read(
                agent()
                    .post(&url)
                    .header("accept", "application/json")
                    .send_form(form),
            )
        };
        let (status, text) = blocking(call).await.map_err(IdentityProviderError::Unavailable)?;
        match status {
            200 => {}
            400..=499 => return Err(IdentityProviderError::Refused),
            _ => {
                return Err(IdentityProviderError::Unavailable(format!(
                    "it answered {status}"
                )));
            }
        }
        let unreadable = || IdentityProviderError::Unavailable("its response cannot be read".to_owned());
        let answer: Answer = serde_json::from_str(&text).map_err(|_| unreadable())?;
        if !is_orcid(&answer.orcid) {
            return Err(unreadable());
        }
        let name = answer.name.unwrap_or_default();
        // A person may keep the name private; then only the iD is known.
        let shown: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
        let display_name = if shown.trim().is_empty() {
            answer.orcid.clone()
        } else {
            shown.trim().to_owned()
        };
        Ok(ExternalIdentity {
            external_id: answer.orcid,
            display_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orcid_id_is_four_groups_of_four() {
        assert!(is_orcid("0000-0002-1825-0097") && is_orcid("0000-0001-5109-370X"));
        for bad in [
            "",
            "0000-0002-1825-009",
            "0000-0002-1825-00977",
            "0000-000X-1825-0097",
            "0000_0002_1825_0097",
        ] {
            assert!(!is_orcid(bad), "{bad}");
        }
    }

    #[test]
    fn the_browser_is_sent_with_a_challenge_and_never_with_the_secret() {
        let orcid = Orcid::new(OrcidOptions {
            base_url: "https://sandbox.orcid.org".parse().unwrap(),
            client_id: "APP-1".into(),
            client_secret: "hidden".into(),
        });
        let url = orcid.authorization_url("https://n/api/v1/auth/callback", "a.b", "ch");
        assert!(
            url.starts_with("https://sandbox.orcid.org/oauth/authorize?client_id=APP-1&response_type=code")
        );
        assert!(url.contains("code_challenge=ch&code_challenge_method=S256") && !url.contains("hidden"));
    }
}

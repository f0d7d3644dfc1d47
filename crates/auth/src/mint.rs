//! Signing with the node's own secret: tokens of users, and the state of a sign-in in progress.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

/// Time limit of a sign-in, in seconds.
pub const SIGN_IN_SECONDS: i64 = 300;

/// Signs with the node's own secret.
pub struct Minter {
    sign: EncodingKey,
    verify: DecodingKey,
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter").finish_non_exhaustive()
    }
}

/// The ids in a user's access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenIds {
    /// Makes the token unique.
    pub jti: Uuid,
    /// The sign-in that it ends with; `None` if it ends only with its lifetime.
    pub session: Option<Uuid>,
}

/// The OAuth state of a sign-in (WC-1.10): its origin and its continuation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInState {
    /// Must equal the value in the browser's cookie, so that only the browser that started a sign-in can finish it
    /// (WC-D28).
    pub nonce: String,
    /// Address to return to after the sign-in.
    pub redirect_uri: String,
    /// Name of the identity provider.
    pub provider: String,
    /// Expiry, in seconds since 1970.
    pub exp: i64,
    /// The code that a person typed, in a device flow. Never the device's own code, which no browser may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_code: Option<String>,
}

impl Minter {
    /// Creates a minter with the node's own secret.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
        }
    }

    /// Mints a user's access token (WC-3), valid from `now` for `lifetime` seconds.
    pub fn user_token(
        &self,
        user: UserId,
        provider: &str,
        external_id: &str,
        ids: TokenIds,
        now: i64,
        lifetime: i64,
    ) -> String {
        let mut claims = json!({
            "sub": user.to_string(), "provider": provider, "external_id": external_id, "aud": "authenticated",
            "iat": now, "exp": now + lifetime, "jti": ids.jti.simple().to_string(),
        });
        if let Some(session) = ids.session {
            claims["sid"] = session.to_string().into();
        }
        // Signing a JSON value with a secret cannot fail. Every reader would refuse an empty token.
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign).unwrap_or_default()
    }

    /// Returns the signed state: `b64url(json).b64url(hmac_sha256(secret, json))`.
    pub fn state(&self, state: &SignInState) -> String {
        let json = serde_json::to_string(state).unwrap_or_default();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&json), self.mac(&json))
    }

    /// Parses a signed state. Returns `None` if another node signed it or it has expired.
    pub fn read_state(&self, text: &str, now: i64) -> Option<SignInState> {
        let (body, mac) = text.split_once('.')?;
        let json = URL_SAFE_NO_PAD.decode(body).ok()?;
        let holds = jsonwebtoken::crypto::verify(mac, &json, &self.verify, Algorithm::HS256).ok()?;
        let state: SignInState = serde_json::from_slice(&json).ok().filter(|_| holds)?;
        (now <= state.exp).then_some(state)
    }

    /// Returns the PKCE code verifier of a sign-in (RFC 7636 4.1). It is derived, so no server has to store it.
    pub fn code_verifier(&self, nonce: &str) -> String {
        self.mac(&format!("pkce {nonce}"))
    }

    fn mac(&self, message: &str) -> String {
        jsonwebtoken::crypto::sign(message.as_bytes(), &self.sign, Algorithm::HS256).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credential, Verifier};

    const SECRET: &[u8] = b"a secret of more than thirty-two bytes, for tests";

    // proves AUT-1
    #[test]
    fn what_is_minted_is_a_users_token_here_and_nowhere_else() {
        let ids = TokenIds {
            jti: Uuid::nil(),
            session: Some(Uuid::max()),
        };
        let token = Minter::new(SECRET).user_token(UserId::LOCAL_ADMIN, "local", "x", ids, 1000, 60);
        let verifier = Verifier::new(SECRET, "https://n", vec![]).unwrap();
        let Ok(Credential::User(user)) = verifier.verify(&token, 1010) else {
            panic!("a user")
        };
        assert_eq!((user.id(), user.session()), (UserId::LOCAL_ADMIN, ids.session));
        assert!(verifier.verify(&token, 2000).is_err());
        let other = Verifier::new(
            b"another secret of more than thirty-two bytes",
            "https://n",
            vec![],
        )
        .unwrap();
        assert!(other.verify(&token, 1010).is_err());
    }

    #[test]
    fn a_state_is_read_back_by_the_node_that_made_it_in_time_and_untouched() {
        let minter = Minter::new(SECRET);
        let state = SignInState {
            nonce: "n".into(),
            redirect_uri: "https://a/".into(),
            provider: "orcid".into(),
            exp: 100,
            user_code: None,
        };
        let text = minter.state(&state);
        assert_eq!(minter.read_state(&text, 100), Some(state.clone()));
        assert_eq!(minter.read_state(&text, 101), None);
        assert_eq!(
            Minter::new(b"another secret, long enough for HS256").read_state(&text, 1),
            None
        );
        let (_, mac) = text.split_once('.').unwrap();
        let evil = SignInState {
            redirect_uri: "https://evil/".into(),
            ..state
        };
        let forged = format!("{}.{mac}", minter.state(&evil).split_once('.').unwrap().0);
        assert_eq!(minter.read_state(&forged, 1), None);
        for bad in ["", ".", "x.y", "é.é", &text[..10]] {
            assert_eq!(minter.read_state(bad, 1), None);
        }
        assert_ne!(minter.code_verifier("a"), minter.code_verifier("b"));
        assert!(
            minter.code_verifier("a").len() >= 43,
            "RFC 7636 4.1: at least 43 characters"
        );
    }
}

//! `POST /auth/device`: a device requests authorization (RFC 8628 3.1, 3.2).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::identity::SessionError;
use domain::registry::digest::hex;
use ports::identity::DeviceBounds;
use ports::{Committed, Store, UnitOfWork};

use crate::failure::Failure;
use crate::identity::tokens::{TokenMaker, hash};
use crate::retry::retried;

/// The lifetime of a device code.
pub const DEVICE_LIFETIME: Duration = Duration::from_secs(900);
/// The polling interval of a device, in seconds.
pub const DEVICE_INTERVAL: u64 = 5;
/// The maximum numbers of pending devices. The route is public, so they are bounded; and one client must not shut it for
/// others, so its own oldest ones make way first.
const BOUNDS: DeviceBounds = DeviceBounds {
    per_client: 50,
    total: 20_000,
};
/// No vowels and no characters that look alike (WC-1.10).
const ALPHABET: &[u8; 27] = b"BCDFGHJKLMNPQRSTVWXZ2346789";

/// A device's codes.
#[derive(Clone)]
pub struct DeviceCodes {
    /// The device's own code: 64 hexadecimal digits.
    pub device_code: String,
    /// The code that a person types: `XXXX-XXXX`.
    pub user_code: String,
}

/// Accepts authorization requests of devices.
pub struct OpenDevice {
    store: Arc<dyn Store>,
    tokens: Arc<TokenMaker>,
}

impl OpenDevice {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, tokens: Arc<TokenMaker>) -> Self {
        Self { store, tokens }
    }

    /// Stores a request of this client, which is an address or what a proxy calls its client, and returns its codes.
    #[tracing::instrument(name = "app.open_device", skip_all)]
    pub async fn run(
        &self,
        _permit: Permit<act::SignIn>,
        client: &str,
    ) -> Result<Committed<DeviceCodes>, Failure> {
        // Only equality matters; the address itself is not stored.
        let client = hash(client);
        // There are 280 thousand million codes; the second try covers a collision.
        for _ in 0..2 {
            if let Some(codes) = retried!(self.attempt(client))? {
                return Ok(codes);
            }
        }
        Err(SessionError::TooManyDevices.into())
    }

    async fn attempt(&self, client: [u8; 32]) -> Result<Option<Committed<DeviceCodes>>, Failure> {
        let codes = DeviceCodes {
            device_code: hex(&self.tokens.randomness.bytes()),
            user_code: self.user_code(),
        };
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let stored = uow
            .sessions()
            .store_device(
                hash(&codes.device_code),
                &codes.user_code,
                client,
                DEVICE_LIFETIME,
                BOUNDS,
            )
            .await?;
        if stored {
            Ok(Some(uow.commit(codes).await?))
        } else {
            Ok(None)
        }
    }

    fn user_code(&self) -> String {
        let mut code = String::with_capacity(9);
        while code.len() < 9 {
            for byte in self.tokens.randomness.bytes() {
                // 243 is nine times 27: bytes from 243 on would favour the first letters.
                if byte < 243 && code.len() < 9 {
                    if code.len() == 4 {
                        code.push('-');
                    }
                    code.push(char::from(ALPHABET[usize::from(byte % 27)]));
                }
            }
        }
        code
    }
}

/// Normalises a typed code: case, spaces and hyphens are ignored. Returns `None` if it is not a code.
pub fn normal_user_code(typed: &str) -> Option<String> {
    let code: String = typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .take(9)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let fits = code.len() == 8 && code.bytes().all(|b| ALPHABET.contains(&b));
    fits.then(|| format!("{}-{}", &code[..4], &code[4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_code_is_read_in_any_case_and_with_any_spaces_and_hyphens() {
        for typed in ["BCDF-2346", "bcdf2346", " b c d f - 2 3 4 6 "] {
            assert_eq!(normal_user_code(typed).as_deref(), Some("BCDF-2346"), "{typed}");
        }
        for bad in ["", "BCDF-234", "BCDF-23466", "AEIO-2346", "BCDF-234é"] {
            assert_eq!(normal_user_code(bad), None, "{bad}");
        }
    }
}

//! Whether the server can do its work.

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use ports::Store;

/// How long a check may take (wire contract 1.8).
const MOST: Duration = Duration::from_secs(2);

/// Checks what the server needs.
pub struct ReadHealth {
    store: Arc<dyn Store>,
}

impl ReadHealth {
    /// A use case on this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Whether the database answers; if not, why, in words that tell nothing of the inside.
    pub async fn database(&self, _permit: Permit<act::ReadHealth>) -> Result<(), &'static str> {
        match tokio::time::timeout(MOST, self.store.ping()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the database cannot be reached"),
            Err(_) => Err("the database did not answer within 2 s"),
        }
    }
}

//! Cryptographically secure random bytes.

/// A source of cryptographically secure random bytes.
pub trait Randomness: Send + Sync {
    /// Returns 32 random bytes.
    fn bytes(&self) -> [u8; 32];
}

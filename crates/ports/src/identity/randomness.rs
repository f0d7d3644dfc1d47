//! Random bytes.

/// Random bytes that nobody can guess.
pub trait Randomness: Send + Sync {
    /// 32 of them.
    fn bytes(&self) -> [u8; 32];
}

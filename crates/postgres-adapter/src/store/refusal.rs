//! Remembers that the database refused a write because its disk is full.
//!
//! PostgreSQL does not report free space, so readiness checks write nothing until a write was refused. From then on each
//! of them writes something, until that succeeds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// When a write was last refused, if none has succeeded since. A process has one database.
static REFUSED: Mutex<Option<Instant>> = Mutex::new(None);

fn refused() -> MutexGuard<'static, Option<Instant>> {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers a refusal.
pub(crate) fn remember() {
    *refused() = Some(Instant::now());
}

/// Returns when a write was last refused, if it was not forgotten.
pub(crate) fn last() -> Option<Instant> {
    *refused()
}

/// Forgets the refusal: a write has succeeded.
pub(crate) fn forget() {
    *refused() = None;
}

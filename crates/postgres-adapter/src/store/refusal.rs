//! Remembers that the disk of the database is full.
//!
//! PostgreSQL does not report free space, so readiness checks write nothing until a write was refused. From then on each
//! of them writes something, until that succeeds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a write was last refused, if none has succeeded since. A process has one database.
static REFUSED: Mutex<Option<Instant>> = Mutex::new(None);
/// How long a refusal explains that the database cannot be reached: without room, PostgreSQL may end.
const RECENT: Duration = Duration::from_secs(60);

fn refused() -> MutexGuard<'static, Option<Instant>> {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers that the disk of the database is full: a write was refused, or PostgreSQL ended for lack of room.
pub fn remember() {
    *refused() = Some(Instant::now());
}

/// Returns whether a write was refused, and none has succeeded since.
pub(crate) fn is_remembered() -> bool {
    refused().is_some()
}

/// Returns whether that was a short time ago.
pub(crate) fn is_recent() -> bool {
    refused().is_some_and(|at| at.elapsed() < RECENT)
}

/// Forgets the refusal: a write has succeeded.
pub(crate) fn forget() {
    *refused() = None;
}

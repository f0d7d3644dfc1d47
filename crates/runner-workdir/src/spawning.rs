//! Starting processes while executables are being written.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held shared while a copy of an image is open for writing, and exclusively while a process is started: a child that
/// is forked in between would hold the copy open for writing for a moment, and running it would fail with `ETXTBSY`.
static NO_FORK_WHILE_WRITING: RwLock<()> = RwLock::new(());

/// Returns the guard to hold while a process is started.
pub fn starting() -> RwLockWriteGuard<'static, ()> {
    NO_FORK_WHILE_WRITING
        .write()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Returns the guard to hold while a file that will be executed is open for writing.
pub fn writing() -> RwLockReadGuard<'static, ()> {
    NO_FORK_WHILE_WRITING
        .read()
        .unwrap_or_else(PoisonError::into_inner)
}

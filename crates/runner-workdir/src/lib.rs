//! Work directories of hooks and ingesters, and the careful reading of their output: the common part of the runners
//! (WC-5, WC-D11, WC-D19, WC-D30).
//!
//! A work directory is fresh for each attempt, laid out as the container contract requires, and removed afterwards.
//! Its content is hostile after a run: it is read without following links, without blocking, and within caps.

mod disk;
mod log;
mod output;
mod pulled;
mod spawning;
mod stage;
mod workdir;

pub use disk::{DiskUse, measure};
pub use log::LogTail;
pub use output::{OutputCaps, Pulled, Read, read_hook, read_pull};
pub use spawning::{starting, writing};
pub use stage::stage;
pub use workdir::{
    NOBODY, Owner, Swept, WorkDir, check_root, closed_to_nobody, prepare_root, remove_all, sweep,
};

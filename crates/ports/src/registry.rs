//! Conventions, schemas, hooks and releases.

mod conventions;
mod hooks;
mod queries;
mod schemas;

pub use conventions::Conventions;
pub use hooks::{Hooks, LockedHook};
pub use queries::{HookSummary, HooksState, RegistryQueries};
pub use schemas::Schemas;

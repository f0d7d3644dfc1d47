//! Every port on PostgreSQL. All SQL of the project is here.
//!
//! Static statements are checked at compile time against the migrated schema (`.sqlx/`). Statements over feature and
//! metadata tables, which are created at deploy, are built in `dynamic` from validated identifiers only.

mod data;
mod deposit;
mod dynamic;
mod identity;
mod ingest;
mod ledger;
mod registry;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod work;

pub use ledger::claims::PgLedger;
pub use ledger::notifier::PgNotifier;
pub use store::migrate::{MigrateError, migrate, migrate_for};
pub use store::pool::{PoolOptions, connect};
pub use store::refusal::remember as disk_is_full;
pub use store::roles::{
    APPLICATION_ROLE, Login, RolePowers, Roles, apply_roles, role_powers, role_statements, who_owns,
};
pub use store::session::ConnectError;
pub use store::tx::PgStore;
pub use work::queue::PgQueue;

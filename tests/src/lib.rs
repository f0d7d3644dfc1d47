//! What black-box tests are made of: a database and servers of a test's own, clients, tokens, conventions to deploy.
#![expect(
    missing_docs,
    reason = "a library of this workspace's tests; names say what they are"
)]
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "helpers of tests; a panic is their verdict"
)]

pub mod choices;
pub mod client;
pub mod cluster;
pub mod engine;
pub mod fixtures;
pub mod ledger_worker;
pub mod parties;
pub mod pooler;
pub mod proxy;
pub mod server;
pub mod small_disk;
pub mod tokens;
pub mod world;

pub use client::{Answer, Client, Fetched};
pub use server::Server;
pub use world::World;

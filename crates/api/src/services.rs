//! The dependencies of the API: the use cases of every context, and the node itself.

use std::sync::Arc;

use app::data::Data;
use app::deposit::Deposit;
use app::identity::Identity;
use app::ingest::Ingest;
use app::ledger::Ledger;
use app::memory::Memory;
use app::registry::Registry;
use app::{Metrics, ReadHealth};
use domain::NodeDomain;
use pages::BaseUrl;

/// The use cases of every context.
#[expect(missing_docs, reason = "each field is the context that its type names")]
pub struct Services {
    pub registry: Registry,
    pub ingest: Ingest,
    pub deposit: Deposit,
    pub ledger: Ledger,
    pub identity: Identity,
    pub data: Data,
    pub read_health: ReadHealth,
    pub metrics: Arc<Metrics>,
    pub memory: Memory,
    pub node: Node,
    /// The threads on which whole tables are encoded.
    pub stream_threads: tokio::runtime::Handle,
}

/// Identity of the node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Display name of the node.
    pub name: String,
    /// Description of the node, for people.
    pub description: String,
    /// Domain of the node, as in every SRN.
    pub domain: NodeDomain,
    /// Public address, which every link begins with.
    pub base: BaseUrl,
    /// Version of the server.
    pub version: &'static str,
    /// Name of the runner that executes hooks, as reported by `/ready`.
    pub runner: String,
    /// What `/ready` reports of the database while it works, if anything.
    pub database: Option<&'static str>,
}

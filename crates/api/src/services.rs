//! What the API serves: the use cases of every context, and the node itself.

use std::sync::Arc;

use app::data::Data;
use app::deposit::Deposit;
use app::identity::Identity;
use app::ingest::Ingest;
use app::ledger::Ledger;
use app::registry::Registry;
use app::{Metrics, ReadHealth};
use domain::NodeDomain;

/// The use cases that the API serves, by context.
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
    pub node: Node,
}

/// What the node is.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, for people.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Its domain, as in every SRN.
    pub domain: NodeDomain,
    /// Its address for people and machines, without a slash at the end.
    pub base_url: String,
    /// The server's version.
    pub version: &'static str,
    /// What runs hooks, as `/ready` tells it.
    pub runner: String,
}

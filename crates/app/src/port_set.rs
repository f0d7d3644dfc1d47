//! The adapters that the use cases are built on.

use std::sync::Arc;

use domain::NodeDomain;
use ports::{
    ActivityQueries, Blobs, Clock, DataQueries, DepositionQueries, IdentityQueries, Ids, IngestDetailQueries,
    IngestQueries, Ledger, LedgerQueries, LineageQueries, Notifier, ProvenanceQueries, Randomness,
    RecallQueries, RegistryQueries, Runner, StatsQueries, Store, TaskQueries, WorkQueue,
};
use tokio_util::sync::CancellationToken;

use crate::limits::CallerLimits;
use crate::memory::Memory;

/// One adapter per port, the node's domain, which SRNs are made of, and the limits of callers.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port that its type names")]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub registry: Arc<dyn RegistryQueries>,
    pub ingests: Arc<dyn IngestQueries>,
    pub ingest_detail: Arc<dyn IngestDetailQueries>,
    pub depositions: Arc<dyn DepositionQueries>,
    pub identities: Arc<dyn IdentityQueries>,
    pub tasks: Arc<dyn TaskQueries>,
    pub data: Arc<dyn DataQueries>,
    pub recall: Arc<dyn RecallQueries>,
    pub provenance: Arc<dyn ProvenanceQueries>,
    pub lineage: Arc<dyn LineageQueries>,
    pub stats: Arc<dyn StatsQueries>,
    pub activity: Arc<dyn ActivityQueries>,
    pub queue: Arc<dyn WorkQueue>,
    pub ledger: Arc<dyn Ledger>,
    pub ledger_queries: Arc<dyn LedgerQueries>,
    pub notifier: Arc<dyn Notifier>,
    pub blobs: Arc<dyn Blobs>,
    pub runner: Arc<dyn Runner>,
    pub ids: Arc<dyn Ids>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub memory: Memory,
    pub stopping: CancellationToken,
    pub node: NodeDomain,
    /// How much each caller may ask for.
    pub limits: CallerLimits,
}

impl Ports {
    /// Collects every port that `store` implements, and the others one by one.
    pub fn new<S>(
        store: Arc<S>,
        ledger: LedgerPorts,
        machine: MachinePorts,
        node: NodeDomain,
        limits: CallerLimits,
    ) -> Self
    where
        S: Store
            + RegistryQueries
            + IngestQueries
            + IngestDetailQueries
            + DepositionQueries
            + IdentityQueries
            + TaskQueries
            + DataQueries
            + RecallQueries
            + ProvenanceQueries
            + LineageQueries
            + StatsQueries
            + ActivityQueries
            + 'static,
    {
        Self {
            registry: store.clone(),
            ingests: store.clone(),
            ingest_detail: store.clone(),
            depositions: store.clone(),
            identities: store.clone(),
            tasks: store.clone(),
            data: store.clone(),
            recall: store.clone(),
            provenance: store.clone(),
            lineage: store.clone(),
            stats: store.clone(),
            activity: store.clone(),
            store,
            queue: ledger.queue,
            ledger: ledger.ledger,
            ledger_queries: ledger.queries,
            notifier: ledger.notifier,
            blobs: machine.blobs,
            runner: machine.runner,
            ids: machine.ids,
            clock: machine.clock,
            randomness: machine.randomness,
            memory: machine.memory,
            stopping: machine.stopping,
            node,
            limits,
        }
    }
}

/// The ports of the delegation ledger.
#[expect(missing_docs, reason = "each field is the port that its type names")]
pub struct LedgerPorts {
    pub queue: Arc<dyn WorkQueue>,
    pub ledger: Arc<dyn Ledger>,
    pub queries: Arc<dyn LedgerQueries>,
    pub notifier: Arc<dyn Notifier>,
}

/// The ports of the machine: files, hooks, ids, time, random bytes, memory for requests, and whether the server is
/// stopping.
#[expect(missing_docs, reason = "each field is the port that its type names")]
pub struct MachinePorts {
    pub blobs: Arc<dyn Blobs>,
    pub runner: Arc<dyn Runner>,
    pub ids: Arc<dyn Ids>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub memory: Memory,
    pub stopping: CancellationToken,
}

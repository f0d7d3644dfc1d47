//! The repositories of a unit of work. All of them are one transaction; each call is one or few statements in it.

use async_trait::async_trait;
use domain::convention::{Convention, DeployPlan};
use domain::hook::HookRelease;
use domain::ingest::PushedRecord;
use domain::{
    Actor, Cell, ConventionSlug, DelegationId, DepositionId, Event, FeatureContract, FieldDefinition,
    HookName, HookRun, IngestMode, IngestRunId, IngestStatus, NewRelease, Reason, RecordSrn, ReleaseId,
    ReleaseVersion, RunId, Schema, SchemaId, SchemaRef, SourceId, TaskId, Yank,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::depositions::Depositions;
use crate::error::StoreError;
use crate::identity::{Identities, Sessions};
use crate::ledger::{Delegations, Tasks};
use crate::pulls::Pulls;

/// Every repository that a unit of work reaches.
pub trait Repos: Send {
    /// Schemas and their metadata tables.
    fn schemas(&mut self) -> &mut dyn Schemas;
    /// Hooks, releases, and pointers.
    fn hooks(&mut self) -> &mut dyn Hooks;
    /// Conventions.
    fn conventions(&mut self) -> &mut dyn Conventions;
    /// Feature tables and their rows.
    fn features(&mut self) -> &mut dyn Features;
    /// Ingest runs.
    fn ingests(&mut self) -> &mut dyn Ingests;
    /// Pulls of ingest runs.
    fn pulls(&mut self) -> &mut dyn Pulls;
    /// Records.
    fn records(&mut self) -> &mut dyn Records;
    /// Depositions.
    fn depositions(&mut self) -> &mut dyn Depositions;
    /// Hook runs and pins.
    fn runs(&mut self) -> &mut dyn Runs;
    /// Tasks.
    fn tasks(&mut self) -> &mut dyn Tasks;
    /// Delegations.
    fn delegations(&mut self) -> &mut dyn Delegations;
    /// The activity log.
    fn activity(&mut self) -> &mut dyn Activity;
    /// Users, roles and service accounts.
    fn identities(&mut self) -> &mut dyn Identities;
    /// Refresh tokens and devices.
    fn sessions(&mut self) -> &mut dyn Sessions;
}

/// Schemas and their metadata tables.
#[async_trait]
pub trait Schemas: Send {
    /// Takes the metadata table of `id`'s major version for it and locks it until the end of the unit of work.
    /// `Some(other)` when another schema's id makes the same table name.
    async fn take_table(&mut self, id: &SchemaId, major: u64) -> Result<Option<SchemaId>, StoreError>;
    /// Every version of one major, in no order.
    async fn of_major(&mut self, id: &SchemaId, major: u64) -> Result<Vec<Schema>, StoreError>;
    /// Keeps a new version; gives the time.
    async fn insert(&mut self, schema: &Schema) -> Result<OffsetDateTime, StoreError>;
    /// Makes the metadata table hold these fields: creates it, adds columns, drops NOT NULL where a field became optional.
    async fn shape_table(
        &mut self,
        id: &SchemaId,
        major: u64,
        fields: &[FieldDefinition],
    ) -> Result<(), StoreError>;
}

/// A hook whose row is locked.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedHook {
    /// Its contract.
    pub contract: FeatureContract,
    /// The live release.
    pub live: Option<(ReleaseId, ReleaseVersion)>,
    /// The highest version there is.
    pub last: Option<ReleaseVersion>,
    /// The release with the content that was asked for, if that was and there is one.
    pub same: Option<ReleaseVersion>,
}

/// Hooks, releases, and pointers. Everything about one hook happens under its row's lock.
#[async_trait]
pub trait Hooks: Send {
    /// Registers a hook if it is new, and locks it as [`Hooks::lock`] does. Lock several in the order of their names.
    async fn register(
        &mut self,
        name: &HookName,
        contract: &FeatureContract,
        content: Option<[u8; 32]>,
    ) -> Result<LockedHook, StoreError>;
    /// Locks a hook until the end of the unit of work, and looks for its release with this content (REG-3).
    async fn lock(
        &mut self,
        name: &HookName,
        content: Option<[u8; 32]>,
    ) -> Result<Option<LockedHook>, StoreError>;
    /// Replaces descriptions and units; the caller has checked that the contract is the same (D14).
    async fn set_contract_words(
        &mut self,
        name: &HookName,
        contract: &FeatureContract,
    ) -> Result<(), StoreError>;
    /// The release with this version.
    async fn find_version(
        &mut self,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Option<HookRelease>, StoreError>;
    /// Keeps a new release and makes it live, which is the next move of the hook's history (REG-4), and appends `log` to the activity
    /// log; gives the release as kept, with the database's time. One call, because all who want this hook wait for each.
    async fn insert_live(
        &mut self,
        id: ReleaseId,
        name: &HookName,
        version: ReleaseVersion,
        release: &NewRelease,
        built_by: &Actor,
        log: &Event,
    ) -> Result<HookRelease, StoreError>;
    /// Moves the pointer to a release that there is, and keeps the move as the next of the hook's history.
    async fn move_live(
        &mut self,
        name: &HookName,
        to: ReleaseId,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError>;
    /// Withdraws a release; the caller has checked that it is not withdrawn. Gives what readers see from now on.
    async fn yank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        by: &Actor,
        reason: &Reason,
    ) -> Result<Yank, StoreError>;
    /// Takes the withdrawal back; the caller has checked that there is one.
    async fn unyank(
        &mut self,
        name: &HookName,
        release: ReleaseId,
        by: &Actor,
        reason: Option<&Reason>,
    ) -> Result<(), StoreError>;
}

/// Conventions.
#[async_trait]
pub trait Conventions: Send {
    /// Serialises deploys of one slug until the end of the unit of work, also while there is no row yet.
    async fn lock(&mut self, slug: &ConventionSlug) -> Result<(), StoreError>;
    /// The convention.
    async fn find(&mut self, slug: &ConventionSlug) -> Result<Option<Convention>, StoreError>;
    /// Keeps it: new, or in place of what stood there (its first time of creation stays). Remembers which schema version has had
    /// which hooks (D17).
    async fn put(&mut self, plan: &DeployPlan) -> Result<Convention, StoreError>;
}

/// The rows that a hook computed for one record.
pub type RecordRows = (RecordSrn, Vec<Vec<Cell>>);

/// Feature tables and their rows.
#[async_trait]
pub trait Features: Send {
    /// Makes the hook's feature table if there is none.
    async fn create_table(&mut self, hook: &HookName, contract: &FeatureContract) -> Result<(), StoreError>;
    /// Makes `rows` the current rows of their records: what the hook held for them is superseded by `run`, also where it computed
    /// none (PIP-6). Rows of `run` that are there already are left alone, so that a redo changes nothing. Gives the number of rows written.
    async fn replace(
        &mut self,
        hook: &HookName,
        contract: &FeatureContract,
        run: RunId,
        rows: &[RecordRows],
    ) -> Result<u64, StoreError>;
}

/// A new ingest run.
#[derive(Clone, Debug)]
pub struct NewIngestRun {
    /// Its id.
    pub id: IngestRunId,
    /// The convention.
    pub convention: ConventionSlug,
    /// Where the records come from.
    pub mode: IngestMode,
    /// The schema version of its records.
    pub schema: SchemaRef,
    /// Records per batch.
    pub batch_size: u32,
    /// The most records of the run.
    pub limit: Option<u64>,
    /// Only what changed after this is pulled.
    pub since: Option<OffsetDateTime>,
    /// The time of its schedule that it is for.
    pub scheduled_for: Option<OffsetDateTime>,
    /// Who opened it.
    pub opened_by: Actor,
}

/// What a batch of an ingest run is worked off by.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRun {
    /// The convention.
    pub convention: ConventionSlug,
    /// The schema of its records.
    pub schema: Schema,
    /// Its state at that moment.
    pub status: IngestStatus,
}

/// An ingest run whose row is locked.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedIngestRun {
    /// The convention.
    pub convention: ConventionSlug,
    /// The schema version of its records.
    pub schema: SchemaRef,
    /// Its state.
    pub status: IngestStatus,
    /// Whether it was closed.
    pub ingestion_finished: bool,
    /// Records per batch.
    pub batch_size: u32,
    /// The most records of the run.
    pub limit: Option<u64>,
    /// How many records it has received.
    pub received: u64,
    /// The number of the next batch.
    pub next_batch: u32,
    /// How many batches have an end.
    pub batches_done: u32,
    /// Where its records come from.
    pub mode: IngestMode,
    /// What the ingester left as its session with the last pull.
    pub session: Option<Map<String, Value>>,
    /// How many pulls were stored.
    pub pulls: u64,
    /// How many records they gave.
    pub pulled: u64,
    /// Only what changed after this is pulled.
    pub since: Option<OffsetDateTime>,
    /// Who opened it.
    pub opened_by: Actor,
}

/// One line that came in.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestLine {
    /// Its number in its upload, from 1; for CSV, the line on which the row begins.
    pub line: u64,
    /// What it says.
    pub record: PushedRecord,
}

/// What became of a line that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineResult {
    /// New in this run, and waiting for a batch.
    Accepted,
    /// New in this run, and equal to the newest published version of its record: nothing to do (D21).
    Unchanged,
    /// It came before in this run, with the same content: nothing changes.
    Repeated,
    /// It came before in this run, with other content: refused, for the run cannot hold both.
    Contradicts,
}

/// What a batch holds.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRecord {
    /// The source's id.
    pub source_id: SourceId,
    /// The metadata as given.
    pub metadata: Map<String, Value>,
    /// Its hash.
    pub content_hash: [u8; 32],
}

/// What became of one record of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordEnd {
    /// Published under this SRN.
    Published(RecordSrn),
    /// Refused by this hook, for this reason.
    Rejected(HookName, String),
    /// Not judged by this hook, for this reason.
    Errored(HookName, String),
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Records published.
    pub published: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Records errored.
    pub errored: u64,
}

/// Ingest runs, their lines and batches.
#[async_trait]
pub trait Ingests: Send {
    /// What a run's batches are worked off by. Takes no lock, so that it waits for no other batch of the run that is being written.
    async fn batch_run(&mut self, run: IngestRunId) -> Result<Option<BatchRun>, StoreError>;
    /// The schema of a run's records.
    async fn schema(&mut self, run: IngestRunId) -> Result<Option<Schema>, StoreError>;
    /// Opens a run; `Some(active)` when the convention has an active one (D32), which the database decides.
    async fn open(&mut self, run: &NewIngestRun) -> Result<Option<IngestRunId>, StoreError>;
    /// Locks a run until the end of the unit of work.
    async fn lock(&mut self, run: IngestRunId) -> Result<Option<LockedIngestRun>, StoreError>;
    /// Numbers a new upload of a locked run, from 1, and keeps who sends it.
    async fn next_upload(&mut self, run: IngestRunId, pushed_by: &Actor) -> Result<u32, StoreError>;
    /// Adds lines to a locked run; one result per line, in order. A source id that stands twice among `lines` is judged as if the
    /// second had come later.
    async fn add_lines(
        &mut self,
        run: IngestRunId,
        convention: &ConventionSlug,
        upload: u32,
        lines: &[IngestLine],
    ) -> Result<Vec<LineResult>, StoreError>;
    /// How many lines of a locked run wait for a batch.
    async fn waiting(&mut self, run: IngestRunId) -> Result<u64, StoreError>;
    /// Makes the oldest waiting lines of a locked run, at most `most` and a bounded number of bytes, but at least one, the batch
    /// `batch` of `task`; gives how many they are.
    async fn cut_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        task: TaskId,
        most: u32,
    ) -> Result<u32, StoreError>;
    /// Marks a locked run as closed: no more lines.
    async fn close(&mut self, run: IngestRunId) -> Result<(), StoreError>;
    /// The records of a batch, in the order in which they came.
    async fn batch_records(&mut self, run: IngestRunId, batch: u32) -> Result<Vec<BatchRecord>, StoreError>;
    /// Writes what became of a batch's records and adds it to the run's counts. Lock the run first.
    async fn end_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        ends: &[(SourceId, RecordEnd)],
    ) -> Result<(), StoreError>;
    /// Writes that a batch was given up: its records are errored with `reason`. Lock the run first.
    async fn fail_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        kind: &str,
        reason: &str,
    ) -> Result<u64, StoreError>;
    /// Ends a locked run that is closed and whose every batch has an end; gives whether it did.
    async fn complete_if_done(&mut self, run: IngestRunId) -> Result<bool, StoreError>;
}

/// A record to publish.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The source's id.
    pub source_id: SourceId,
    /// The metadata as given.
    pub metadata: Map<String, Value>,
    /// The same, typed, in the order of the fields.
    pub cells: Vec<Cell>,
    /// Its hash.
    pub content_hash: [u8; 32],
}

/// What the records of one batch have in common.
#[derive(Clone, Debug)]
pub struct RecordBatch<'a> {
    /// The convention.
    pub convention: &'a ConventionSlug,
    /// The schema version.
    pub schema: &'a SchemaRef,
    /// Its fields, in order.
    pub fields: &'a [FieldDefinition],
    /// Where they come from.
    pub source: BatchSource,
}

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchSource {
    /// An ingest run.
    Ingest(IngestRunId),
    /// A deposition, which makes one record; its source id is the deposition's SRN.
    Deposition(DepositionId),
}

/// Records and their metadata rows, written together (D7).
#[async_trait]
pub trait Records: Send {
    /// Publishes records with their metadata rows, each as the next version of its record; gives the SRN of each, in order.
    async fn publish(
        &mut self,
        batch: &RecordBatch<'_>,
        records: &[NewRecord],
    ) -> Result<Vec<RecordSrn>, StoreError>;
}

/// A release that a unit of work uses, whatever becomes live meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// The run.
    pub run: RunId,
    /// The release.
    pub release: HookRelease,
    /// The hook's contract.
    pub contract: FeatureContract,
}

/// A hook that was killed for memory in the middle of a run: where what it had said until then is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointRef {
    /// Which kill of this run it was, from 1.
    pub oom_retries: u32,
    /// The prefix of its files.
    pub key: String,
    /// How long that attempt ran, in seconds.
    pub duration_s: f64,
}

/// Hook runs and pins.
#[async_trait]
pub trait Runs: Send {
    /// The time, by the database's clock.
    async fn now(&mut self) -> Result<OffsetDateTime, StoreError>;
    /// Remembers that records of `schema` have rows of these hooks (D17), and pins the releases that are live now for the hooks of a convention to a task, in the convention's order (PRV-2). Every
    /// hook of a convention has a live release.
    async fn pin_live(
        &mut self,
        task: TaskId,
        convention: &ConventionSlug,
        schema: &SchemaRef,
    ) -> Result<(), StoreError>;
    /// The pins of a task, in order.
    async fn pins(&mut self, task: TaskId) -> Result<Vec<Pin>, StoreError>;
    /// Keeps a run; a run that is kept already stays as it is (PRV-4).
    async fn insert(&mut self, run: &HookRun) -> Result<(), StoreError>;
    /// Keeps that the hook of a run was killed for memory once more, if the claim is still held; gives whether it is (PRV-5).
    async fn add_checkpoint(
        &mut self,
        delegation: &DelegationId,
        attempt: i64,
        run: RunId,
        checkpoint: &CheckpointRef,
    ) -> Result<bool, StoreError>;
    /// The checkpoints of a run, in order.
    async fn checkpoints(&mut self, run: RunId) -> Result<Vec<CheckpointRef>, StoreError>;
    /// Runs that have checkpoints which nobody will go on from, because their task has ended; at most `most`.
    async fn useless_checkpoints(&mut self, most: u32) -> Result<Vec<RunId>, StoreError>;
    /// Removes the checkpoints of these runs.
    async fn remove_checkpoints(&mut self, runs: &[RunId]) -> Result<(), StoreError>;
}

/// The activity log.
#[async_trait]
pub trait Activity: Send {
    /// Says who acts in this unit of work: what the database itself logs of it (LED-8) then names them, and not the server.
    async fn acting(&mut self, actor: &Actor) -> Result<(), StoreError>;
    /// Appends an entry.
    async fn append(&mut self, event: &Event) -> Result<(), StoreError>;
}

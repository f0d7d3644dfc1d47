//! Hook runs, and the releases that are pinned for them.

use async_trait::async_trait;
use domain::registry::hook::HookRelease;
use domain::{ConventionSlug, DelegationId, FeatureContract, HookRun, RunId, SchemaRef, TaskId};
use time::OffsetDateTime;

use crate::error::StoreError;

/// A release that a unit of work uses, even if another one becomes live meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// The run.
    pub run: RunId,
    /// The release.
    pub release: HookRelease,
    /// The hook's contract.
    pub contract: FeatureContract,
}

/// A checkpoint of a hook run that was killed for memory: where its output until then is stored.
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
    /// Returns the current time, by the database's clock.
    async fn now(&mut self) -> Result<OffsetDateTime, StoreError>;
    /// Records that records of `schema` have rows of these hooks (WC-D17), and pins the releases that are live now
    /// for the hooks of a convention to a task, in the convention's order (PRV-2). Every hook of a convention has a
    /// live release.
    async fn pin_live(
        &mut self,
        task: TaskId,
        convention: &ConventionSlug,
        schema: &SchemaRef,
    ) -> Result<(), StoreError>;
    /// Returns the pins of a task, in order.
    async fn pins(&mut self, task: TaskId) -> Result<Vec<Pin>, StoreError>;
    /// Inserts a run. An existing run stays as it is (PRV-4).
    async fn insert(&mut self, run: &HookRun) -> Result<(), StoreError>;
    /// Stores a checkpoint after one more kill for memory if the claim is still held. Returns whether it is (PRV-5).
    async fn add_checkpoint(
        &mut self,
        delegation: &DelegationId,
        attempt: i64,
        run: RunId,
        checkpoint: &CheckpointRef,
    ) -> Result<bool, StoreError>;
    /// Returns the checkpoints of a run, in order.
    async fn checkpoints(&mut self, run: RunId) -> Result<Vec<CheckpointRef>, StoreError>;
    /// Returns at most `most` runs whose checkpoints are useless, because their task has ended.
    async fn useless_checkpoints(&mut self, most: u32) -> Result<Vec<RunId>, StoreError>;
    /// Removes the checkpoints of these runs.
    async fn remove_checkpoints(&mut self, runs: &[RunId]) -> Result<(), StoreError>;
}

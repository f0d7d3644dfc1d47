//! Appending to the activity log.

use async_trait::async_trait;
use domain::{Actor, Event};

use crate::error::StoreError;

/// The activity log.
#[async_trait]
pub trait Activity: Send {
    /// Says who acts in this unit of work: what the database itself logs of it (LED-8) then names them, and not the server.
    async fn acting(&mut self, actor: &Actor) -> Result<(), StoreError>;
    /// Appends an entry.
    async fn append(&mut self, event: &Event) -> Result<(), StoreError>;
}

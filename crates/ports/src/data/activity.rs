//! Appending to the activity log.

use async_trait::async_trait;
use domain::{Actor, Event};

use crate::error::StoreError;

/// The activity log.
#[async_trait]
pub trait Activity: Send {
    /// Names the actor of this unit of work, so that entries which the database itself logs (LED-8) name this actor
    /// and not the server.
    async fn acting(&mut self, actor: &Actor) -> Result<(), StoreError>;
    /// Appends an entry.
    async fn append(&mut self, event: &Event) -> Result<(), StoreError>;
}

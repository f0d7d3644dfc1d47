//! Reading what hooks wrote, in bounded memory and beside the async runtime.
//!
//! Invariant: reading what hooks write takes little memory, and no other work of the server waits for it. Who
//! can break it: outputs of several hooks that are read at once; so large ones are read one after the other. A hook
//! that computes more rows than a batch may have; it is found out while they are counted, and its output refused.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use domain::work::outcome::{HookOutput, ReadOutput};
use domain::work::output_file::OutputFile;
use domain::work::rows::{Content, HELD_BYTES, Room, RowStore};
use domain::{FailureKind, FeatureContract, SourceId};
use futures::{StreamExt as _, TryStreamExt as _};
use ports::error::is_full;
use ports::{Blobs, ByteStream, Disk, PutError, StoreError};
use tokio::sync::Semaphore;

use crate::failure::Failure;

/// A larger output, in bytes, is read alone.
const LARGE: u64 = 1024 * 1024;

/// Reads outputs of hooks.
#[derive(Clone)]
pub struct Outputs {
    room: Arc<dyn Room>,
    most_rows: u64,
    large: Arc<Semaphore>,
}

/// What an output says.
pub(crate) struct Reading {
    /// The outcomes.
    pub(crate) read: ReadOutput,
    /// How many rows the batch has of this hook then.
    pub(crate) rows: u64,
    /// Why the hook rejected the whole run, if it did.
    pub(crate) rejection: Option<String>,
    /// The failure that the output is, if it cannot be read. Then there are no outcomes.
    pub(crate) failure: Option<FailureKind>,
}

impl Outputs {
    /// Creates a reader of outputs that have at most `most_rows` rows for one batch. What is too much for memory goes
    /// to a spill in `room`.
    pub fn new(room: Arc<dyn Room>, most_rows: u64) -> Self {
        Self {
            room,
            most_rows,
            large: Arc::new(Semaphore::new(1)),
        }
    }

    /// Reads an output. The batch has `rows` rows of this hook already. An error is a full disk.
    pub(crate) async fn read(
        &self,
        output: &HookOutput,
        contract: &FeatureContract,
        asked: BTreeSet<SourceId>,
        rows: u64,
    ) -> Result<Reading, Failure> {
        if output.is_empty() {
            return Ok(Reading {
                read: ReadOutput::default(),
                rows,
                rejection: None,
                failure: None,
            });
        }
        let large = if output.size() > LARGE {
            Arc::clone(&self.large).acquire_owned().await.ok()
        } else {
            None
        };
        let (output, contract, room) = (output.clone(), contract.clone(), Arc::clone(&self.room));
        let most_rows = self.most_rows;
        let read = tokio::task::spawn_blocking(move || -> io::Result<_> {
            // Reading goes on when its caller is gone.
            let _large = large;
            let mut keep = RowStore::new(&*room, most_rows, HELD_BYTES).after(rows);
            let read = output.outcomes(&contract, &asked, &mut keep)?;
            Ok((read, keep.rows(), output.whole_run_rejection()?))
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
        match read {
            Ok((read, rows, rejection)) => Ok(Reading {
                failure: read.refused.clone().map(FailureKind::Output),
                read,
                rows,
                rejection,
            }),
            Err(error) if is_full(&error) => Err(StoreError::full(Disk::Work, error).into()),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an output could not be read"
                );
                Ok(Reading {
                    read: ReadOutput::default(),
                    rows,
                    rejection: None,
                    failure: Some(FailureKind::Runtime("its output could not be read".to_owned())),
                })
            }
        }
    }

    /// Returns a stored file. What is too much for memory is copied to a spill, so that it can be read at any place.
    pub(crate) async fn stored(&self, blobs: &dyn Blobs, key: &str) -> Result<Option<OutputFile>, Failure> {
        let Some((size, mut content)) = blobs.get_stream(key).await? else {
            return Ok(None);
        };
        let unread = |error: io::Error| StoreError::Unavailable(error.into());
        if size <= LARGE {
            let mut all = Vec::new();
            while let Some(piece) = content.try_next().await.map_err(unread)? {
                all.extend_from_slice(&piece);
            }
            return Ok(Some(all.into()));
        }
        let full = |error: io::Error| {
            if is_full(&error) {
                StoreError::full(Disk::Work, error)
            } else {
                StoreError::Unavailable(error.into())
            }
        };
        let spill = self.room.spill().map_err(full)?;
        while let Some(piece) = content.try_next().await.map_err(unread)? {
            spill.append(&piece).map_err(full)?;
        }
        let content: Arc<dyn Content> = spill;
        Ok(Some(OutputFile::new(content)))
    }
}

/// Stores a file of an output, a piece at a time.
pub(crate) async fn store(blobs: &dyn Blobs, key: &str, file: &OutputFile) -> Result<(), Failure> {
    let pieces = file.pieces().map(|piece| piece.map(Bytes::from));
    store_stream(blobs, key, futures::stream::iter(pieces).boxed()).await
}

/// Stores a stream that this server makes.
pub(crate) async fn store_stream(blobs: &dyn Blobs, key: &str, content: ByteStream) -> Result<(), Failure> {
    match blobs.put_stream(key, content, u64::MAX).await {
        Ok(_) => Ok(()),
        Err(PutError::Store(error)) => Err(error.into()),
        Err(error) => Err(StoreError::Unavailable(error.into()).into()),
    }
}

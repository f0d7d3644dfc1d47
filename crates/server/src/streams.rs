//! The threads that read and encode whole tables (EDG-6).

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};

/// How much lower the threads' priority is than that of the threads that answer requests (`nice(2)`): while both have
/// work, a request gets the processor.
const NICE: i32 = 5;

/// A runtime of its own for streams of tables. On the threads of requests, a few streams would keep every one of them
/// busy, and look for new requests only between many of their pieces.
pub(crate) struct StreamThreads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl StreamThreads {
    /// Starts one thread for each processor.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("hallmark-stream")
            .on_thread_start(|| {
                // On Linux this is the priority of the thread alone. Without it streams work all the same.
                let _ = rustix::process::nice(NICE);
            })
            .enable_all()
            .build()
            .context("cannot start the threads of streams")?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Returns what spawns on these threads.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for StreamThreads {
    fn drop(&mut self) {
        // Streams that are left have no readers any more.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

//! The threads that read and encode whole tables (EDG-6).

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};

/// How much lower the threads' priority is than that of the threads that answer requests (`nice(2)`): while both have
/// work, a request gets the processor.
const NICE: i32 = 5;

/// The same for PostgreSQL's backends that read whole tables. They do more of the work than the threads.
const BACKEND_NICE: i32 = 10;

/// Lowers the priority of a backend of a PostgreSQL on this machine; returns whether that was possible. It is where the
/// server is root, or PostgreSQL's user.
pub(crate) fn lower_backend(process: i32) -> bool {
    // PostgreSQL may count processes in a namespace of its own.
    let is_backend = std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|title| {
        title.starts_with(b"postgres: ") && title.windows(7).any(|part| part == b"[local]")
    });
    let process = rustix::process::Pid::from_raw(process).filter(|_| is_backend);
    process.is_some_and(|process| rustix::process::setpriority_process(Some(process), BACKEND_NICE).is_ok())
}

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

//! The threads that read and encode whole tables (EDG-6).

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};

/// How much lower the threads' priority is than that of the threads that answer requests (`nice(2)`): while both have
/// work, a request gets the processor.
const NICE: i32 = 10;

/// The same for PostgreSQL's backends that read whole tables. They do more of the work than the threads.
const BACKEND_NICE: i32 = 10;

/// Lowers the priority of a backend of a PostgreSQL on this machine; returns whether that was possible. It is where the
/// server is root, or PostgreSQL's user.
///
/// Where the kernel groups processes by session (sched(7), "The autogroup feature"), a process's priority holds within
/// its session alone. Each backend has one of its own, which then has a priority, too: without it, every stream would have
/// as much of the processors as all requests of the server together.
pub(crate) fn lower_backend(process: i32) -> bool {
    // PostgreSQL may count processes in a namespace of its own.
    let is_backend = std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|title| {
        title.starts_with(b"postgres: ") && title.windows(7).any(|part| part == b"[local]")
    });
    let process = rustix::process::Pid::from_raw(process).filter(|_| is_backend);
    let Some(process) = process else { return false };
    let is_alone = rustix::process::getsid(Some(process)).is_ok_and(|session| session == process);
    let group = format!("/proc/{process}/autogroup");
    if is_alone && std::path::Path::new(&group).exists() {
        // The kernel refuses an ordinary user a second change within 0.1 s; the next table tries again.
        if let Err(error) = std::fs::write(&group, BACKEND_NICE.to_string()) {
            tracing::debug!(%error, "the priority of a backend's session could not be lowered");
        }
    }
    rustix::process::setpriority_process(Some(process), BACKEND_NICE).is_ok()
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

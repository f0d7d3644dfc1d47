//! One container, from its start to its end.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerState};
use bollard::query_parameters::{
    InspectContainerOptionsBuilder, KillContainerOptions, LogsOptionsBuilder, StartContainerOptions,
    WaitContainerOptions,
};
use domain::{FailureKind, Limits};
use futures::StreamExt as _;
use ports::RunnerError;
use runner_workdir::{LogTail, cancelled, held, measure, with_descendants};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::image::{Image, same_id};
use crate::killer::{Killer, killer, moment};
use crate::options::DockerRunnerOptions;
use crate::sandbox::Role;
use crate::trouble::{EngineCall, Trouble, sort};
use crate::work::blocking;

/// How long to wait for the engine's message that a container has ended before its state is read: a proxy may have
/// dropped the connection silently.
const WAIT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a container may be in a state that the client cannot read.
const PASSING_PATIENCE: Duration = Duration::from_secs(5);
/// The interval of requests while a change is imminent.
const SHORT_TICK: Duration = Duration::from_millis(50);
/// The interval at which the disk is measured.
const TICK: Duration = Duration::from_millis(250);
/// The interval at which the engine is asked for the size of a container's own layer; it walks the layer for it.
const LAYER_TICK: Duration = Duration::from_secs(5);
/// How long an engine may be unresponsive while a container runs: time for a restart.
const ENGINE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a killed container may take to end, and its log to be read.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// How often the state is read again, a [`SHORT_TICK`] apart, after the end, for the message that memory ran out:
/// containerd sends the two messages in either order. A number and not a duration: what slows the engine down slows the
/// requests down too.
const OOM_QUESTIONS: u32 = 20;
/// The same, if it did not end by SIGKILL: a program that outlived a child that was killed for memory.
const SHORT_OOM_QUESTIONS: u32 = 4;
/// Shells and engines report a program that a signal ended with the status 128 plus the signal's number.
const SIGNALLED: i64 = 128;
/// The last signal (signal(7)).
const LAST_SIGNAL: i64 = 64;
/// The status of a program that SIGKILL ended.
const SIGKILLED: i64 = SIGNALLED + 9;

/// Why watching ended.
enum Verdict {
    Ended,
    Limit(FailureKind),
}

/// What is known of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    /// It was enough, as far as is known.
    Enough,
    /// It ran out: the engine reports it.
    RanOut,
    /// It ran out, because nothing else explains how the container ended.
    MustHaveRunOut,
}

/// How a container ended.
pub(crate) struct Ended {
    /// Why it failed, if it did.
    pub(crate) failure: Option<FailureKind>,
    /// The last part of its printed output, and a line of the runner's own if the runner ended it.
    pub(crate) log: Vec<u8>,
    /// How long it ran.
    pub(crate) duration: Duration,
}

/// A created container, and its limits.
pub(crate) struct Container<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) name: &'a str,
    pub(crate) options: &'a DockerRunnerOptions,
    pub(crate) limits: Limits,
    /// When its time is up.
    pub(crate) deadline: Instant,
    /// The work directory.
    pub(crate) work: &'a Path,
    /// What runs in it.
    pub(crate) role: Role<'a>,
    /// Cancelled when the caller no longer waits.
    pub(crate) cancel: &'a CancellationToken,
}

impl Container<'_> {
    /// Starts it, if it was created from this image, and waits until it has ended, or ends it at a limit.
    pub(crate) async fn run(&self, image: &Image) -> Result<Ended, Trouble> {
        let made = self.inspect(false).await?;
        // PIP-5: the container itself has the id: names may have moved since the image was resolved.
        if !made
            .image
            .as_deref()
            .is_some_and(|found| same_id(found, &image.id))
        {
            return Err(Trouble::Failure(FailureKind::ImageUnusable(format!(
                "the container engine made a container of {} where {} was asked for",
                made.image.unwrap_or_default(),
                image.id
            ))));
        }
        let begun = Instant::now();
        let started = self
            .engine
            .docker()
            .start_container(self.name, None::<StartContainerOptions>);
        started.await.map_err(|error| sort(EngineCall::Start, error))?;
        let verdict = self.watch().await?;
        if let Verdict::Limit(_) = verdict {
            self.kill().await?;
        }
        // Not what is asked and read afterwards.
        let watched = begun.elapsed();
        let state = self.state_at_end(&verdict).await?;
        let memory = self.memory(&state, &verdict).await;
        let mut log = self.log().await;
        let failure = self.how_it_ended(&state, verdict, memory, &mut log);
        Ok(Ended {
            failure,
            log: log.into_bytes(),
            duration: lasted(&state).unwrap_or(watched),
        })
    }

    async fn inspect(&self, size: bool) -> Result<ContainerInspectResponse, Trouble> {
        let begun = Instant::now();
        loop {
            match self.inspect_once(size).await {
                // Podman has transient states that the client cannot parse, such as "stopped" before "exited".
                Err(Error::JsonDataError { .. }) if begun.elapsed() < PASSING_PATIENCE => {
                    sleep(SHORT_TICK).await;
                }
                found => return found.map_err(|e| sort(EngineCall::Other("look at the container"), e)),
            }
        }
    }

    async fn inspect_once(&self, size: bool) -> Result<ContainerInspectResponse, Error> {
        let options = InspectContainerOptionsBuilder::new().size(size).build();
        self.engine
            .docker()
            .inspect_container(self.name, Some(options))
            .await
    }

    async fn state(&self) -> Result<ContainerState, Trouble> {
        let state = self.inspect(false).await?.state;
        state.ok_or_else(|| RunnerError::new("look at the container", "it has no state").into())
    }

    async fn watch(&self) -> Result<Verdict, Trouble> {
        let end = self.wait_for_end();
        let disk = self.wait_for_full_disk();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(cancelled().into()),
            ended = end => ended.map(|()| Verdict::Ended),
            () = sleep_until(self.deadline) => {
                Ok(Verdict::Limit(FailureKind::Timeout(u64::from(self.limits.timeout_seconds))))
            }
            why = disk => why.map(|why| Verdict::Limit(FailureKind::Output(why))),
        }
    }

    /// Waits until the container has ended. Its state decides, because the container, a proxy or the engine may end a
    /// single wait.
    async fn wait_for_end(&self) -> Result<(), Trouble> {
        let mut answered = Instant::now();
        loop {
            let mut wait = self
                .engine
                .docker()
                .wait_container(self.name, None::<WaitContainerOptions>);
            let _ = timeout(WAIT_PATIENCE, wait.next()).await;
            match self.state().await {
                Ok(state) if is_running(&state) => answered = Instant::now(),
                Ok(_) => return Ok(()),
                Err(Trouble::Runner(error)) if answered.elapsed() > ENGINE_PATIENCE || is_gone(&error) => {
                    return Err(error.into());
                }
                Err(Trouble::Runner(_)) => {}
                Err(other) => return Err(other),
            }
            sleep(TICK).await;
        }
    }

    /// Waits until the container exceeds its disk limit, and returns a sentence about it.
    async fn wait_for_full_disk(&self) -> Result<String, Trouble> {
        let (most, most_files) = (self.options.most_disk_bytes, self.options.most_files);
        // Without its first process, what is in no directory is not seen.
        let first = self.state().await.ok().and_then(|state| state.pid);
        let first = first
            .and_then(|pid| i32::try_from(pid).ok())
            .filter(|pid| *pid > 0);
        let mut layer_next = Instant::now() + LAYER_TICK;
        loop {
            sleep(TICK).await;
            let path = self.work.to_owned();
            let (used, unnamed) = blocking("measure a work directory", move || {
                let unnamed = first.map_or(0, |first| unnamed(first, &path));
                (measure(&path, most_files), unnamed)
            })
            .await?;
            if used.files > most_files {
                return Ok(format!(
                    "it made more than {most_files} files, or directories more than 64 deep"
                ));
            }
            let mut bytes = used.bytes.saturating_add(unnamed);
            if self.role != Role::Hook && Instant::now() >= layer_next {
                // A failed request may succeed the next time.
                let layer = self.inspect(true).await.ok().and_then(|found| found.size_rw);
                bytes = bytes.saturating_add(layer.and_then(|size| u64::try_from(size).ok()).unwrap_or(0));
                layer_next = Instant::now() + LAYER_TICK;
            }
            if bytes > most {
                return Ok(format!(
                    "it wrote {bytes} bytes to disk; at most {most} are allowed"
                ));
            }
        }
    }

    async fn kill(&self) -> Result<(), Trouble> {
        // SIGKILL is the default.
        let killed = self
            .engine
            .docker()
            .kill_container(self.name, None::<KillContainerOptions>)
            .await;
        match killed {
            Ok(()) => {}
            // It may have ended meanwhile.
            Err(error) => {
                if is_running(&self.state().await?) {
                    return Err(sort(EngineCall::Other("kill the container"), error));
                }
            }
        }
        let begun = Instant::now();
        while is_running(&self.state().await?) {
            if begun.elapsed() > END_PATIENCE {
                return Err(RunnerError::new("kill the container", "it did not end").into());
            }
            sleep(SHORT_TICK).await;
        }
        Ok(())
    }

    /// Returns the state of a container that has ended, after the engine had time to notice why.
    async fn state_at_end(&self, verdict: &Verdict) -> Result<ContainerState, Trouble> {
        let mut asked = 0;
        loop {
            let state = self.state().await?;
            let most = match (state.exit_code, verdict) {
                (Some(0), _) | (_, Verdict::Limit(_)) => 0,
                (Some(SIGKILLED), _) => OOM_QUESTIONS,
                _ => SHORT_OOM_QUESTIONS,
            };
            if state.oom_killed == Some(true) || asked >= most {
                return Ok(state);
            }
            asked += 1;
            sleep(SHORT_TICK).await;
        }
    }

    /// Returns whether memory ran out. An engine may never report it ([`Killer`]), so SIGKILL from the kernel counts as
    /// well. In doubt, the result is the one after which it is run again: for a hook memory, for an ingester a signal.
    /// A hook that did not lack memory is then run a few times more than necessary; the other mistake would be an
    /// errored record.
    async fn memory(&self, state: &ContainerState, verdict: &Verdict) -> Memory {
        if state.oom_killed == Some(true) {
            return Memory::RanOut;
        }
        if !matches!((verdict, state.exit_code), (Verdict::Ended, Some(SIGKILLED))) {
            return Memory::Enough;
        }
        match killer(self.engine, self.name, state).await {
            Killer::Kernel => Memory::MustHaveRunOut,
            Killer::Unknown if self.role == Role::Hook => Memory::MustHaveRunOut,
            Killer::Unknown | Killer::Engine => Memory::Enough,
        }
    }

    fn how_it_ended(
        &self,
        state: &ContainerState,
        verdict: Verdict,
        memory: Memory,
        log: &mut LogTail,
    ) -> Option<FailureKind> {
        let mut note = |text: &str| log.push(format!("\n[runner] ended: {text}\n").as_bytes());
        let limit = self.limits.memory.bytes();
        match memory {
            Memory::Enough => {}
            Memory::RanOut => {
                note(&format!("used more than its {limit} bytes of memory"));
                return Some(FailureKind::Oom(limit));
            }
            Memory::MustHaveRunOut => {
                note(&format!(
                    "SIGKILL, and the container engine is not known to have been asked for it; it counts as having used more than its {limit} bytes of memory"
                ));
                return Some(FailureKind::Oom(limit));
            }
        }
        match verdict {
            Verdict::Limit(kind) => {
                match &kind {
                    FailureKind::Timeout(seconds) => note(&format!("ran for its {seconds} s")),
                    FailureKind::Output(why) => note(why),
                    _ => {}
                }
                Some(kind)
            }
            Verdict::Ended => match state.exit_code.unwrap_or_default() {
                0 => None,
                // A program that exits with such a status by itself looks the same.
                code if (SIGNALLED + 1..=SIGNALLED + LAST_SIGNAL).contains(&code) => {
                    i32::try_from(code - SIGNALLED).ok().map(FailureKind::Signalled)
                }
                code => Some(FailureKind::HookExit(i32::try_from(code).unwrap_or(i32::MAX))),
            },
        }
    }

    /// Returns the last part of its printed output. An unreadable log is no reason to lose what was done.
    async fn log(&self) -> LogTail {
        let mut tail = LogTail::new(self.options.most_log_bytes);
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let mut parts = self.engine.docker().logs(self.name, Some(options));
        let read = async {
            while let Some(part) = parts.next().await {
                tail.push(part?.as_ref());
            }
            Ok::<_, Error>(())
        };
        let why = match timeout(END_PATIENCE, read).await {
            Ok(Ok(())) => return tail,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        tail.push(format!("\n[runner] the rest of the log could not be read: {why}\n").as_bytes());
        tail
    }
}

/// Returns the disk space of files without a name that the processes of a container hold, if this server sees them: it is
/// on the machine of the engine, and root or the user that the engine runs as.
fn unnamed(first: i32, work: &Path) -> u64 {
    let place = |path: &Path| fs::metadata(path).ok().map(|about| (about.dev(), about.ino()));
    let Some(out) = place(&work.join("out")) else {
        return 0;
    };
    // The number of a process of another machine, or of another namespace, is that of a stranger here.
    if place(Path::new(&format!("/proc/{first}/root/osa/out"))) != Some(out) {
        return 0;
    }
    held(with_descendants(first).into_iter(), out.0).disk
}

fn is_running(state: &ContainerState) -> bool {
    [state.running, state.paused, state.restarting].contains(&Some(true))
}

/// Returns whether the engine reports that the container does not exist: it was removed.
fn is_gone(error: &RunnerError) -> bool {
    let source = error.source.downcast_ref::<Error>();
    source.is_some_and(crate::trouble::is_missing)
}

/// Returns how long it ran, by the engine's clock.
fn lasted(state: &ContainerState) -> Option<Duration> {
    // A time that the engine does not know is in the year 1.
    let known = |text: Option<&str>| moment(text).filter(|at| at.year() > 1);
    (known(state.finished_at.as_deref())? - known(state.started_at.as_deref())?)
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-3
    #[test]
    fn the_files_of_a_process_that_does_not_see_the_work_directory_do_not_count() {
        let work = tempfile::tempdir().unwrap();
        fs::create_dir(work.path().join("out")).unwrap();
        let mut removed = tempfile::tempfile_in(work.path()).unwrap();
        std::io::Write::write_all(&mut removed, &vec![1; 1 << 20]).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(unnamed(own, work.path()), 0);
        assert_eq!(unnamed(own, Path::new("/nowhere")), 0);
    }

    #[test]
    fn a_containers_duration_is_by_the_engines_clock() {
        let state = |started: &str, finished: &str| ContainerState {
            started_at: Some(started.to_owned()),
            finished_at: Some(finished.to_owned()),
            ..ContainerState::default()
        };
        let ran = state("2026-11-25T12:09:59.034574568Z", "2026-11-25T12:10:00.144289533Z");
        assert_eq!(lasted(&ran), Some(Duration::from_nanos(1_109_714_965)));
        // Docker's value for a container that never ended.
        assert_eq!(
            lasted(&state("2026-11-25T12:09:59Z", "0001-01-01T00:00:00Z")),
            None
        );
        assert_eq!(
            lasted(&state("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")),
            None
        );
        assert_eq!(lasted(&ContainerState::default()), None);
    }
}

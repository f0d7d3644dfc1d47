//! Where SIGKILL came from, when the engine does not say that memory ran out.
//!
//! Docker's `OOMKilled` is a message of containerd, which can be lost for good: it is sent only once the container's start is
//! finished, and not any more once its cgroup is removed (containerd#8893). A program that fills its memory at once, on a machine with
//! much to do, may come before the one or after the other. Its cgroup, which counts such kills, is gone by then; so nothing is left to
//! read, and it takes a conclusion. No process of a container can kill its process 1 with SIGKILL. Who asked the engine to is among the
//! engine's events; what remains is the kernel, or root on the engine's machine.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerState, EventMessage};
use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

use crate::engine::Engine;

/// How long before the start by its clock the engine may remember it, in seconds.
const BEFORE: i64 = 1;
/// How long after the end events are waited for, in seconds: the engine tells of a kill once it is done.
const AFTER: i64 = 3;
/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What it is asked about. The start tells whether it remembers far enough back: the events are few, and gone with a restart.
const ACTIONS: [&str; 4] = ["start", "oom", "kill", "stop"];

/// Who ended a container by SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Killer {
    /// The engine, which was asked to.
    Engine,
    /// The kernel: the engine was not asked to. A shell that passes on how its child ended looks the same, and mostly is.
    Kernel,
    /// The engine does not remember, or is not allowed to say.
    Unknown,
}

/// Finds out who ended a container that ended by SIGKILL and not by this runner.
pub(crate) async fn killer(engine: &Engine, name: &str, state: &ContainerState) -> Killer {
    let started = moment(state.started_at.as_deref());
    let (Some(started), Some(ended)) = (started, moment(state.finished_at.as_deref())) else {
        return Killer::Unknown;
    };
    let filters = HashMap::from([("container", vec![name]), ("event", ACTIONS.to_vec())]);
    let options = EventsOptionsBuilder::new()
        .since(&(started.unix_timestamp() - BEFORE).to_string())
        .until(&(ended.unix_timestamp() + AFTER).to_string())
        .filters(&filters)
        .build();
    let mut events = pin!(engine.docker().events(Some(options)));
    let told = async {
        let mut remembers = false;
        while let Some(event) = events.next().await {
            let event = event?;
            match event.action.as_deref() {
                Some("start") => remembers = true,
                Some("oom") => return Ok(Killer::Kernel),
                Some("kill") if !is_sigkill(&event) => {}
                Some("kill" | "stop") => return Ok(Killer::Engine),
                _ => {}
            }
        }
        Ok::<_, Error>(if remembers {
            Killer::Kernel
        } else {
            Killer::Unknown
        })
    };
    match timeout(PATIENCE, told).await {
        Ok(Ok(killer)) => killer,
        // A proxy that does not let the question through, or an engine that is busy: no reason to lose what was done.
        Ok(Err(_)) | Err(_) => Killer::Unknown,
    }
}

/// Whether a kill was by SIGKILL; not every engine says by what.
fn is_sigkill(event: &EventMessage) -> bool {
    let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    let signal = attributes.and_then(|all| all.get("signal"));
    signal.is_none_or(|signal| ["", "9", "KILL", "SIGKILL"].contains(&signal.as_str()))
}

/// A moment in the engine's words.
pub(crate) fn moment(text: Option<&str>) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text?, &Rfc3339).ok()
}

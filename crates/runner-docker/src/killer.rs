//! The sender of SIGKILL, when the engine does not report that memory ran out.
//!
//! Docker's `OOMKilled` is a message of containerd, which can be lost for good: it is sent only after the container's
//! start is finished, and before its cgroup is removed (containerd#8893). A program that fills its memory at once, on a
//! busy machine, may run out of it too early or too late for that. Its cgroup, which counts such kills, is gone by
//! then, so nothing is left to read, and the sender has to be inferred. No process of a container can kill its process
//! 1 with SIGKILL. A request to the engine is among the engine's events; what remains is the kernel, or root on the
//! engine's machine.

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

/// How long before the container's start its events are read, in seconds.
const BEFORE: i64 = 1;
/// How long after the end events are awaited, in seconds: the engine reports a kill after it is done.
const AFTER: i64 = 3;
/// How long the engine may take to respond.
const PATIENCE: Duration = Duration::from_secs(10);
/// The events that are read. The start shows whether the engine's memory reaches far enough back: it keeps few events,
/// and loses them at a restart.
const ACTIONS: [&str; 4] = ["start", "oom", "kill", "stop"];

/// The sender of SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Killer {
    /// The engine, on request.
    Engine,
    /// The kernel: the engine had no request. A shell that passes on how its child ended looks the same, and mostly is.
    Kernel,
    /// The engine has no record of it, or its events cannot be read.
    Unknown,
}

/// Returns the sender of the SIGKILL that ended a container, if it was not this runner.
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
    let sender = async {
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
    match timeout(PATIENCE, sender).await {
        Ok(Ok(killer)) => killer,
        // A proxy that denies the request, or a busy engine: no reason to lose what was done.
        Ok(Err(_)) | Err(_) => Killer::Unknown,
    }
}

/// Returns whether a kill was by SIGKILL; not every engine reports the signal.
fn is_sigkill(event: &EventMessage) -> bool {
    let attributes = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    let signal = attributes.and_then(|all| all.get("signal"));
    signal.is_none_or(|signal| ["", "9", "KILL", "SIGKILL"].contains(&signal.as_str()))
}

/// Parses a time of the engine.
pub(crate) fn moment(text: Option<&str>) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text?, &Rfc3339).ok()
}

//! Failures between the runner and the engine, classified by their cause.

use bollard::errors::Error;
use domain::FailureKind;
use ports::RunnerError;

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A retry would fail likewise: the image, the set-up or a permission is at fault.
    Failure(FailureKind),
    /// The engine failed; the outcome is unknown.
    Runner(RunnerError),
}

impl From<RunnerError> for Trouble {
    fn from(error: RunnerError) -> Self {
        Self::Runner(error)
    }
}

/// A call of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineCall {
    /// Inspecting an image, or pulling it.
    Image,
    /// Creating a container.
    Create,
    /// Starting it.
    Start,
    /// Any other call, in the words that follow "could not".
    Other(&'static str),
}

impl EngineCall {
    const fn what(self) -> &'static str {
        match self {
            Self::Image => "ask the container engine about an image",
            Self::Create => "make a container",
            Self::Start => "start the container",
            Self::Other(what) => what,
        }
    }
}

/// How the engine reports an entrypoint or a working directory that the image lacks: the words of runc, crun and
/// Docker.
const NO_PROGRAM: [&str; 8] = [
    "exec:",
    "exec format error",
    "executable file",
    "open executable",
    "chdir to cwd",
    "no command specified",
    "no command or entrypoint",
    "unable to find user",
];
/// How it reports a directory that it does not see.
const NO_MOUNT: [&str; 5] = [
    "bind source path does not exist",
    "invalid mount config",
    "mounting ",
    "statfs ",
    "bind mount",
];

/// Classifies an error response of the engine.
pub(crate) fn sort(asked: EngineCall, error: Error) -> Trouble {
    let Error::DockerResponseServerError { status_code, message } = &error else {
        return Trouble::Runner(RunnerError::new(asked.what(), error));
    };
    let message = plain(message);
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match (asked, status_code) {
        (_, 403) => Trouble::Failure(FailureKind::Forbidden(format!(
            "the container engine's answer was 403 Forbidden ({message}) when asked to {}; a docker-socket-proxy must allow CONTAINERS, IMAGES and POST",
            asked.what()
        ))),
        (EngineCall::Create | EngineCall::Start, _) if says(&NO_MOUNT) => {
            Trouble::Failure(FailureKind::Misconfigured(format!(
                "the container engine cannot use the work directory ({message}); say by host_work_root (OSA_HOST_DATA_DIR) where the engine sees it"
            )))
        }
        (EngineCall::Create | EngineCall::Start, 400 | 404 | 500) if says(&NO_PROGRAM) => {
            Trouble::Failure(FailureKind::ImageUnusable(format!(
                "it could not be started: {message}; mend the image's entrypoint"
            )))
        }
        (EngineCall::Create, 404) => Trouble::Failure(FailureKind::ImageUnusable(format!(
            "it was removed from the container engine: {message}"
        ))),
        (EngineCall::Create, 400) => Trouble::Failure(FailureKind::Misconfigured(format!(
            "the container engine refuses the container: {message}"
        ))),
        _ => Trouble::Runner(RunnerError::new(asked.what(), error)),
    }
}

/// Returns whether the engine reports that the object does not exist.
pub(crate) const fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Returns whether the engine, or a proxy before it, forbids the call.
pub(crate) const fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 403, .. })
}

/// Returns an engine's warning that it will not enforce a limit. A hook without a limit can take the machine down.
pub(crate) fn lost_limit(warnings: &[String]) -> Option<&String> {
    warnings.iter().find(|warning| {
        let lower = warning.to_lowercase();
        let names_one = ["memory limit", "pids limit", "cpu cfs", "resource limits"]
            .iter()
            .any(|limit| lower.contains(limit));
        names_one && (lower.contains("discarded") || lower.contains("ignored"))
    })
}

/// Returns an engine's message as one short line. The page that a proxy responds with is omitted.
pub(crate) fn plain(message: &str) -> String {
    const MOST: usize = 600;
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() || line.starts_with('<') {
        return "no reason given".to_owned();
    }
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(asked: EngineCall, status_code: u16, message: &str) -> String {
        let message = message.to_owned();
        match sort(asked, Error::DockerResponseServerError { status_code, message }) {
            Trouble::Failure(kind) => kind.as_str().to_owned(),
            Trouble::Runner(_) => "runner".to_owned(),
        }
    }

    // proves PIP-4
    #[test]
    fn errors_are_classified_by_their_cause() {
        let runc = r#"failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown"#;
        let crun = "crun: executable file `/nope` not found in $PATH: No such file or directory";
        let bind = r#"invalid mount config for type "bind": bind source path does not exist: /x"#;
        let runc_mount = r#"error mounting "/x" to rootfs at "/osa/in": stat /x: no such file or directory"#;
        for (asked, status, message, kind) in [
            (EngineCall::Start, 400, runc, "image_pull"),
            (EngineCall::Start, 404, runc, "image_pull"),
            (EngineCall::Start, 500, crun, "image_pull"),
            (EngineCall::Create, 400, "No command specified", "image_pull"),
            (EngineCall::Create, 404, "No such image: sha256:a", "image_pull"),
            (EngineCall::Create, 400, bind, "config"),
            (EngineCall::Start, 500, runc_mount, "config"),
            (
                EngineCall::Create,
                500,
                "statfs /x: no such file or directory",
                "config",
            ),
            (EngineCall::Create, 400, "invalid option", "config"),
            (
                EngineCall::Start,
                403,
                "<html><body><h1>403 Forbidden</h1>",
                "rbac",
            ),
            (EngineCall::Image, 403, "", "rbac"),
            (EngineCall::Start, 500, "no space left on device", "runner"),
            (EngineCall::Other("look"), 404, "No such container", "runner"),
        ] {
            assert_eq!(
                sorted(asked, status, message),
                kind,
                "{asked:?} {status} {message}"
            );
        }
        let broken = Error::from(std::io::Error::other("refused"));
        assert!(matches!(sort(EngineCall::Create, broken), Trouble::Runner(_)));
    }

    #[test]
    fn a_limit_that_the_engine_drops_is_found() {
        let swap = "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.";
        let memory = "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
        let rootless = "Resource limits are not supported and ignored on cgroups V1 rootless systems";
        assert_eq!(lost_limit(&[swap.to_owned()]), None);
        for bad in [memory, rootless] {
            assert_eq!(lost_limit(&[swap.to_owned(), bad.to_owned()]).unwrap(), bad);
        }
    }
}

//! The container that a hook or an ingester runs in (WC-5.1, WC-5.2): the sandbox, in the engine's API.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use domain::Limits;
use runner_workdir::NOBODY;

use crate::engine::OWNER_LABEL;
use crate::image::Image;

/// The maximum number of concurrent processes (WC-5.1).
const MAX_PROCESSES: i64 = 256;
/// The options of a hook's `/tmp` (WC-5.1). runc before 1.2 ignores the mode and uses that of the image's own `/tmp`,
/// so an image with a `/tmp` must have it open, as most do.
const TMP: &str = "rw,noexec,nosuid,size=100m,mode=1777";
/// The size of `/dev/shm`. It counts as memory, so this limit only keeps it in proportion.
const SHM_BYTES: i64 = 64 * 1024 * 1024;
/// The minimum memory limit that Docker accepts.
const MIN_MEMORY: u64 = 6 * 1024 * 1024;
/// The kernel's default period for processor time, in microseconds.
const CPU_PERIOD: i64 = 100_000;
/// How much of the log the engine stores at least, in multiples of what the runner keeps; it stores at most twice as
/// much. The engine's format makes a line of ten bytes a line of ninety.
const LOG_FACTOR: usize = 8;

/// The directories to bind, as the engine sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// `/osa/in`, read-only.
    pub(crate) input: &'a Path,
    /// `/osa/out`, writable.
    pub(crate) out: &'a Path,
    /// `/osa/files`: read-only for hooks, writable for ingesters.
    pub(crate) files: &'a Path,
}

/// A hook or an ingester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role<'a> {
    /// A hook.
    Hook,
    /// An ingester, with its network.
    Ingester(&'a str),
}

/// A container to create, and its limits.
pub(crate) struct Sandbox<'a> {
    pub(crate) role: Role<'a>,
    pub(crate) image: &'a Image,
    pub(crate) limits: Limits,
    pub(crate) places: Places<'a>,
    /// The environment besides the paths.
    pub(crate) environment: &'a [(&'static str, String)],
    pub(crate) owner: &'a str,
    /// The run or task, for people who inspect the engine.
    pub(crate) unit: String,
    pub(crate) most_log_bytes: usize,
    /// The maximum size of a file.
    pub(crate) most_file_bytes: u64,
}

impl Sandbox<'_> {
    /// Returns the request that creates the container.
    pub(crate) fn body(&self) -> ContainerCreateBody {
        let paths = ["IN", "OUT", "FILES"].map(|name| format!("OSA_{name}=/osa/{}", name.to_lowercase()));
        let more = self
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let labels = [
            (OWNER_LABEL, self.owner.to_owned()),
            ("org.hallmark.unit", self.unit.clone()),
        ];
        ContainerCreateBody {
            image: Some(self.image.id.clone()),
            // Entrypoint, command and working directory are those of the image.
            env: Some(paths.into_iter().chain(more).collect()),
            user: matches!(self.role, Role::Hook).then(|| format!("{NOBODY}:{NOBODY}")),
            labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
            // The image's health check would be a second program that runs beside the hook.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            // The contract promises no grace period to a container that is stopped from outside.
            stop_timeout: Some(1),
            host_config: Some(self.host()),
            ..ContainerCreateBody::default()
        }
    }

    fn host(&self) -> HostConfig {
        let memory = to_i64(self.limits.memory.bytes().max(MIN_MEMORY));
        let network = match self.role {
            Role::Hook => "none",
            Role::Ingester(network) => network,
        };
        let hook = self.role == Role::Hook;
        HostConfig {
            network_mode: Some(network.to_owned()),
            readonly_rootfs: Some(hook),
            tmpfs: hook.then(|| self.tmpfs()),
            mounts: Some(self.mounts()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            pids_limit: Some(MAX_PROCESSES),
            memory: Some(memory),
            // As much swap as memory minus memory: none.
            memory_swap: Some(memory),
            // What `NanoCpus` becomes in the kernel. An engine with fewer cores refuses `NanoCpus`, and a limit that is
            // never reached is no reason not to run.
            cpu_period: Some(CPU_PERIOD),
            cpu_quota: Some(i64::from(self.limits.cpu.millicores()) * CPU_PERIOD / 1000),
            // A file that was removed is in no directory that could be measured.
            ulimits: Some(vec![ResourcesUlimits {
                name: Some("fsize".to_owned()),
                soft: Some(to_i64(self.most_file_bytes)),
                hard: Some(to_i64(self.most_file_bytes)),
            }]),
            shm_size: Some(SHM_BYTES),
            ipc_mode: Some("private".to_owned()),
            // The entrypoint is process 1, as an image's author tests it. An init would be the engine's own program,
            // which not every engine has; a zombie lives no longer than the container, and SIGKILL needs no handler.
            init: Some(false),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            log_config: Some(self.log()),
            ..HostConfig::default()
        }
    }

    /// Returns `Mounts` and not `Binds`: those are split at colons, and Docker creates a missing source as an empty
    /// directory.
    fn mounts(&self) -> Vec<Mount> {
        let bind = |source: &Path, target: &str, read_only: bool| Mount {
            typ: Some(MountType::BIND),
            source: Some(source.to_string_lossy().into_owned()),
            target: Some(target.to_owned()),
            read_only: Some(read_only),
            ..Mount::default()
        };
        vec![
            bind(self.places.input, "/osa/in", true),
            bind(self.places.out, "/osa/out", false),
            bind(self.places.files, "/osa/files", self.role == Role::Hook),
        ]
    }

    /// Returns a hook's `/tmp`, and the same in place of the volumes that its image declares: with those it could fill
    /// the engine's disk.
    fn tmpfs(&self) -> HashMap<String, String> {
        let declared = self.image.volumes.iter().map(|path| path.trim_end_matches('/'));
        let free = declared.filter(|path| path.starts_with('/') && !path.starts_with("/osa/"));
        std::iter::once("/tmp")
            .chain(free)
            .map(|path| (path.to_owned(), TMP.to_owned()))
            .collect()
    }

    /// Returns the log's configuration. The engine stores the printed output, and the runner reads it at the end: a
    /// proxy may close a connection that carries it during the run, and the output meanwhile would be lost.
    /// `json-file`, because every engine has a driver of this name (Podman has another one under it, and has no
    /// `local`), within bounds. Two files, because a single one is emptied when it is full, and the last lines count.
    fn log(&self) -> HostConfigLogConfig {
        let options = [
            (
                "max-size",
                (self.most_log_bytes.max(4096) * LOG_FACTOR).to_string(),
            ),
            ("max-file", "2".to_owned()),
        ];
        HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(options.map(|(name, value)| (name.to_owned(), value)).into()),
        }
    }
}

fn to_i64(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox<'a>(role: Role<'a>, image: &'a Image) -> Sandbox<'a> {
        Sandbox {
            role,
            image,
            limits: Limits::parse(10, "4m", "0.5").unwrap(),
            places: Places {
                input: Path::new("/h/in"),
                out: Path::new("/h/out"),
                files: Path::new("/h/files"),
            },
            environment: &[],
            owner: "me",
            unit: "1".to_owned(),
            most_log_bytes: 1 << 20,
            most_file_bytes: 3 << 20,
        }
    }

    // proves PIP-4
    #[test]
    fn volumes_that_an_image_declares_are_memory_in_a_hook() {
        let image = Image {
            id: "sha256:a".into(),
            volumes: ["/data/", "/tmp", "/osa/out", "odd", "/"].map(Into::into).into(),
        };
        let host = sandbox(Role::Hook, &image).body().host_config.unwrap();
        let mut paths: Vec<String> = host.tmpfs.unwrap().into_keys().collect();
        paths.sort();
        assert_eq!(paths, ["/data", "/tmp"]);
        assert_eq!(host.memory, Some(6 << 20));
        let of_files = &host.ulimits.unwrap()[0];
        assert_eq!(
            (of_files.name.as_deref(), of_files.soft, of_files.hard),
            (Some("fsize"), Some(3 << 20), Some(3 << 20))
        );
        assert_eq!(
            (host.cpu_quota, host.cpu_period, host.nano_cpus),
            (Some(50_000), Some(100_000), None)
        );
        let ingester = sandbox(Role::Ingester("bridge"), &image).body();
        let host = ingester.host_config.unwrap();
        assert_eq!(
            (ingester.user, host.tmpfs, host.readonly_rootfs),
            (None, None, Some(false))
        );
        assert_eq!(host.network_mode.unwrap(), "bridge");
    }
}

//! The container that a hook or an ingester runs in (WC-5.1, WC-5.2): the sandbox, in the engine's words.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, RestartPolicy,
    RestartPolicyNameEnum,
};
use domain::Limits;
use runner_workdir::NOBODY;

use crate::engine::OWNER_LABEL;
use crate::image::Image;

/// The most processes at once (WC-5.1).
const MAX_PROCESSES: i64 = 256;
/// A hook's `/tmp` (WC-5.1). The mode is said; a runc of before 1.2 gives it that of the image's own `/tmp` all the same, so
/// an image that has one must have it open, as images mostly do.
const TMP: &str = "rw,noexec,nosuid,size=100m,mode=1777";
/// `/dev/shm`; it counts as memory, so this only keeps it in proportion.
const SHM_BYTES: i64 = 64 * 1024 * 1024;
/// Docker refuses less.
const MIN_MEMORY: u64 = 6 * 1024 * 1024;
/// The kernel's usual period for processor time, in microseconds.
const CPU_PERIOD: i64 = 100_000;
/// How much of the log the engine keeps at least, and with it at most twice as much, in multiples of what the runner keeps: the
/// engine's format makes a line of ten bytes a line of ninety.
const LOG_FACTOR: usize = 8;

/// Where a container finds what, as the engine sees the directories.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// `/osa/in`, to read.
    pub(crate) input: &'a Path,
    /// `/osa/out`, to write.
    pub(crate) out: &'a Path,
    /// `/osa/files`: for hooks to read, for ingesters to write.
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

/// What is run, and how much it may use.
pub(crate) struct Sandbox<'a> {
    pub(crate) role: Role<'a>,
    pub(crate) image: &'a Image,
    pub(crate) limits: Limits,
    pub(crate) places: Places<'a>,
    /// What its environment has besides the paths.
    pub(crate) environment: &'a [(&'static str, String)],
    pub(crate) owner: &'a str,
    /// The run or task, for people who look at the engine.
    pub(crate) unit: String,
    pub(crate) most_log_bytes: usize,
}

impl Sandbox<'_> {
    /// The container to make.
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
            // Entrypoint, command and working directory are the image's.
            env: Some(paths.into_iter().chain(more).collect()),
            user: matches!(self.role, Role::Hook).then(|| format!("{NOBODY}:{NOBODY}")),
            labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
            // The image's health check would be a second program that runs beside the hook.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            // Nothing in the contract promises time to end well to a container that is stopped from outside.
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
            // What `NanoCpus` becomes in the kernel. Said so, because an engine with fewer cores refuses `NanoCpus`, and a limit
            // that is never reached is no reason not to run.
            cpu_period: Some(CPU_PERIOD),
            cpu_quota: Some(i64::from(self.limits.cpu.millicores()) * CPU_PERIOD / 1000),
            shm_size: Some(SHM_BYTES),
            ipc_mode: Some("private".to_owned()),
            // The entrypoint is process 1, as an image's author tests it. An init in its place would be the engine's own program, which
            // not every engine has; a zombie lives no longer than the container, and SIGKILL needs no handler.
            init: Some(false),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            log_config: Some(self.log()),
            ..HostConfig::default()
        }
    }

    /// `Mounts` and not `Binds`: those are cut at colons, and Docker makes a source that does not exist as an empty directory.
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

    /// A hook's `/tmp`; and the same in place of the volumes that its image declares, which would be a part of the engine's disk that
    /// it may fill.
    fn tmpfs(&self) -> HashMap<String, String> {
        let declared = self.image.volumes.iter().map(|path| path.trim_end_matches('/'));
        let free = declared.filter(|path| path.starts_with('/') && !path.starts_with("/osa/"));
        std::iter::once("/tmp")
            .chain(free)
            .map(|path| (path.to_owned(), TMP.to_owned()))
            .collect()
    }

    /// What the container prints is kept by the engine and read at its end: a connection that carries it while it runs breaks with the
    /// first proxy that loses patience, and what is printed meanwhile is lost. `json-file`, because every engine has it under this
    /// name (Podman's is another under the same; `local` it does not know), within bounds. Two files, because a single one is
    /// emptied when it is full, and the last lines are those that count.
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

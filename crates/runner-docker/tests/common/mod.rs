//! What the tests of this crate share: an engine if one answers, images made of a static busybox and a script, and jobs.
#![expect(dead_code, reason = "each test file uses its own part")]
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]

pub(crate) mod fake;
pub(crate) mod net;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use domain::{Digest, Limits, ReleaseId, RunId, TaskId};
use futures::StreamExt as _;
use ports::{Attempt, HookJob, HookRecord, PullJob, Runner as _};
use runner_docker::{DockerRunner, DockerRunnerOptions};
use serde_json::{Map, Value, json};

/// Every record passes, and a line is printed.
pub(crate) const PASS_ALL: &str = r#"sed 's/.*"id":"\([^"]*\)".*/{"id":"\1","features":[]}/' "$OSA_IN/records.jsonl" > "$OSA_OUT/features.jsonl"; echo done"#;
/// The record `b` passes.
pub(crate) const PASS_B: &str = r#"echo '{"id":"b","features":[]}' > "$OSA_OUT/features.jsonl""#;
/// What [`PASS_B`] writes.
pub(crate) const B_PASSED: &str = "{\"id\":\"b\",\"features\":[]}\n";

/// A work root, and what is made on the engine; all of it is removed when dropped.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    pub(crate) docker: Docker,
    pub(crate) host: String,
    pub(crate) owner: String,
    images: Mutex<Vec<String>>,
}

impl Place {
    /// A place, if an engine answers.
    pub(crate) async fn new() -> Option<Self> {
        let host = test_needs::engine_host();
        let docker = Docker::connect_with_host(&host).ok();
        let answers = match &docker {
            Some(docker) => docker.ping().await.is_ok(),
            None => false,
        };
        let Some(docker) = docker.filter(|_| answers) else {
            test_needs::left_out("a container engine");
            return None;
        };
        Some(Self {
            dir: tempfile::tempdir().unwrap(),
            docker,
            host,
            owner: format!("test-{}", uuid::Uuid::new_v4()),
            images: Mutex::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn work_root(&self) -> PathBuf {
        self.path().join("work")
    }

    pub(crate) fn options(&self) -> DockerRunnerOptions {
        DockerRunnerOptions {
            docker_host: Some(self.host.clone()),
            ..DockerRunnerOptions::new(self.work_root(), self.owner.clone())
        }
    }

    pub(crate) async fn runner(&self) -> DockerRunner {
        DockerRunner::new(self.options()).await.unwrap()
    }

    /// An image that is this shell script.
    pub(crate) async fn script(&self, body: &str) -> Image {
        let entrypoint = json!(["/bin/sh", "-c", body]);
        self.image(&[format!("ENTRYPOINT {entrypoint}")]).await
    }

    /// An image that runs these programs in Perl, one after the other, if this machine has Perl and says its libraries.
    /// Before each it prints `== ` and its name.
    pub(crate) async fn perl(&self, programs: &[(&str, &str)]) -> Option<Image> {
        let Some(tar) = perl_tar(programs) else {
            test_needs::left_out("perl, or ldd");
            return None;
        };
        let script =
            r#"exec 2>&1; for p in /programs/*; do echo "== ${p#/programs/}"; /usr/bin/perl "$p"; done"#;
        let entrypoint = json!(["/bin/sh", "-c", script]);
        Some(self.import(tar, &[format!("ENTRYPOINT {entrypoint}")]).await)
    }

    /// An image of busybox with these further settings.
    pub(crate) async fn image(&self, changes: &[String]) -> Image {
        self.import(root_tar().to_vec(), changes).await
    }

    /// An image of a root file system.
    async fn import(&self, tar: Vec<u8>, changes: &[String]) -> Image {
        // A registry that does not exist: an attempt to pull ends at once.
        let repository = format!("localhost:1/hallmark-test/{}", uuid::Uuid::new_v4());
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .changes(changes.to_vec())
            .build();
        let body = bollard::body_full(tar.into());
        let mut steps = self.docker.create_image(Some(options), Some(body), None);
        let mut id = String::new();
        while let Some(step) = steps.next().await {
            let step = step.unwrap();
            id = step.id.or(step.status).unwrap_or(id);
        }
        // Podman names an imported image otherwise than it is asked to.
        let tag = TagImageOptionsBuilder::new().repo(&repository).tag("1").build();
        self.docker.tag_image(id.trim(), Some(tag)).await.unwrap();
        let reference = format!("{repository}:1");
        let id = self.docker.inspect_image(&reference).await.unwrap().id.unwrap();
        self.forget_later(&reference);
        Image {
            reference,
            digest: id.parse().unwrap(),
        }
    }

    /// Has an image removed with this place.
    pub(crate) fn forget_later(&self, reference: &str) {
        self.images.lock().unwrap().push(reference.to_owned());
    }

    pub(crate) fn attempts_left(&self) -> usize {
        fs::read_dir(self.work_root()).unwrap().count()
    }

    /// The containers of this place's owner, in any state.
    pub(crate) async fn containers(&self) -> Vec<String> {
        let label = format!("org.hallmark.owner={}", self.owner);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&HashMap::from([("label", vec![label])]))
            .build();
        let all = self.docker.list_containers(Some(options)).await.unwrap();
        all.into_iter().filter_map(|container| container.id).collect()
    }

    /// Waits until the owner has so many containers, of which one runs if there are any.
    pub(crate) async fn until_containers(&self, count: usize) -> Vec<String> {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.containers().await;
            if found.len() == count {
                return found;
            }
            assert!(
                Instant::now() < patience,
                "{count} containers within 20 s: {found:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nothing of an attempt is left, neither on disk nor on the engine.
    pub(crate) async fn assert_clean(&self) {
        assert_eq!(self.attempts_left(), 0);
        assert_eq!(self.containers().await, Vec::<String>::new());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (host, label) = (self.host.clone(), format!("org.hallmark.owner={}", self.owner));
        let images = std::mem::take(&mut *self.images.lock().unwrap());
        // A test's own runtime cannot be waited for here.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let docker = Docker::connect_with_host(&host).unwrap();
                let filters = HashMap::from([("label", vec![label])]);
                let options = ListContainersOptionsBuilder::new()
                    .all(true)
                    .filters(&filters)
                    .build();
                let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                for found in docker.list_containers(Some(options)).await.unwrap_or_default() {
                    let _ = docker
                        .remove_container(&found.id.unwrap_or_default(), Some(force.clone()))
                        .await;
                }
                let force = RemoveImageOptionsBuilder::new().force(true).build();
                for image in images {
                    let _ = docker.remove_image(&image, Some(force.clone()), None).await;
                }
            });
        });
        let _ = cleaning.join();
    }
}

pub(crate) struct Image {
    pub(crate) reference: String,
    pub(crate) digest: Digest,
}

/// The root file system of all images: a static busybox under all its names, as a tar.
pub(crate) fn root_tar() -> &'static [u8] {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        add_busybox(dir.path());
        tar_of(dir.path())
    })
}

/// The same with Perl, and with these programs in `/programs`.
fn perl_tar(programs: &[(&str, &str)]) -> Option<Vec<u8>> {
    let perl = test_needs::program(&["perl"])?;
    let libraries = Command::new("ldd").arg(&perl).output().ok()?;
    let dir = tempfile::tempdir().unwrap();
    add_busybox(dir.path());
    let copy = |from: &Path, to: &str| {
        let target = dir.path().join(to.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from, target).unwrap();
    };
    copy(&perl, "/usr/bin/perl");
    for library in text(&libraries.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        copy(Path::new(library), library);
    }
    fs::create_dir(dir.path().join("programs")).unwrap();
    for (name, program) in programs {
        fs::write(dir.path().join("programs").join(name), program).unwrap();
    }
    Some(tar_of(dir.path()))
}

fn add_busybox(root: &Path) {
    let bin = root.join("bin");
    fs::create_dir(&bin).unwrap();
    let Some(busybox) = test_needs::busybox() else {
        panic!("these tests make images of a static busybox; install it (Debian: busybox-static)")
    };
    fs::copy(&busybox, bin.join("busybox")).unwrap();
    let names = Command::new(&busybox).arg("--list").output().unwrap().stdout;
    for name in text(&names).lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
    }
}

fn tar_of(root: &Path) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--mode=a+rX,u+w", "-C"])
        .arg(root)
        .args(["-cf", "-", "."]);
    let made = tar.output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    made.stdout
}

/// Whether a program needs no interpreter: no `PT_INTERP` names one near its start.
fn is_static(path: &str) -> bool {
    let start = fs::read(path).unwrap_or_default();
    let head = &start[..start.len().min(4096)];
    !head.is_empty()
        && !head
            .windows(8)
            .any(|window| window == b"/ld-linu" || window == b"/ld-musl")
}

pub(crate) fn job(image: &Image) -> HookJob {
    HookJob {
        run: RunId::from_uuid(uuid::Uuid::new_v4()),
        hook: "the_hook".parse().unwrap(),
        release: ReleaseId::from_uuid(uuid::Uuid::new_v4()),
        image: image.reference.clone(),
        digest: image.digest.clone(),
        config: Map::new(),
        limits: Limits::parse(60, "256m", "2").unwrap(),
        files: None,
        records: vec![record("a:1@2", json!({"x": 1})), record("b", json!({"y": "ü"}))],
    }
}

pub(crate) fn limited(image: &Image, seconds: i64, memory: &str) -> HookJob {
    HookJob {
        limits: Limits::parse(seconds, memory, "2").unwrap(),
        ..job(image)
    }
}

pub(crate) fn pull_job(image: &Image) -> PullJob {
    PullJob {
        task: TaskId::from_uuid(uuid::Uuid::new_v4()),
        convention: "the-convention".parse().unwrap(),
        image: image.reference.clone(),
        digest: image.digest.clone(),
        config: Map::new(),
        limits: Limits::parse(60, "256m", "2").unwrap(),
        session: None,
        limit: 7,
        since: None,
        offset: 0,
    }
}

pub(crate) fn record(id: &str, metadata: Value) -> HookRecord {
    let Value::Object(metadata) = metadata else {
        panic!("an object")
    };
    HookRecord {
        id: id.parse().unwrap(),
        metadata,
        size_hint_mb: 0.5,
    }
}

pub(crate) async fn run(runner: &DockerRunner, job: &HookJob) -> Attempt {
    runner.run(job).await.unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until the condition holds; panics after `seconds`.
pub(crate) async fn eventually(seconds: u64, what: &str, mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(seconds);
    while !condition() {
        assert!(Instant::now() < patience, "{what} within {seconds} s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

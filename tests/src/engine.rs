//! A container engine, and images that are made of what this machine has.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// A container engine, through its command-line client.
pub struct Engine {
    pub host: String,
    images: Vec<String>,
}

impl Engine {
    /// The engine for tests, if one answers.
    pub fn find() -> Option<Self> {
        let host = test_needs::engine_host();
        let this = Self {
            host,
            images: Vec::new(),
        };
        let answer = Command::new("docker")
            .args(["--host", &this.host, "version"])
            .output();
        if answer.is_ok_and(|answer| answer.status.success()) {
            return Some(this);
        }
        test_needs::left_out("a container engine");
        None
    }

    /// What the client says to this; it must succeed.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let done = Command::new("docker")
            .args(["--host", &self.host])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// An image of a root file system; gives its name and its id.
    pub fn import(&mut self, system: &Path, name: &str) -> [String; 2] {
        let tag = format!("{name}-{}:latest", std::process::id());
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(system)
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let done = Command::new("docker")
            .args([
                "--host",
                &self.host,
                "import",
                "--change",
                "ENTRYPOINT [\"/program\"]",
                "-",
                &tag,
            ])
            .stdin(tar.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(
            tar.wait().unwrap().success() && done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let id = self.docker(&["image", "inspect", "--format", "{{.Id}}", &tag]);
        self.images.push(tag.clone());
        [tag, id]
    }

    /// The containers of a server, in any state.
    pub fn containers(&self, data: &Path) -> usize {
        let owner = std::fs::read_to_string(data.join("worker")).unwrap();
        let filter = format!("label=org.hallmark.owner={}", owner.trim());
        self.docker(&["ps", "--all", "--quiet", "--filter", &filter])
            .lines()
            .count()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for image in &self.images {
            let _ = Command::new("docker")
                .args(["--host", &self.host, "image", "rm", "--force", image])
                .output();
        }
    }
}

/// A root file system of a static busybox and a program, if this machine has one.
pub fn busybox_system(program: &str) -> Option<tempfile::TempDir> {
    let Some(busybox) = test_needs::busybox() else {
        test_needs::left_out("busybox, of which images are made (Debian: busybox-static),");
        return None;
    };
    let system = tempfile::tempdir().unwrap();
    let bin = system.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::copy(&busybox, bin.join("busybox")).unwrap();
    let names = Command::new(&busybox).arg("--list").output().unwrap().stdout;
    for name in String::from_utf8(names)
        .unwrap()
        .lines()
        .filter(|name| *name != "busybox")
    {
        symlink("busybox", bin.join(name)).unwrap();
    }
    let file = system.path().join("program");
    std::fs::write(&file, program).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    Some(system)
}

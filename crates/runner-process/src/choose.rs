//! Which sandbox hooks run in: the first of the wanted ones that a trial shows to work.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use domain::Limits;
use ports::RunnerError;
use runner_workdir::{Done, WorkDir, writing};

use crate::attempt::{Inner, owner};
use crate::launch::{Isolation, Launcher};
use crate::options::{SandboxKind, UseSandbox};
use crate::program::Program;

/// The name of the program with which a sandbox is tried out.
const TRIAL: &str = "trial";

impl Inner {
    /// Chooses the first kind of sandbox that works.
    pub(crate) fn choose(&mut self) {
        let mut why = None;
        let kinds = match self.options.sandbox {
            UseSandbox::None => Vec::new(),
            UseSandbox::Auto | UseSandbox::Required => self.options.kinds.clone(),
        };
        for kind in kinds {
            for way in Launcher::ways(kind, &self.options) {
                self.launcher = Launcher::new(way, &self.options);
                match self.try_out() {
                    Ok(()) => return,
                    Err(reason) => why = Some((kind, reason)),
                }
            }
            // Installing it said that hooks are to be in it: what is wrong with it must show, and not hooks elsewhere.
            if matches!(why, Some((SandboxKind::Bubblewrap, _))) {
                break;
            }
        }
        if let Some((kind, reason)) = &why {
            tracing::warn!(?kind, reason, "a sandbox for hooks does not work on this machine");
        }
        let isolation = match (self.options.sandbox, why) {
            (UseSandbox::None, _) | (UseSandbox::Auto, None | Some((SandboxKind::Landlock, _))) => {
                Isolation::None
            }
            (_, Some((SandboxKind::Bubblewrap, _))) => Isolation::Refused(
                "bubblewrap is installed and does not work here (the server's log has the reason); make it work, or remove it, or set runner.sandbox = none to run hooks without a sandbox"
                    .to_owned(),
            ),
            (UseSandbox::Required, _) => Isolation::Refused(
                "no sandbox works here; install bubblewrap, or use a kernel with Landlock and user namespaces, or set runner.sandbox = none to run hooks without a sandbox"
                    .to_owned(),
            ),
        };
        self.launcher = Launcher::new(isolation, &self.options);
    }

    /// Runs a program that does nothing, as a hook would be run: kernels and container engines forbid namespaces in
    /// many ways. Returns why that failed.
    fn try_out(&self) -> Result<(), String> {
        let tried = || -> Result<Done, RunnerError> {
            let failed = |e: io::Error| RunnerError::new("make a work directory", e);
            let lease = self.lease()?;
            let work = WorkDir::empty(&self.options.work_root, owner(lease.as_ref())).map_err(failed)?;
            let image = work.part("image").join(TRIAL);
            {
                let _lock = writing();
                fs::write(&image, "#!/bin/sh\nexit 0\n").map_err(failed)?;
            }
            fs::set_permissions(&image, Permissions::from_mode(0o555)).map_err(failed)?;
            let program = Program {
                name: TRIAL,
                staged: None,
                ingester: false,
                environment: Vec::new(),
            };
            let limits = Limits::parse(20, "512m", "1").map_err(|_| failed(io::Error::other("no limits")))?;
            // Held until the end: the trial is not cancelled.
            let (cancel, _alive) = io::pipe().map_err(failed)?;
            self.run(&work, &program, limits, lease.as_ref(), &cancel)
        };
        match tried() {
            Ok(Done { failure: None, .. }) => Ok(()),
            Ok(done) => Err(format!(
                "{} {}",
                done.failure
                    .map(|failure| failure.to_string())
                    .unwrap_or_default(),
                String::from_utf8_lossy(&done.log).trim()
            )),
            Err(error) => Err(format!("{error}: {}", error.source)),
        }
    }
}

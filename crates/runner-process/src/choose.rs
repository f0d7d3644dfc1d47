//! Which sandbox hooks run in, and which network ingesters have: the first wanted ones that a trial shows to work.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use domain::Limits;
use ports::RunnerError;
use runner_workdir::{Done, WorkDir, writing};

use crate::attempt::{Inner, owner};
use crate::launch::{Isolation, Launcher};
use crate::network::{Helper, Network};
use crate::options::{IngesterNetwork, SandboxKind, UseSandbox};
use crate::program::Program;

/// The name of the program with which a sandbox is tried out.
const TRIAL: &str = "trial";

impl Inner {
    /// Chooses the first kind of sandbox that works, and the network of ingesters in it.
    pub(crate) fn choose(&mut self) {
        self.choose_sandbox();
        let wanted = self.options.ingester_network;
        let why = match wanted {
            IngesterNetwork::Host => "runner.local_ingester_network is host".to_owned(),
            IngesterNetwork::Auto | IngesterNetwork::Isolated => match self.choose_helper() {
                Ok(()) => return,
                Err(why) => why,
            },
        };
        if wanted == IngesterNetwork::Auto && self.launcher.is_sandbox() {
            tracing::warn!(
                why,
                "ingesters share the network of this machine, its loopback included"
            );
        }
        self.launcher.network = match wanted {
            IngesterNetwork::Isolated => Network::Refused(format!(
                "{why}; install pasta (package passt) or slirp4netns and start the server again, or run ingesters as containers, or set runner.local_ingester_network = auto to let them share the machine's network"
            )),
            IngesterNetwork::Auto | IngesterNetwork::Host => Network::Host(why),
        };
    }

    /// Gives ingesters a network of their own by the first helper that works. Returns why there is none.
    fn choose_helper(&mut self) -> Result<(), String> {
        if !self.launcher.is_sandbox() {
            return Err("a network of their own needs a sandbox".to_owned());
        }
        if !self.launcher.has_supervisor() {
            return Err("a network of their own needs a supervisor".to_owned());
        }
        let mut why = "neither pasta nor slirp4netns is installed".to_owned();
        for helper in Helper::all(&self.options) {
            let name = helper.kind.program();
            self.launcher.network = Network::Own(helper);
            match self.try_out(true) {
                Ok(()) => return Ok(()),
                Err(reason) => {
                    tracing::warn!(
                        helper = name,
                        reason,
                        "a network of ingesters' own does not work on this machine"
                    );
                    why = format!(
                        "{name} is installed and does not work here (the server's log has the reason)"
                    );
                }
            }
        }
        Err(why)
    }

    /// Chooses the first kind of sandbox that works.
    fn choose_sandbox(&mut self) {
        let mut why = None;
        let kinds = match self.options.sandbox {
            UseSandbox::None => Vec::new(),
            UseSandbox::Auto | UseSandbox::Required => self.options.kinds.clone(),
        };
        for kind in kinds {
            for way in Launcher::ways(kind, &self.options) {
                self.launcher = Launcher::new(way, &self.options);
                match self.try_out(false) {
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
    /// many ways. With `ingester`, as an ingester would be. Returns why that failed.
    fn try_out(&self, ingester: bool) -> Result<(), String> {
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
                ingester,
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

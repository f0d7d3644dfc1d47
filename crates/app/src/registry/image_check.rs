//! Looking at images when they are released, so that an image that cannot run is refused to those who can correct it.
//!
//! A release whose content exists at this location is not refused: its image was checked when it was new, and nothing
//! changes. That is known only under the hook's lock, and no file is read under it. So an image is looked at before, and
//! the finding counts only if the release or its location turns out to be new.

use std::sync::Arc;

use domain::registry::convention::DeployPlan;
use domain::{Digest, Fault, Invalid, Loc, NewRelease};
use ports::Runner;
use tokio::sync::Semaphore;

use crate::failure::Failure;

/// The maximum number of images that are read at once.
const AT_ONCE: usize = 2;

/// Whether images are looked at when they are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageCheck {
    /// They are, by the runner of this server.
    Now,
    /// They are not: this server does not run them.
    Skip,
}

/// Looks at images. Shared by the use cases that release.
pub(crate) struct Images {
    runner: Arc<dyn Runner>,
    turns: Semaphore,
}

/// What is wrong with the images of a deploy, as far as it has new ones.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// One per hook, in the order of the plan.
    pub(crate) hooks: Vec<Option<Invalid>>,
    pub(crate) ingester: Option<Invalid>,
}

impl Images {
    pub(crate) fn new(runner: Arc<dyn Runner>) -> Self {
        Self {
            runner,
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Returns what is wrong with the image of a release.
    pub(crate) async fn of_release(&self, check: ImageCheck, release: &NewRelease) -> Option<Invalid> {
        self.examine(check, &release.image, &release.content.digest).await
    }

    /// Returns what is wrong with the images of a deploy.
    pub(crate) async fn of_plan(&self, check: ImageCheck, plan: &DeployPlan) -> Findings {
        let mut findings = Findings::default();
        for (index, hook) in plan.hooks.iter().enumerate() {
            let at = [Loc::from("hooks"), index.into(), "release".into()];
            let found = self.of_release(check, &hook.release).await;
            findings.hooks.push(found.map(|invalid| invalid.under(&at)));
        }
        if let Some(ingester) = &plan.ingester
            // A digest that is none was refused before.
            && let Ok(digest) = ingester.digest.parse::<Digest>()
        {
            let at = [Loc::from("ingester"), "release".into()];
            let found = self.examine(check, &ingester.image, &digest).await;
            findings.ingester = found.map(|invalid| invalid.under(&at));
        }
        findings
    }

    async fn examine(&self, check: ImageCheck, image: &str, digest: &Digest) -> Option<Invalid> {
        if check == ImageCheck::Skip {
            return None;
        }
        // It is never closed.
        let _turn = self.turns.acquire().await.ok();
        match self.runner.examine(image, digest).await {
            Ok(found) => found.map(|why| {
                let message = format!("cannot be run: {why}. With ?check=false images are not looked at");
                Invalid::one(Fault::value(["image".into()], message))
            }),
            // The image is checked again before it runs.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an image could not be looked at"
                );
                None
            }
        }
    }
}

/// Refuses a new release, location or ingester for what is wrong with its image.
pub(crate) fn refuse(finding: Option<&Invalid>) -> Result<(), Failure> {
    match finding {
        Some(invalid) => Err(invalid.clone().into()),
        None => Ok(()),
    }
}

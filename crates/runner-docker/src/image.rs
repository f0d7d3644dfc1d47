//! Resolves an image's reference and digest to the image that the engine will run (PIP-5, WC-D18).

use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use domain::{Digest, FailureKind};
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::reference::Reference;
use crate::trouble::{EngineCall, Trouble, is_missing, plain, sort};

/// An image that the engine has, and that the release's digest names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// The engine's id of it, from which containers are created: a tag may point elsewhere a moment later.
    pub(crate) id: String,
    /// The directories that it declares as volumes.
    pub(crate) volumes: Vec<String>,
}

/// Finds the image that `digest` names, on the engine or by pulling it.
pub(crate) async fn resolve(
    engine: &Engine,
    image: &str,
    digest: &Digest,
    pull_timeout: Duration,
) -> Result<Image, Trouble> {
    if image.starts_with("file:") {
        return Err(unusable(format!(
            "{image:?} is a file, and this server runs container images; release the hook with an image like ghcr.io/lab/hook:1 and its digest"
        )));
    }
    if !matches!(digest.algorithm(), "sha256" | "sha512") {
        return Err(unusable(format!(
            "container engines know no {} digests; release the hook with the sha256: digest of its image",
            digest.algorithm()
        )));
    }
    // osa-py's digest of a local image is its id.
    if let Some(found) = inspect(engine, digest.as_str()).await?
        && found.id.as_deref().is_some_and(|id| same_id(id, digest.as_str()))
    {
        return known(found);
    }
    let Some(reference) = Reference::parse(image) else {
        return Err(unusable(format!(
            "{image:?} is no reference of an image, and the engine has no image with the id {digest}; release the hook with an image like ghcr.io/lab/hook:1"
        )));
    };
    let pinned = format!("{}@{digest}", reference.repository());
    if let Some(found) = pinned_image(engine, &pinned, digest).await? {
        return known(found);
    }
    let why = match timeout(pull_timeout, pull(engine, &pinned, pull_timeout)).await {
        Ok(Ok(())) => match pinned_image(engine, &pinned, digest).await? {
            Some(found) => return known(found),
            None => "what was pulled has another digest".to_owned(),
        },
        Ok(Err(error)) => why_not_pulled(error)?,
        Err(_) => format!("pulling it took more than {} s", pull_timeout.as_secs()),
    };
    let elsewhere = match inspect(engine, &reference.to_string()).await? {
        Some(found) => format!(
            "; on this engine {reference} is another image: {}",
            names(&found).join(", ")
        ),
        None => String::new(),
    };
    Err(unusable(format!(
        "no image {pinned} and none with the id {digest} is on the engine, and it could not be pulled ({why}){elsewhere}; push or build the released image, release it again from where it is now, or release what is there"
    )))
}

fn unusable(why: String) -> Trouble {
    Trouble::Failure(FailureKind::ImageUnusable(why))
}

/// Returns what the engine knows of an image, if it has it.
async fn inspect(engine: &Engine, name: &str) -> Result<Option<ImageInspect>, Trouble> {
    match engine.docker().inspect_image(name).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_missing(&error) => Ok(None),
        // Podman's response to a digest that is not the name of an image.
        Err(Error::DockerResponseServerError { status_code: 400, .. }) => Ok(None),
        Err(error) => Err(sort(EngineCall::Image, error)),
    }
}

/// Returns the image `<repository>@<digest>`, if the engine has it and reports this digest itself.
async fn pinned_image(
    engine: &Engine,
    pinned: &str,
    digest: &Digest,
) -> Result<Option<ImageInspect>, Trouble> {
    let found = inspect(engine, pinned).await?;
    let ends = format!("@{digest}");
    Ok(found.filter(|image| {
        let by_digest = image
            .repo_digests
            .iter()
            .flatten()
            .any(|name| name.ends_with(&ends));
        by_digest || image.id.as_deref().is_some_and(|id| same_id(id, digest.as_str()))
    }))
}

fn known(found: ImageInspect) -> Result<Image, Trouble> {
    let id = found
        .id
        .ok_or_else(|| unusable("the container engine gives no id of it".to_owned()))?;
    let volumes = found.config.and_then(|config| config.volumes).unwrap_or_default();
    Ok(Image { id, volumes })
}

/// Returns whether two ids are equal; Podman omits the algorithm.
pub(crate) fn same_id(a: &str, b: &str) -> bool {
    let hex = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
    !a.is_empty() && hex(a) == hex(b)
}

async fn pull(engine: &Engine, pinned: &str, patience: Duration) -> Result<(), Error> {
    // The client's own timeout ends with the first part of the response, which may arrive late.
    let docker = engine.docker().clone().with_timeout(patience);
    let options = CreateImageOptionsBuilder::new().from_image(pinned).build();
    let mut progress = docker.create_image(Some(options), None, None);
    while let Some(step) = progress.next().await {
        step?;
    }
    Ok(())
}

/// Returns why a pull failed, as the registry or the engine reports it. Fails if the engine is unavailable or forbids
/// the pull.
fn why_not_pulled(error: Error) -> Result<String, Trouble> {
    match error {
        Error::DockerStreamError { error } => Ok(plain(&error)),
        Error::DockerResponseServerError { status_code, message } if status_code != 403 => {
            Ok(plain(&message))
        }
        Error::RequestTimeoutError => Ok("the registry did not answer in time".to_owned()),
        error => Err(sort(EngineCall::Image, error)),
    }
}

/// Returns the id and the digests of an image.
fn names(image: &ImageInspect) -> Vec<String> {
    let id = image.id.clone().into_iter();
    id.chain(image.repo_digests.clone().unwrap_or_default()).collect()
}

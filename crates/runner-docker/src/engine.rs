//! The connection to the container engine.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use domain::FailureKind;
use ports::RunnerError;
use tokio::time::sleep;

use crate::options::DockerRunnerOptions;
use crate::trouble::{EngineCall, Trouble, is_forbidden, is_missing, lost_limit, sort};

/// The label with the name of a container's owner.
pub(crate) const OWNER_LABEL: &str = "org.hallmark.owner";
/// Where Docker listens by default.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// The pauses between attempts at removing a container before its attempt ends.
const SHORT_PATIENCE: [u64; 5] = [50, 200, 500, 1000, 2000];
/// The maximum number of attempts, one every [`LONG_PAUSE`], when no caller waits for the removal.
const LONG_PATIENCE: u32 = 120;
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// A container engine that responded.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    docker: Docker,
    host: String,
    product: &'static str,
    version: String,
}

impl Engine {
    /// Connects to the engine that the options or `DOCKER_HOST` name.
    pub(crate) async fn connect(options: &DockerRunnerOptions) -> Result<Self, RunnerError> {
        let named = options
            .docker_host
            .clone()
            .or_else(|| std::env::var("DOCKER_HOST").ok());
        // Compose files leave a variable out by setting it to the empty string.
        let host = named
            .filter(|host| !host.is_empty())
            .unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let what = format!(
            "reach a container engine at {host}; start Docker or Podman there, let the server use its socket, or say by DOCKER_HOST (unix:///path or tcp://host:port) where it is"
        );
        let failed = |error: Error| RunnerError::new(what.clone(), error);
        let docker = Docker::connect_with_host(&host).map_err(failed)?;
        docker.ping().await.map_err(failed)?;
        // An older engine does not support the newest version of the API.
        let docker = docker.negotiate_version().await.map_err(failed)?;
        let about = docker.version().await.map_err(failed)?;
        let podman = about
            .components
            .iter()
            .flatten()
            .any(|component| component.name.to_lowercase().contains("podman"));
        Ok(Self {
            docker,
            host,
            product: if podman { "podman" } else { "docker" },
            version: about.version.unwrap_or_default(),
        })
    }

    /// Returns the client.
    pub(crate) const fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Returns `docker` or `podman`.
    pub(crate) const fn product(&self) -> &'static str {
        self.product
    }

    /// Returns its product, version and address.
    pub(crate) fn describe(&self) -> String {
        format!("{} {} at {}", self.product, self.version, self.host)
    }

    /// Creates the container `name`, without starting it. It must be removed even if this fails: the engine may have
    /// created it, and the response may be lost.
    pub(crate) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<(), Trouble> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.docker.create_container(Some(options), body).await;
        let made = made.map_err(|error| sort(EngineCall::Create, error))?;
        match lost_limit(&made.warnings) {
            Some(warning) => Err(Trouble::Failure(FailureKind::Misconfigured(format!(
                "the container engine cannot hold a limit: {warning}"
            )))),
            None => Ok(()),
        }
    }

    /// Kills and removes a container and its anonymous volumes.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), RunnerError> {
        let mut last = self.remove_once(name).await;
        for pause in SHORT_PATIENCE {
            // A call that is forbidden now is forbidden in a second.
            if last.is_ok() || last.as_ref().is_err_and(is_forbidden) {
                break;
            }
            sleep(Duration::from_millis(pause)).await;
            last = self.remove_once(name).await;
        }
        last.map_err(|e| RunnerError::new(format!("remove the container {name}"), e))
    }

    /// Does the same, and repeats it for minutes while it fails.
    pub(crate) async fn remove_in_time(&self, name: &str) {
        for _ in 0..LONG_PATIENCE {
            if self.remove_once(name).await.is_ok() {
                return;
            }
            sleep(LONG_PAUSE).await;
        }
    }

    async fn remove_once(&self, name: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.docker.remove_container(name, Some(options)).await {
            // A removal in progress is an error; it is over when there is nothing left to remove.
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the ids of all containers of `owner`, in any state.
    pub(crate) async fn of_owner(&self, owner: &str) -> Result<Vec<String>, RunnerError> {
        let label = format!("{OWNER_LABEL}={owner}");
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&HashMap::from([("label", vec![label.as_str()])]))
            .build();
        let all = self.docker.list_containers(Some(options)).await;
        let all = all.map_err(|e| RunnerError::new("list the containers of a former server", e))?;
        // Removing another owner's container would be worse than leaving one of ours, so the engine's filter is not
        // trusted.
        let ours = all.into_iter().filter(|container| {
            let label = container.labels.as_ref().and_then(|all| all.get(OWNER_LABEL));
            label.is_some_and(|found| found == owner)
        });
        Ok(ours.filter_map(|container| container.id).collect())
    }
}

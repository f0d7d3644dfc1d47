//! Nothing of an attempt outlives it: a dropped future, a killed server, a neighbour.

mod common;

use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptions;
use common::{Place, eventually, job};
use ports::Runner as _;
use runner_docker::{DockerRunner, DockerRunnerOptions};

// proves PIP-4
#[tokio::test]
async fn dropping_the_future_removes_the_container_and_the_directory() {
    let Some(place) = Place::new().await else { return };
    let image = place.script("sleep 1000").await;
    let runner = place.runner().await;
    // From before the image is looked for until well after the start.
    for milliseconds in [0, 3, 10, 30, 100, 300, 1500] {
        let patience = Duration::from_millis(milliseconds);
        let job = job(&image);
        let attempt = tokio::time::timeout(patience, runner.run(&job)).await;
        assert!(attempt.is_err(), "after {milliseconds} ms");
        eventually(20, "no work directory", || place.attempts_left() == 0).await;
        place.until_containers(0).await;
    }
}

#[tokio::test]
async fn what_a_killed_server_left_is_removed_and_a_neighbours_container_stays() {
    let Some(place) = Place::new().await else { return };
    let image = place.script("sleep 1000").await;
    let neighbour = Place::new().await.unwrap();
    let leak = async |owner: &str, start: bool| {
        let label = ("org.hallmark.owner".to_owned(), owner.to_owned());
        let body = ContainerCreateBody {
            image: Some(image.digest.to_string()),
            labels: Some([label].into()),
            ..ContainerCreateBody::default()
        };
        let made = place
            .docker
            .create_container(None::<CreateContainerOptions>, body)
            .await
            .unwrap();
        if start {
            place.docker.start_container(&made.id, None).await.unwrap();
        }
    };
    leak(&place.owner, true).await;
    leak(&place.owner, false).await;
    // One whose name only begins so.
    leak(&format!("{}-2", place.owner), false).await;
    leak(&neighbour.owner, true).await;
    let runner = place.runner().await;
    let stale = format!("{}-{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4().simple());
    std::fs::create_dir_all(place.work_root().join(stale).join("out/deep")).unwrap();
    std::fs::create_dir(place.work_root().join("not ours")).unwrap();
    let cleaned = runner.clean_stale().await.unwrap();
    assert_eq!(
        (cleaned.containers, cleaned.directories, cleaned.left),
        (2, 1, vec![])
    );
    assert_eq!(place.containers().await, Vec::<String>::new());
    assert_eq!(neighbour.containers().await.len(), 1);
    assert!(place.work_root().join("not ours").exists());
    let again = runner.clean_stale().await.unwrap();
    assert_eq!((again.containers, again.directories), (0, 0));
    let named = DockerRunnerOptions {
        owner: format!("{}-2", place.owner),
        ..place.options()
    };
    let namesake = DockerRunner::new(named).await.unwrap();
    assert_eq!(namesake.clean_stale().await.unwrap().containers, 1);
}

#[test]
fn a_runtime_that_ends_leaves_what_the_next_start_removes() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let Some(place) = first.block_on(Place::new()) else {
        return;
    };
    let image = first.block_on(place.script("sleep 1000"));
    first.block_on(async {
        let (runner, job) = (place.runner().await, job(&image));
        tokio::spawn(async move { runner.run(&job).await });
        place.until_containers(1).await;
    });
    // As near to a killed server as a test gets: its tasks do nothing more.
    first.shutdown_timeout(Duration::from_secs(5));
    let second = runtime();
    second.block_on(async {
        let cleaned = place.runner().await.clean_stale().await.unwrap();
        assert_eq!((cleaned.containers, cleaned.left), (1, vec![]));
        place.assert_clean().await;
    });
}

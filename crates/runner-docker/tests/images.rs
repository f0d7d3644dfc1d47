//! Which image runs (PIP-5, WC-D18), and what is said where none can.

mod common;

use std::time::Duration;

use common::net::{Proxy, Registry};
use common::{Image, PASS_ALL, Place, eventually, job, run, text};
use domain::FailureKind;
use ports::{Attempt, HookJob, Runner as _};
use runner_docker::{DockerRunner, DockerRunnerOptions};

/// The sentence of an attempt at an image that cannot be run; nothing of it did.
fn unusable(attempt: &Attempt) -> &str {
    assert!(attempt.stamp.is_none() && attempt.duration.is_zero() && attempt.log.is_empty());
    match &attempt.failure {
        Some(FailureKind::ImageUnusable(why)) => why,
        other => panic!("{other:?}"),
    }
}

// proves PIP-5
#[tokio::test]
async fn an_id_runs_under_any_reference_and_a_tag_that_points_elsewhere_does_not() {
    let Some(place) = Place::new().await else { return };
    let runner = place.runner().await;
    let (image, other) = (place.script(PASS_ALL).await, place.script("echo other").await);
    assert_eq!(run(&runner, &job(&image)).await.failure, None);
    // By its id, under a reference that names another image: what the digest names runs.
    let renamed = HookJob {
        image: other.reference.clone(),
        ..job(&image)
    };
    assert_eq!(text(&run(&runner, &renamed).await.log), "done\n");
    // The released image is gone, and its tag was given to another.
    let gone = Image {
        reference: other.reference.clone(),
        digest: format!("sha256:{}", "ab".repeat(32)).parse().unwrap(),
    };
    let attempt = run(&runner, &job(&gone)).await;
    let why = unusable(&attempt);
    assert!(
        why.contains(gone.digest.as_str()) && why.contains(other.digest.as_str()),
        "{why}"
    );
    assert!(why.contains("is another image"), "{why}");
    place.assert_clean().await;
}

// proves PIP-5
#[tokio::test]
async fn a_repository_digest_is_pulled_once_and_then_found() {
    let Some(place) = Place::new().await else { return };
    let runner = place.runner().await;
    let registry = Registry::start("echo pulled");
    let image = Image {
        reference: format!("{}:v1", registry.repository),
        digest: registry.digest.parse().unwrap(),
    };
    place.forget_later(&format!("{}@{}", registry.repository, registry.digest));
    let attempt = run(&runner, &job(&image)).await;
    assert_eq!(text(&attempt.log), "pulled\n", "{:?}", attempt.failure);
    // The tag is not needed, and neither is the registry.
    let again = HookJob {
        image: registry.repository.clone(),
        ..job(&image)
    };
    assert_eq!(text(&run(&runner, &again).await.log), "pulled\n");
    let other = HookJob {
        digest: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
        ..job(&image)
    };
    let attempt = run(&runner, &other).await;
    assert!(
        unusable(&attempt).contains("could not be pulled"),
        "{}",
        unusable(&attempt)
    );
    place.assert_clean().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_run_says_what_to_do() {
    let Some(place) = Place::new().await else { return };
    let runner = place.runner().await;
    let good = place.script("true").await;
    let no_program = place
        .image(&[r#"ENTRYPOINT ["/no/such/program"]"#.to_owned()])
        .await;
    let no_permission = place.image(&[r#"ENTRYPOINT ["/etc"]"#.to_owned()]).await;
    let no_entrypoint = place.image(&[]).await;
    let unknown = |image: &str, digest: String| HookJob {
        image: image.to_owned(),
        digest: digest.parse().unwrap(),
        ..job(&good)
    };
    let absent = format!("sha256:{}", "cd".repeat(32));
    for (job, expected) in [
        (
            unknown("localhost:1/no/such:1", absent.clone()),
            "could not be pulled",
        ),
        (
            unknown("No Reference", absent.clone()),
            "no reference of an image",
        ),
        (unknown("../containers/json", absent), "no reference of an image"),
        (
            unknown(&good.reference, format!("blake3:{}", "a".repeat(64))),
            "blake3",
        ),
        (
            HookJob {
                image: "file:/opt/hook".into(),
                ..job(&good)
            },
            "runs container images",
        ),
        (job(&no_program), "/no/such/program"),
        (job(&no_permission), "could not be started"),
        (job(&no_entrypoint), "could not be started"),
    ] {
        let attempt = run(&runner, &job).await;
        let why = unusable(&attempt);
        assert!(why.contains(expected), "{:?}: {why}", job.image);
    }
    place.assert_clean().await;
}

#[tokio::test]
async fn a_work_root_that_the_engine_does_not_see_is_said() {
    let Some(place) = Place::new().await else { return };
    let image = place.script("true").await;
    let options = DockerRunnerOptions {
        host_work_root: Some(place.path().join("elsewhere")),
        ..place.options()
    };
    let attempt = run(&DockerRunner::new(options).await.unwrap(), &job(&image)).await;
    match &attempt.failure {
        Some(FailureKind::Misconfigured(why)) => assert!(why.contains("host_work_root"), "{why}"),
        other => panic!("{other:?}"),
    }
    // And one that it sees under another name works.
    std::os::unix::fs::symlink(place.work_root(), place.path().join("elsewhere")).unwrap();
    let options = DockerRunnerOptions {
        host_work_root: Some(place.path().join("elsewhere")),
        ..place.options()
    };
    let attempt = run(&DockerRunner::new(options).await.unwrap(), &job(&image)).await;
    assert_eq!(attempt.failure, None, "{}", text(&attempt.log));
    place.assert_clean().await;
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_said_at_start() {
    let Some(place) = Place::new().await else { return };
    for host in ["unix:///no/such/socket", "tcp://127.0.0.1:1", "carrier://pigeon"] {
        let options = DockerRunnerOptions {
            docker_host: Some(host.to_owned()),
            ..place.options()
        };
        let error = DockerRunner::new(options).await.unwrap_err();
        let reported = error.to_string();
        assert!(
            reported.contains(host) && reported.contains("DOCKER_HOST"),
            "{reported}"
        );
    }
    let unowned = DockerRunnerOptions {
        owner: String::new(),
        ..place.options()
    };
    assert!(DockerRunner::new(unowned).await.is_err());
}

/// What a docker-socket-proxy with CONTAINERS, IMAGES and POST lets through.
fn socket_proxy(_method: &str, path: &str) -> bool {
    ["/_ping", "/version", "/containers", "/images"]
        .iter()
        .any(|allowed| path.starts_with(allowed))
}

fn without_post(method: &str, path: &str) -> bool {
    socket_proxy(method, path) && matches!(method, "GET" | "HEAD")
}

#[tokio::test]
async fn a_proxy_that_lets_through_containers_and_images_is_enough() {
    let Some(place) = Place::new().await else { return };
    let Some(socket) = place.host.strip_prefix("unix://") else {
        return;
    };
    let image = place.script(&format!("{PASS_ALL}; exit 4")).await;
    let proxy = Proxy::start(socket, socket_proxy);
    let through = |proxy: &Proxy| DockerRunnerOptions {
        docker_host: Some(proxy.host.clone()),
        ..place.options()
    };
    let runner = DockerRunner::new(through(&proxy)).await.unwrap();
    runner.clean_stale().await.unwrap();
    let attempt = run(&runner, &job(&image)).await;
    assert_eq!(
        attempt.failure,
        Some(FailureKind::HookExit(4)),
        "{:?}",
        proxy.seen()
    );
    assert_eq!(text(&attempt.log), "done\n");
    let refused: Vec<String> = proxy
        .seen()
        .into_iter()
        .filter(|asked| !asked.split(' ').nth(1).is_some_and(|path| socket_proxy("", path)))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");

    let strict = Proxy::start(socket, without_post);
    let attempt = run(&DockerRunner::new(through(&strict)).await.unwrap(), &job(&image)).await;
    match &attempt.failure {
        Some(FailureKind::Forbidden(why)) => assert!(why.contains("403") && why.contains("POST"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(attempt.stamp.is_none());
    place.assert_clean().await;
}

#[tokio::test]
async fn an_engine_that_stops_answering_is_the_runners_failure_and_one_that_comes_back_is_not() {
    let Some(place) = Place::new().await else { return };
    let Some(socket) = place.host.strip_prefix("unix://") else {
        return;
    };
    let image = place.script("sleep 2; echo done").await;
    // A socket's name that can be taken away.
    let link = place.path().join("engine.sock");
    std::os::unix::fs::symlink(socket, &link).unwrap();
    let options = DockerRunnerOptions {
        docker_host: Some(format!("unix://{}", link.display())),
        ..place.options()
    };
    let runner = DockerRunner::new(options).await.unwrap();
    let (same, hook) = (runner.clone(), job(&image));
    let attempt = tokio::spawn(async move { same.run(&hook).await });
    place.until_containers(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::fs::remove_file(&link).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!attempt.is_finished());
    std::os::unix::fs::symlink(socket, &link).unwrap();
    let attempt = attempt.await.unwrap().unwrap();
    assert_eq!((attempt.failure, text(&attempt.log).as_str()), (None, "done\n"));

    std::fs::remove_file(&link).unwrap();
    assert!(runner.run(&job(&image)).await.is_err());
    eventually(5, "no work directory", || place.attempts_left() == 0).await;
    place.assert_clean().await;
}

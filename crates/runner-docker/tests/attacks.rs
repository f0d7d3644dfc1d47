//! Attacks of a hook and of an ingester on the server, on the machine and on other attempts, from containers.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use common::{Image, Place, eventually, job, limited, pull_job, run, text};
use domain::FailureKind;
use ports::Runner as _;
use runner_docker::{DockerRunner, DockerRunnerOptions};
use runner_workdir::attacks::{
    Attack, END, For, REACHED, Target, fills_removed_files, fills_unmapped_memory,
};
use runner_workdir::closed_to_others;

/// A directory that every user of the machine reaches.
fn open_directory() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

/// An image that makes these attacks, one after the other.
async fn attacking(place: &Place, attacks: &[Attack]) -> Option<Image> {
    let names: Vec<String> = attacks
        .iter()
        .map(|attack| attack.name.replace(' ', "-"))
        .collect();
    let programs: Vec<(&str, &str)> = names
        .iter()
        .zip(attacks)
        .map(|(name, attack)| (name.as_str(), attack.program.as_str()))
        .collect();
    place.perl(&programs).await
}

/// Fails unless each attack ran to its end and got nowhere.
fn assert_held(log: &str, attacks: &[Attack]) {
    let parts: Vec<&str> = log.split("== ").skip(1).collect();
    assert_eq!(parts.len(), attacks.len(), "{log}");
    for part in parts {
        assert!(part.ends_with(END) && !part.contains(REACHED), "{part}");
    }
}

/// The work directory of the only attempt.
fn only_attempt(place: &Place) -> PathBuf {
    let mut all = fs::read_dir(place.work_root()).unwrap();
    let only = all.next().unwrap().unwrap().path();
    assert!(all.next().is_none());
    only
}

// proves ISO-1
#[tokio::test]
async fn no_attack_of_a_hook_gets_out_of_its_container() {
    let Some(place) = Place::new().await else { return };
    let dir = open_directory();
    let mut target = Target::new(&dir.path().join("target"));
    let attacks = target.attacks();
    let Some(image) = attacking(&place, &attacks).await else {
        return;
    };
    let attempt = run(&place.runner().await, &job(&image)).await;
    let log = text(&attempt.log);
    assert_eq!(attempt.failure, None, "{log}");
    assert_held(&log, &attacks);
    target.assert_untouched("container");
    place.assert_clean().await;
}

// proves ISO-1
#[tokio::test]
async fn no_attack_of_an_ingester_gets_out_of_its_container_and_its_network_is_its_own() {
    let Some(place) = Place::new().await else { return };
    let dir = open_directory();
    let mut target = Target::new(&dir.path().join("target"));
    let mut attacks = target.attacks();
    // It is the user of its image, here root without capabilities, and its container is its own to write to.
    attacks.retain(|attack| attack.whom != For::Hooks);
    // The machine as the container's network sees it: what listens on its loopback does not listen there.
    let gateways = r"
for my $line (split /\n/, content('/proc/net/route')) {
    my $gateway = (split ' ', $line)[2];
    next unless $gateway =~ /^[0-9A-F]{8}$/ && hex $gateway;
    socket(my $socket, 2, 1, 0) or die;
    local $SIG{ALRM} = sub { };
    alarm 5;
    connect($socket, pack('S n L x8', 2, @PORT@, hex $gateway)) and reached('loopback by the gateway');
    alarm 0;
}
";
    attacks.push(Attack {
        name: "connects to loopback by the gateway",
        program: target.program(gateways),
        ..attacks[0].clone()
    });
    let Some(image) = attacking(&place, &attacks).await else {
        return;
    };
    let attempt = place.runner().await.pull(&pull_job(&image)).await.unwrap();
    let log = text(&attempt.log);
    assert_eq!(attempt.failure, None, "{log}");
    assert_held(&log, &attacks);
    target.assert_untouched("container");
}

// proves ISO-1
#[tokio::test]
async fn a_hook_finds_nothing_of_the_machine_in_etc() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script("exec 2>&1; ls -A /etc; cat /etc/hallmark/config.toml")
        .await;
    let attempt = run(&place.runner().await, &job(&image)).await;
    let log = text(&attempt.log);
    // What engines make in every container; then comes that there is no such file.
    const MADE: [&str; 4] = ["hostname", "hosts", "mtab", "resolv.conf"];
    let (names, last) = log.split_once("cat: ").unwrap();
    assert!(last.contains("No such file"), "{log:?}");
    for name in names.lines() {
        assert!(MADE.contains(&name), "{name:?}: {log:?}");
    }
}

// proves ISO-1
#[tokio::test]
async fn a_hook_reaches_no_other_attempt() {
    let Some(place) = Place::new().await else { return };
    let victim = place
        .script("echo mine > /osa/out/features.jsonl; until [ -e /osa/out/end ]; do sleep 0.1; done")
        .await;
    let runner = place.runner().await;
    let waiting = job(&victim);
    let running = runner.run(&waiting);
    let dir = open_directory();
    let attack = async {
        eventually(60, "the victim runs", || {
            fs::read_dir(place.work_root())
                .is_ok_and(|mut dirs| dirs.any(|dir| dir.unwrap().path().join("out/features.jsonl").exists()))
        })
        .await;
        let work = only_attempt(&place);
        let target = Target::new(&dir.path().join("target"));
        let program = r#"
for my $path (around('@WORK@')) {
    opendir(my $dir, $path) and reached($path);
    content("$path/run.json") eq '' or reached("$path/run.json");
    open(my $file, '>', "$path/out/features.jsonl") and reached("$path/out");
}
for my $pid (processes()) { reached("the attempt of $pid") if content("/proc/$pid/root/osa/out/features.jsonl") eq "mine\n" }
"#;
        let program = target.program(&program.replace("@WORK@", &work.display().to_string()));
        let image = place.perl(&[("attack", &program)]).await;
        let log = match &image {
            Some(image) => Some(text(&run(&runner, &job(image)).await.log)),
            None => None,
        };
        fs::write(work.join("out/end"), "").unwrap();
        log
    };
    let (of_victim, log) = tokio::join!(running, attack);
    let Some(log) = log else { return };
    assert!(log.ends_with(END) && !log.contains(REACHED), "{log}");
    let features = of_victim.unwrap().output.features.to_vec().unwrap();
    assert_eq!(text(&features), "mine\n");
    place.assert_clean().await;
}

// proves ISO-1
#[tokio::test]
async fn a_set_uid_program_that_an_ingester_leaves_is_out_of_reach_of_others() {
    let Some(place) = Place::new().await else { return };
    let image = place
        .script("cp /bin/busybox /osa/files/su; chmod 4755 /osa/files/su; sed -n 's/^NoNewPrivs:.//p' /proc/self/status")
        .await;
    let attempt = place.runner().await.pull(&pull_job(&image)).await.unwrap();
    assert_eq!((attempt.failure, text(&attempt.log).as_str()), (None, "1\n"));
    let program = only_attempt(&place).join("files/su");
    assert!(program.exists());
    assert_eq!(closed_to_others(&program).unwrap(), Some(place.work_root()));
}

// proves ISO-3
#[tokio::test]
async fn memory_that_no_process_maps_counts() {
    let Some(place) = Place::new().await else { return };
    let Some(program) = fills_unmapped_memory(300) else {
        test_needs::left_out("a machine whose system calls have known numbers");
        return;
    };
    let Some(image) = place.perl(&[("fills", &program)]).await else {
        return;
    };
    let attempt = run(&place.runner().await, &limited(&image, 60, "64m")).await;
    assert_eq!(
        attempt.failure,
        Some(FailureKind::Oom(64 << 20)),
        "{}",
        text(&attempt.log)
    );
    place.assert_clean().await;
}

// proves ISO-3
#[tokio::test]
async fn files_that_were_removed_count_while_they_are_open() {
    let Some(place) = Place::new().await else { return };
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        // Only root, or the user of the engine, sees the files of the processes in a container.
        return;
    }
    let options = DockerRunnerOptions {
        most_disk_bytes: 100 << 20,
        ..place.options()
    };
    let runner = DockerRunner::new(options).await.unwrap();
    // None of them is too large by itself.
    let Some(image) = place.perl(&[("fills", &fills_removed_files(4, 60))]).await else {
        return;
    };
    match run(&runner, &job(&image)).await.failure {
        Some(FailureKind::Output(why)) => assert!(why.contains("104857600"), "{why}"),
        other => panic!("{other:?}"),
    }
    let attempt = runner.pull(&pull_job(&image)).await.unwrap();
    match attempt.failure {
        Some(FailureKind::Output(why)) => assert!(why.contains("104857600"), "{why}"),
        other => panic!("{other:?}"),
    }
}

// proves ISO-3
#[tokio::test]
async fn no_file_is_larger_than_the_disk_limit() {
    let Some(place) = Place::new().await else { return };
    let options = DockerRunnerOptions {
        most_disk_bytes: 20 << 20,
        ..place.options()
    };
    let runner = DockerRunner::new(options).await.unwrap();
    // Too fast to be measured.
    let image = place
        .script("exec 2>/dev/null; (truncate -s 30M /osa/out/x); wc -c < /osa/out/x")
        .await;
    let log = text(&run(&runner, &job(&image)).await.log);
    assert_eq!(log.lines().last(), Some("0"), "{log}");
    place.assert_clean().await;
}

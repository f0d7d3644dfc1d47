//! The memory loop and the failure policy, with a runner that plays back attempts.

use std::sync::Mutex;

use async_trait::async_trait;
use domain::registry::hook::{HookRelease, ImageLocation, Locations, NewRelease, ReleaseContent};
use domain::work::outcome::HookOutput;
use domain::work::rows::{Room, Spill};
use domain::{
    Actor, Cardinality, Digest, FeatureContract, Limits, ReleaseId, ReleaseVersion, Rows, RunId, TaskId,
    UserId,
};
use ports::{Blobs, PullAttempt, PullJob, RecordFile, RunnerError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;

/// Plays back attempts, and records the input of each: memory and record ids.
struct Playback {
    attempts: Mutex<Vec<Result<Attempt, RunnerError>>>,
    given: Mutex<Vec<(u64, Vec<String>)>>,
}

/// Has no room: what is computed here fits into memory.
struct Nowhere;

impl Room for Nowhere {
    fn spill(&self) -> std::io::Result<std::sync::Arc<dyn Spill>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

impl Room for Playback {
    fn spill(&self) -> std::io::Result<std::sync::Arc<dyn Spill>> {
        Nowhere.spill()
    }
}

#[async_trait]
impl Runner for Playback {
    fn name(&self, _image: &str) -> &'static str {
        "playback"
    }
    fn ingester_name(&self, _image: &str) -> &'static str {
        unreachable!("nothing is pulled here")
    }
    async fn stage(
        &self,
        _image: &str,
        _task: TaskId,
        _blobs: &dyn Blobs,
        _files: &[RecordFile],
    ) -> Result<StagedFiles, RunnerError> {
        unreachable!("no record has files here")
    }
    async fn examine(&self, _image: &str, _digest: &Digest) -> Result<Option<String>, RunnerError> {
        unreachable!("nothing is released here")
    }
    async fn pull(&self, _job: &PullJob) -> Result<PullAttempt, RunnerError> {
        unreachable!("nothing is pulled here")
    }
    async fn check(&self) -> Result<bool, RunnerError> {
        Ok(false)
    }
    async fn run(&self, job: &HookJob) -> Result<Attempt, RunnerError> {
        self.given.lock().unwrap().push((
            job.limits.memory.bytes() >> 20,
            job.records.iter().map(|r| r.id.to_string()).collect(),
        ));
        self.attempts.lock().unwrap().remove(0)
    }
}

/// Stores checkpoints in memory.
#[derive(Default)]
struct StoredCheckpoint(Mutex<Vec<Killed>>);

#[async_trait]
impl Checkpoints for StoredCheckpoint {
    async fn load(&self, _pin: &Pin) -> Result<Vec<Killed>, Failure> {
        Ok(self.0.lock().unwrap().clone())
    }
    async fn save(&self, _pin: &Pin, oom_retries: u32, killed: &Killed) -> Result<(), Failure> {
        let mut kept = self.0.lock().unwrap();
        kept.push(killed.clone());
        assert_eq!(kept.len(), oom_retries as usize);
        Ok(())
    }
}

/// The maximum number of rows of a batch here.
const MOST_ROWS: u64 = 3;

const STAMP: RunStamp = RunStamp {
    run: RunId::from_uuid(Uuid::nil()),
    release: ReleaseId::from_uuid(Uuid::nil()),
};

fn attempt(failure: Option<FailureKind>, passed: &[&str]) -> Attempt {
    let features: String = passed
        .iter()
        .map(|id| format!("{{\"id\":\"{id}\",\"features\":[]}}\n"))
        .collect();
    let output = HookOutput {
        features: features.into_bytes().into(),
        ..HookOutput::default()
    };
    Attempt {
        failure,
        output,
        stamp: Some(STAMP),
        log: b"log\n".to_vec(),
        duration: Duration::from_secs(1),
        peak_memory_bytes: None,
    }
}

async fn run(attempts: Vec<Attempt>) -> (HookExecution, Vec<(u64, Vec<String>)>) {
    run_from(
        &StoredCheckpoint::default(),
        attempts.into_iter().map(Ok).collect(),
        0,
    )
    .await
}

/// Does the same, with earlier checkpoints, and after so many hand-backs of the unit.
async fn run_from(
    kept: &StoredCheckpoint,
    attempts: Vec<Result<Attempt, RunnerError>>,
    retries: u32,
) -> (HookExecution, Vec<(u64, Vec<String>)>) {
    let limits = Limits::parse(10, "512m", "1").unwrap();
    let content = ReleaseContent {
        digest: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
        config: serde_json::Map::new(),
        limits,
    };
    let pin = Pin {
        run: RunId::from_uuid(Uuid::nil()),
        release: HookRelease {
            id: ReleaseId::from_uuid(Uuid::nil()),
            hook: "h".parse().unwrap(),
            version: ReleaseVersion::FIRST,
            release: NewRelease {
                image: "file:/x".into(),
                content,
                source_ref: "git:1".into(),
            },
            locations: Locations::new(ImageLocation {
                image: "file:/x".into(),
                by: Actor::User(UserId::LOCAL_ADMIN),
                at: OffsetDateTime::UNIX_EPOCH,
            }),
            built_by: Actor::User(UserId::LOCAL_ADMIN),
            built_at: OffsetDateTime::UNIX_EPOCH,
            yanked: None,
        },
        contract: FeatureContract {
            cardinality: Cardinality::Many,
            columns: vec![],
        },
    };
    let record = |id: &str, size: f64| HookRecord {
        id: id.parse().unwrap(),
        metadata: serde_json::Map::new(),
        size_hint_mb: size,
    };
    let records = [record("a", 3.0), record("b", 2.0), record("c", 1.0)];
    let runner = Playback {
        attempts: Mutex::new(attempts),
        given: Mutex::new(vec![]),
    };
    let work = Work {
        pin: &pin,
        records: &records,
        files: None,
        retries,
    };
    let outputs = Outputs::new(std::sync::Arc::new(Nowhere), MOST_ROWS);
    let done = execute(&runner, &outputs, kept, work).await.unwrap();
    let given = runner.given.lock().unwrap().clone();
    (done, given)
}

fn of<'a>(done: &'a HookExecution, id: &str) -> &'a RecordOutcome {
    &done.outcomes[&id.parse::<SourceId>().unwrap()]
}

// proves PRV-5
#[tokio::test]
async fn memory_is_doubled_for_the_records_without_an_outcome_smallest_first() {
    let oom = Some(FailureKind::Oom(1));
    let (done, given) = run(vec![
        attempt(oom.clone(), &["a"]),
        attempt(oom, &[]),
        attempt(None, &["b", "c"]),
    ])
    .await;
    assert_eq!(
        given,
        [
            (512, vec!["a".into(), "b".into(), "c".into()]),
            (1024, vec!["c".into(), "b".into()]),
            (2048, vec!["c".into(), "b".into()])
        ]
    );
    assert_eq!(
        (done.oom_retries, done.status(), done.outcomes.len()),
        (2, RunStatus::Passed, 3)
    );
    assert_eq!(done.duration, Duration::from_secs(3));
}

// proves PRV-5
#[tokio::test]
async fn after_three_more_tries_the_rest_is_errored_and_the_count_is_true() {
    let oom = || attempt(Some(FailureKind::Oom(1)), &[]);
    let (done, given) = run(vec![oom(), oom(), oom(), oom()]).await;
    assert_eq!(
        given.iter().map(|(memory, _)| *memory).collect::<Vec<_>>(),
        [512, 1024, 2048, 4096]
    );
    assert_eq!((done.oom_retries, done.status()), (3, RunStatus::Error));
    assert!(matches!(of(&done, "a"), RecordOutcome::Errored(why) if why.contains("memory")));
}

#[tokio::test]
async fn what_a_crashed_hook_reported_stands_and_the_rest_is_errored() {
    let (done, _) = run(vec![attempt(Some(FailureKind::HookExit(3)), &["b"])]).await;
    assert_eq!(of(&done, "b"), &RecordOutcome::Passed(Rows::default()));
    assert!(matches!(of(&done, "a"), RecordOutcome::Errored(why) if why.contains("status 3")));
    assert_eq!(done.status(), RunStatus::Failed);
    assert!(String::from_utf8(done.log).unwrap().contains("log"));
}

// proves PIP-5
#[tokio::test]
async fn an_image_that_is_not_the_releases_ends_it_all() {
    let mut unusable = attempt(Some(FailureKind::ImageUnusable("digest".into())), &[]);
    unusable.stamp = None;
    let (done, _) = run(vec![unusable]).await;
    assert_eq!(done.action, Some(FailureAction::Abort));
    assert!(done.outcomes.is_empty());
}

// proves PIP-3
#[tokio::test]
async fn a_timeout_is_tried_again_and_then_what_the_hook_reported_stands() {
    let timeout = || vec![Ok(attempt(Some(FailureKind::Timeout(10)), &["a"]))];
    for retries in [0, 1] {
        let (done, _) = run_from(&StoredCheckpoint::default(), timeout(), retries).await;
        assert_eq!(
            (done.action, done.outcomes.len()),
            (Some(FailureAction::Retry), 0)
        );
    }
    let (done, _) = run_from(&StoredCheckpoint::default(), timeout(), 2).await;
    assert_eq!(of(&done, "a"), &RecordOutcome::Passed(Rows::default()));
    assert!(matches!(of(&done, "b"), RecordOutcome::Errored(why) if why.contains("10 s")));
}

// proves PRV-5
#[tokio::test]
async fn a_run_that_is_taken_up_by_another_server_goes_on_where_memory_ran_out() {
    let kept = StoredCheckpoint::default();
    let oom = |passed: &[&str]| Ok(attempt(Some(FailureKind::Oom(1)), passed));
    let gone = || Err(RunnerError::new("go on", "the server was killed"));
    let (done, _) = run_from(&kept, vec![oom(&["b"]), oom(&[]), gone()], 0).await;
    assert_eq!(done.action, Some(FailureAction::Retry));
    let (done, given) = run_from(&kept, vec![oom(&["c"]), Ok(attempt(None, &["a"]))], 0).await;
    assert_eq!(
        given,
        [(2048, vec!["c".into(), "a".into()]), (4096, vec!["a".into()])]
    );
    assert_eq!(
        (done.oom_retries, done.status(), done.outcomes.len()),
        (3, RunStatus::Passed, 3)
    );
    assert_eq!(done.duration, Duration::from_secs(4));
    assert_eq!(String::from_utf8(done.log).unwrap().matches("log\n").count(), 3);
}

// proves PRV-3
#[tokio::test]
async fn an_output_that_is_not_stamped_with_its_run_counts_for_nothing() {
    let mut other = attempt(None, &["a", "b", "c"]);
    other.stamp = Some(RunStamp {
        run: RunId::from_uuid(Uuid::from_u128(1)),
        ..STAMP
    });
    let mut missing = attempt(None, &["a", "b", "c"]);
    missing.stamp = None;
    for wrong in [other, missing] {
        let (done, _) = run(vec![wrong]).await;
        assert!(matches!(&done.failure, Some(FailureKind::Runtime(why)) if why.contains("run.json")));
        assert!(done.outcomes.is_empty());
    }
}

#[tokio::test]
async fn a_record_that_the_hook_is_silent_about_is_errored_though_it_ended_well() {
    let (done, _) = run(vec![attempt(None, &["a", "b"])]).await;
    assert!(matches!(of(&done, "c"), RecordOutcome::Errored(why) if why.contains("no outcome")));
    assert_eq!(done.status(), RunStatus::Passed);
}

// proves PRV-8
#[tokio::test]
async fn a_run_with_an_errored_record_keeps_its_log_and_one_without_does_not() {
    let (silent, _) = run(vec![attempt(None, &["a", "b"])]).await;
    assert!(silent.keeps_log());
    assert_eq!(silent.log, b"--- the hook ended with success\nlog\n");
    let mut reported = attempt(None, &["a", "b"]);
    reported.output.errors = b"{\"id\":\"c\",\"error\":\"no model\"}\n".to_vec().into();
    let (reported, _) = run(vec![reported]).await;
    assert!(reported.keeps_log());
    assert_eq!(reported.log, silent.log);
    let (good, _) = run(vec![attempt(None, &["a", "b", "c"])]).await;
    assert!(!good.keeps_log());
    assert!(good.log.is_empty());
    let (failed, _) = run(vec![attempt(Some(FailureKind::HookExit(3)), &["a", "b", "c"])]).await;
    assert!(failed.keeps_log());
}

#[tokio::test]
async fn a_rejection_of_the_whole_run_rejects_what_has_no_outcome() {
    let mut rejecting = attempt(Some(FailureKind::HookExit(1)), &["a"]);
    rejecting.output.progress = b"{\"status\":\"rejected\",\"message\":\"no data\"}\n"
        .to_vec()
        .into();
    let (done, _) = run(vec![rejecting]).await;
    assert_eq!(of(&done, "b"), &RecordOutcome::Rejected("no data".into()));
    assert_eq!(of(&done, "a"), &RecordOutcome::Passed(Rows::default()));
    assert_eq!(done.status(), RunStatus::Failed);
}

/// An attempt whose hook computed so many rows for a record. The contract has no columns, so each is empty.
fn computed(failure: Option<FailureKind>, id: &str, rows: usize) -> Attempt {
    let items = vec!["{}"; rows].join(",");
    let mut attempt = attempt(failure, &[]);
    attempt.output.features = format!("{{\"id\":\"{id}\",\"features\":[{items}]}}\n")
        .into_bytes()
        .into();
    attempt
}

// proves ISO-3
#[tokio::test]
async fn more_rows_than_a_batch_may_have_error_every_record_with_the_line_and_the_bound() {
    for failure in [None, Some(FailureKind::HookExit(1))] {
        let (done, _) = run(vec![computed(failure, "a", 4)]).await;
        for id in ["a", "b", "c"] {
            assert!(
                matches!(of(&done, id), RecordOutcome::Errored(why) if why.contains("line 1 of features.jsonl") && why.contains("more than 3 rows")),
                "{:?}",
                of(&done, id)
            );
        }
        assert_eq!(done.status(), RunStatus::Error);
    }
}

// proves ISO-3, PRV-5
#[tokio::test]
async fn the_rows_of_all_tries_count_together() {
    let oom = Some(FailureKind::Oom(1));
    let (done, _) = run(vec![
        computed(oom.clone(), "a", 2),
        computed(oom, "b", 1),
        computed(None, "c", 1),
    ])
    .await;
    assert!(matches!(of(&done, "a"), RecordOutcome::Passed(rows) if rows.count() == 2));
    assert!(matches!(of(&done, "b"), RecordOutcome::Passed(rows) if rows.count() == 1));
    assert!(matches!(of(&done, "c"), RecordOutcome::Errored(why) if why.contains("more than 3 rows")));
    assert_eq!((done.oom_retries, done.rows), (2, 3));
}

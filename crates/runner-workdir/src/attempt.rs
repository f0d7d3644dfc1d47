//! The rules by which the end of a program and its output become the result of an attempt.

use std::time::Duration;

use domain::FailureKind;
use domain::work::outcome::HookOutput;
use ports::{Attempt, HookJob, PullAttempt, PulledFiles, RunnerError};

use crate::output::{OutputCaps, Pulled, Read, read_hook};
use crate::workdir::WorkDir;

/// How the execution of a program ended.
#[derive(Debug)]
pub struct Done {
    /// Why it failed, if it did.
    pub failure: Option<FailureKind>,
    /// The last part of what it printed.
    pub log: Vec<u8>,
    /// How long it ran.
    pub duration: Duration,
    /// The highest resident memory observed, in bytes, if the runner can observe it.
    pub peak_memory_bytes: Option<u64>,
    /// Whether it was started at all.
    pub ran: bool,
}

impl Done {
    /// Creates the end of a program that was not started.
    pub const fn never_ran(failure: FailureKind) -> Self {
        Self {
            failure: Some(failure),
            log: Vec::new(),
            duration: Duration::ZERO,
            peak_memory_bytes: None,
            ran: false,
        }
    }

    /// Reads a hook's output, and returns its attempt. `owner` is the uid that the files must belong to, if it is
    /// known. Without a run there is no output and no stamp.
    pub fn into_attempt(
        self,
        work: &WorkDir,
        job: &HookJob,
        caps: OutputCaps,
        owner: Option<u32>,
    ) -> Attempt {
        let read = if self.ran {
            let only = match job.records.as_slice() {
                [record] => Some(&record.id),
                _ => None,
            };
            read_hook(work, caps, owner, only)
        } else {
            Read {
                output: HookOutput::default(),
                stamp: None,
                fault: None,
            }
        };
        Attempt {
            failure: with_fault(self.failure, read.fault),
            output: read.output,
            stamp: read.stamp,
            log: self.log,
            duration: self.duration,
            peak_memory_bytes: self.peak_memory_bytes,
        }
    }

    /// Returns the attempt of an ingester with this output and these files.
    pub fn into_pull(self, pulled: Pulled, files: Box<dyn PulledFiles>) -> PullAttempt {
        PullAttempt {
            failure: with_fault(self.failure.map(of_ingester), pulled.fault),
            records: pulled.records,
            session: pulled.session,
            files,
            log: self.log,
            duration: self.duration,
        }
    }
}

/// Returns the error of an attempt that is no longer awaited.
pub fn cancelled() -> RunnerError {
    RunnerError::new("finish the attempt", "it was cancelled")
}

/// Returns an ingester's failure: its exit status reports a failure of its source.
fn of_ingester(failure: FailureKind) -> FailureKind {
    match failure {
        FailureKind::HookExit(code) => FailureKind::Upstream(format!("it ended with status {code}")),
        other => other,
    }
}

/// Adds a fault of the output. A limit explains the state of the output; an exit status or a signal does not.
fn with_fault(failure: Option<FailureKind>, fault: Option<String>) -> Option<FailureKind> {
    match (failure, fault) {
        (
            None | Some(FailureKind::HookExit(_) | FailureKind::Signalled(_) | FailureKind::Upstream(_)),
            Some(why),
        ) => Some(FailureKind::Output(why)),
        (failure, _) => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use domain::{Digest, Limits, ReleaseId, RunId, SourceId};
    use ports::{HookRecord, RunStamp};
    use serde_json::Map;
    use uuid::Uuid;

    use super::*;
    use crate::workdir::Owner;

    const CAPS: OutputCaps = OutputCaps {
        most_main_bytes: 100,
        most_other_bytes: 100,
        most_pulled_bytes: 100,
    };

    fn job(records: &[&str]) -> HookJob {
        HookJob {
            run: RunId::from_uuid(Uuid::new_v4()),
            hook: "the_hook".parse().unwrap(),
            release: ReleaseId::from_uuid(Uuid::new_v4()),
            image: "file:/hook".to_owned(),
            digest: Digest::from_sha256([0; 32]),
            config: Map::new(),
            limits: Limits::parse(20, "512m", "2").unwrap(),
            records: records
                .iter()
                .map(|id| HookRecord {
                    id: id.parse().unwrap(),
                    metadata: Map::new(),
                    size_hint_mb: 0.0,
                })
                .collect(),
            files: None,
        }
    }

    fn done(failure: Option<FailureKind>) -> Done {
        Done {
            failure,
            log: b"log".to_vec(),
            duration: Duration::from_secs(7),
            peak_memory_bytes: Some(9),
            ran: true,
        }
    }

    fn fault() -> String {
        "too large".to_owned()
    }

    /// The attempt of a job whose hook wrote these files.
    fn attempt(done: Done, job: &HookJob, files: &[(&str, &str)]) -> Attempt {
        let root = tempfile::tempdir().unwrap();
        let work = WorkDir::for_hook(root.path(), job, Owner::Server).unwrap();
        for (name, content) in files {
            fs::write(work.part("out").join(name), content).unwrap();
        }
        done.into_attempt(&work, job, CAPS, None)
    }

    #[test]
    fn a_fault_replaces_a_status_or_a_signal_but_no_limit() {
        let expected = FailureKind::Output(fault());
        for failure in [
            None,
            Some(FailureKind::HookExit(1)),
            Some(FailureKind::Signalled(9)),
            Some(FailureKind::Upstream("it ended with status 1".to_owned())),
        ] {
            assert_eq!(with_fault(failure.clone(), None), failure);
            assert_eq!(
                with_fault(failure.clone(), Some(fault())),
                Some(expected.clone()),
                "{failure:?}"
            );
        }
        for failure in [
            FailureKind::Oom(1),
            FailureKind::Timeout(1),
            FailureKind::Output("too much disk".to_owned()),
            FailureKind::ImageUnusable(String::new()),
            FailureKind::Forbidden(String::new()),
            FailureKind::Misconfigured(String::new()),
        ] {
            assert_eq!(
                with_fault(Some(failure.clone()), Some(fault())),
                Some(failure.clone())
            );
        }
    }

    // proves PRV-3
    #[test]
    fn an_attempt_has_the_output_and_the_stamp_of_its_run() {
        let job = job(&["a", "b"]);
        let attempt = attempt(
            done(Some(FailureKind::HookExit(3))),
            &job,
            &[("features.jsonl", "{}\n")],
        );
        assert_eq!(attempt.failure, Some(FailureKind::HookExit(3)));
        assert_eq!(attempt.output.features.to_vec().unwrap(), b"{}\n");
        assert_eq!(
            attempt.stamp,
            Some(RunStamp {
                run: job.run,
                release: job.release,
            })
        );
        assert_eq!(attempt.log, b"log");
        assert_eq!(attempt.duration, Duration::from_secs(7));
        assert_eq!(attempt.peak_memory_bytes, Some(9));
    }

    #[test]
    fn unreadable_output_fails_an_attempt_that_exited_with_zero() {
        let too_long = "x".repeat(101);
        let attempt = attempt(done(None), &job(&["a"]), &[("features.jsonl", &too_long)]);
        assert!(
            matches!(&attempt.failure, Some(FailureKind::Output(why)) if why.contains("101 bytes")),
            "{:?}",
            attempt.failure
        );
        assert_eq!(attempt.output, HookOutput::default());
    }

    // proves ISO-3
    #[test]
    fn all_files_of_a_hook_together_are_bounded() {
        let part = "x".repeat(60);
        let attempt = attempt(
            done(None),
            &job(&["a"]),
            &[("features.jsonl", &part), ("errors.jsonl", &part)],
        );
        assert!(
            matches!(&attempt.failure, Some(FailureKind::Output(why)) if why.starts_with("errors.jsonl has 60 bytes; at most 40")),
            "{:?}",
            attempt.failure
        );
        assert!(attempt.output.errors.is_empty());
    }

    // proves ISO-3
    #[test]
    fn a_large_output_is_read_after_its_directory_is_gone() {
        let job = job(&["a"]);
        let caps = OutputCaps {
            most_main_bytes: 1_000_000,
            ..CAPS
        };
        let root = tempfile::tempdir().unwrap();
        let work = WorkDir::for_hook(root.path(), &job, Owner::Server).unwrap();
        let text = "0123456789".repeat(20_000);
        fs::write(work.part("out").join("features.jsonl"), &text).unwrap();
        let attempt = done(None).into_attempt(&work, &job, caps, None);
        drop(work);
        assert_eq!(attempt.output.features.to_vec().unwrap(), text.as_bytes());
    }

    #[test]
    fn without_a_run_there_is_no_output_and_no_stamp() {
        let failure = FailureKind::ImageUnusable("it is missing".to_owned());
        let attempt = attempt(
            Done::never_ran(failure.clone()),
            &job(&["a"]),
            &[("features.jsonl", "{}\n")],
        );
        assert_eq!(
            attempt,
            Attempt {
                failure: Some(failure),
                output: HookOutput::default(),
                stamp: None,
                log: Vec::new(),
                duration: Duration::ZERO,
                peak_memory_bytes: None,
            }
        );
    }

    // proves WC-D4
    #[test]
    fn a_whole_features_file_is_read_if_the_run_has_one_record() {
        let files = [("features.json", "[]")];
        let one = attempt(done(None), &job(&["a"]), &files);
        let line = b"{\"id\":\"a\",\"features\":[]}\n";
        assert_eq!(one.output.features.to_vec().unwrap(), line);
        let two = attempt(done(None), &job(&["a", "b"]), &files);
        assert!(two.output.features.is_empty());
    }

    #[test]
    fn an_ingesters_exit_status_is_a_failure_of_its_source() {
        struct NoFiles;

        #[async_trait::async_trait]
        impl PulledFiles for NoFiles {
            async fn open(
                &self,
                _record: &SourceId,
                _name: &domain::FileName,
            ) -> Result<Option<ports::PulledFile>, RunnerError> {
                Ok(None)
            }
        }

        let pulled = |fault| Pulled {
            records: b"{}\n".to_vec(),
            session: Some(b"{}".to_vec()),
            fault,
        };
        for (failure, expected) in [
            (None, None),
            (
                Some(FailureKind::HookExit(3)),
                Some(FailureKind::Upstream("it ended with status 3".to_owned())),
            ),
            (Some(FailureKind::Signalled(9)), Some(FailureKind::Signalled(9))),
        ] {
            let attempt = done(failure).into_pull(pulled(None), Box::new(NoFiles));
            assert_eq!(attempt.failure, expected);
            assert_eq!(attempt.records, b"{}\n");
            assert_eq!(attempt.session.as_deref(), Some(&b"{}"[..]));
            assert_eq!(attempt.log, b"log");
            assert_eq!(attempt.duration, Duration::from_secs(7));
        }
        let attempt =
            done(Some(FailureKind::HookExit(3))).into_pull(pulled(Some(fault())), Box::new(NoFiles));
        assert_eq!(attempt.failure, Some(FailureKind::Output(fault())));
    }
}

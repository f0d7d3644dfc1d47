//! Asking an ingester for its next records: one run of its image, and reading what it left.

use domain::ingest::pulled::{pull_limit, session};
use domain::work::failure::FailureKind;
use domain::{FieldDefinition, IngesterDefinition};
use ports::ingest::LockedIngestRun;
use ports::{Claim, PullJob};

use crate::failure::Failure;
use crate::ingest::pulled::{Given, PulledReader, ReadError};
use crate::work::run_hooks::RunHooks;

/// Why a pull yielded nothing.
pub(crate) struct Failed {
    pub(crate) kind: FailureKind,
    pub(crate) log_ref: Option<String>,
    pub(crate) duration_s: f64,
}

/// One call of an ingester.
pub(crate) struct IngesterCall<'a> {
    pub(crate) hooks: &'a RunHooks,
    pub(crate) claim: &'a Claim,
    pub(crate) run: &'a LockedIngestRun,
    /// The fields of the run's schema.
    pub(crate) fields: &'a [FieldDefinition],
    pub(crate) ingester: Option<&'a IngesterDefinition>,
    /// The key prefix of this attempt's files.
    pub(crate) prefix: &'a str,
}

impl IngesterCall<'_> {
    /// Runs the ingester. The outer error comes from the store.
    pub(crate) async fn ask(&self) -> Result<Result<Given, Failed>, Failure> {
        let failed = |kind: FailureKind| Failed {
            kind,
            log_ref: None,
            duration_s: 0.0,
        };
        let (run, claim) = (self.run, self.claim);
        let Some(ingester) = self.ingester else {
            let why = format!("convention {} no longer has an ingester", run.convention);
            return Ok(Err(failed(FailureKind::Misconfigured(why))));
        };
        let digest = match ingester.digest.parse() {
            Ok(digest) => digest,
            Err(invalid) => {
                return Ok(Err(failed(FailureKind::ImageUnusable(format!(
                    "its digest {invalid}"
                )))));
            }
        };
        let job = PullJob {
            task: claim.task,
            convention: run.convention.clone(),
            image: ingester.image.clone(),
            digest,
            config: ingester.config.clone().unwrap_or_default(),
            limits: ingester.limits,
            session: run.session.clone(),
            limit: pull_limit(run.batch_size, run.limit, run.pulled),
            since: run.since,
            offset: run.pulled,
        };
        let attempt = match self.hooks.runner.pull(&job).await {
            Ok(attempt) => attempt,
            // Not its causes: they may contain what the ingester printed.
            Err(error) => {
                tracing::error!(%error, convention = %run.convention, "the runner failed");
                return Ok(Err(failed(FailureKind::Runtime(error.to_string()))));
            }
        };
        let reader = PulledReader {
            blobs: &*self.hooks.blobs,
            prefix: self.prefix,
            fields: self.fields,
            left: run.limit.map(|limit| limit.saturating_sub(run.pulled)),
        };
        let read = match attempt.failure.clone() {
            Some(kind) => Err(kind),
            None => match attempt.session.as_deref().map(session).transpose() {
                Ok(session) => match reader.read(&attempt).await {
                    Ok(given) => Ok(Given {
                        session,
                        duration_s: attempt.duration.as_secs_f64(),
                        ..given
                    }),
                    Err(ReadError::Store(error)) => return Err(error.into()),
                    Err(ReadError::Runner(error)) => Err(FailureKind::Runtime(error.to_string())),
                },
                Err(invalid) => Err(FailureKind::Upstream(format!("session.json {invalid}"))),
            },
        };
        match read {
            Ok(given) => Ok(Ok(given)),
            Err(kind) => {
                let key = format!(
                    "logs/pulls/{}/{}-{}.log",
                    claim.task, claim.delegation, claim.attempt
                );
                Ok(Err(Failed {
                    log_ref: self.hooks.keep_log(key, &attempt.log).await,
                    duration_s: attempt.duration.as_secs_f64(),
                    kind,
                }))
            }
        }
    }
}

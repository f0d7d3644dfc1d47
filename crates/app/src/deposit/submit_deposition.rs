//! `POST /depositions/{srn}/submit`: freezes a draft, and queues the run of the hooks over it.

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::deposit::deposition::{DepositionError, DepositionUse};
use domain::registry::schema::MetadataChecker;
use domain::{DepositionId, Fault, Invalid, NodeDomain, SubmissionStatus, TaskKind};
use ports::deposit::Submission;
use ports::ledger::NewTask;
use ports::{Committed, Store, StoreError, UnitOfWork, WorkQueue};
use serde_json::json;

use crate::access::deposition::{DRAFT, DepositionAsker, id_of, lock};
use crate::deposit::create_deposition::event;
use crate::deposit::submissions::schema_of;
use crate::failure::Failure;
use crate::own_tasks::delegation;
use crate::retry::retried;

/// Submits drafts.
pub struct SubmitDeposition {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    node: NodeDomain,
}

impl SubmitDeposition {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn WorkQueue>, node: NodeDomain) -> Self {
        Self { store, queue, node }
    }

    /// Submits a deposition. First checks its metadata and the number of its files, and reports every fault with its
    /// field (WC-D24). After that, it cannot be changed until it is returned.
    #[tracing::instrument(name = "app.submit_deposition", skip_all)]
    pub async fn run(
        &self,
        permit: Permit<act::UseDepositions>,
        srn: &str,
    ) -> Result<Committed<()>, Failure> {
        let asker = DepositionAsker::of(&permit);
        let id = id_of(srn, &self.node)?;
        let done = retried!(self.attempt(&asker, &id))?;
        self.queue.notify();
        Ok(done)
    }

    async fn attempt(&self, asker: &DepositionAsker, id: &DepositionId) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut *uow, id, asker, DepositionUse::Write, DRAFT).await?;
        let convention = uow.conventions().find(&locked.convention).await?;
        let convention =
            convention.ok_or_else(|| DepositionError::UnknownConvention(locked.convention.clone()))?;
        let schema = schema_of(&mut *uow, &convention.schema).await?;
        let schema =
            schema.ok_or_else(|| StoreError::corrupt("conventions", "a convention without its schema"))?;
        let files = uow.depositions().files(id).await?;
        let mut faults: Vec<Fault> = Vec::new();
        if let Err(invalid) = MetadataChecker::new(&schema.fields).check(&locked.metadata) {
            faults.extend(invalid.of_field("metadata").faults);
        }
        if let Err(invalid) = convention.file_requirements.check_count(files.len() as u64) {
            faults.extend(invalid.faults);
        }
        Invalid::unless_empty(faults)?;
        let number = locked.submissions + 1;
        let task = id.submission(number);
        let name = format!("run the hooks of {} over deposition {id}", convention.slug);
        uow.tasks()
            .create(&NewTask {
                id: task,
                kind: TaskKind::own(TaskKind::SUBMISSION),
                name: name.clone(),
                params: json!({"deposition_id": id.as_str(), "number": number}),
                creator: asker.actor.clone(),
                request: None,
            })
            .await?;
        uow.depositions()
            .submit(&Submission {
                task,
                deposition: id.clone(),
                number,
                metadata: locked.metadata.clone(),
                schema: convention.schema.clone(),
                status: SubmissionStatus::Pending,
            })
            .await?;
        uow.delegations()
            .create(&delegation(task, TaskKind::SUBMISSION, 0, &name, Duration::ZERO))
            .await?;
        let hooks: Vec<&str> = convention.hooks.iter().map(domain::HookName::as_str).collect();
        let payload = json!({"deposition_id": id.as_str(), "metadata": locked.metadata, "convention_id": convention.slug.as_str(), "hooks": hooks});
        uow.activity()
            .append(&event("DepositionSubmittedEvent", id, &asker.actor, payload))
            .await?;
        Ok(uow.commit(()).await?)
    }
}

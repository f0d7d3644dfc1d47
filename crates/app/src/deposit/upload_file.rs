//! `POST /depositions/{srn}/files`: a file, streamed into the blob store.
//!
//! Invariant: a listed file is stored whole, with its size and checksum. Access and limits are checked before the
//! first byte is stored (WC-D24), and once more under the deposition's lock when the file is listed: another upload
//! or a submission may have come in between. Content that is stored but not listed is removed.

use std::sync::Arc;

use auth::{Permit, act};
use domain::deposit::deposition::{DepositionError, DepositionUse};
use domain::kind::{Coded as _, Kind};
use domain::{DepositionId, FileName, Invalid, NodeDomain};
use ports::deposit::DepositionFile;
use ports::{Blobs, ByteStream, Committed, Ids, PutError, Store, StoredBlob, UnitOfWork};
use serde_json::json;

use crate::access::deposition::{DRAFT, DepositionAsker, id_of, lock};
use crate::deposit::create_deposition::event;
use crate::failure::Failure;
use crate::retry::retried;

/// Accepts uploads.
pub struct UploadFile {
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    ids: Arc<dyn Ids>,
    node: NodeDomain,
}

/// The limits of an upload that was allowed to begin.
pub struct UploadTicket {
    pub(crate) asker: DepositionAsker,
    pub(crate) id: DepositionId,
}

impl UploadFile {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, blobs: Arc<dyn Blobs>, ids: Arc<dyn Ids>, node: NodeDomain) -> Self {
        Self {
            store,
            blobs,
            ids,
            node,
        }
    }

    /// Checks whether the caller may upload anything to this deposition, before its body is read.
    #[tracing::instrument(name = "app.upload_file.begin", skip_all)]
    pub async fn begin(
        &self,
        permit: Permit<act::UseDepositions>,
        srn: &str,
    ) -> Result<UploadTicket, Failure> {
        let ticket = UploadTicket {
            asker: DepositionAsker::of(&permit),
            id: id_of(srn, &self.node)?,
        };
        retried!(self.may_begin(&ticket, None))?.into_inner();
        Ok(ticket)
    }

    /// Stores a file under this name, replacing any file that had it.
    pub async fn run(
        &self,
        ticket: &UploadTicket,
        name: &str,
        content: ByteStream,
    ) -> Result<DepositionFile, Failure> {
        let name: FileName = name.parse().map_err(|e: Invalid| e.of_field("file"))?;
        let most = retried!(self.may_begin(ticket, Some(&name)))?.into_inner();
        let key = format!("depositions/{}/{}", ticket.id, self.ids.new_id());
        let stored = match self.blobs.put_stream(&key, content, most).await {
            Ok(stored) => stored,
            Err(PutError::Store(error)) => return Err(error.into()),
            Err(PutError::TooLarge(most)) => {
                let why = format!(
                    "{:?} has more than {most} bytes, the maximum of this convention",
                    name.as_str()
                );
                return Err(Invalid::value(why).of_field("file").into());
            }
            Err(PutError::Source(error)) => {
                return Err(Invalid::value(format!(
                    "the upload ended unexpectedly: {error}; nothing was stored"
                ))
                .of_field("file")
                .into());
            }
        };
        match retried!(self.list(ticket, &name, &key, stored)) {
            Ok(listed) => {
                let (file, replaced) = listed.into_inner();
                if let Some(old) = replaced {
                    self.remove(&old).await;
                }
                Ok(file)
            }
            Err(failure) => {
                // If the response to the commit was lost, the file may be listed: then its content must stay.
                if !matches!(failure.kind(), Kind::Unavailable | Kind::Bug) {
                    self.remove(&key).await;
                }
                Err(failure)
            }
        }
    }

    async fn remove(&self, key: &str) {
        if let Err(error) = self.blobs.delete(key).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                key,
                "a file that is not listed could not be removed"
            );
        }
    }

    /// Checks user, deposition and file. Returns the maximum size in bytes.
    async fn may_begin(
        &self,
        ticket: &UploadTicket,
        name: Option<&FileName>,
    ) -> Result<Committed<u64>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let most = check(&mut uow, ticket, name).await?;
        Ok(uow.commit(most).await?)
    }

    async fn list(
        &self,
        ticket: &UploadTicket,
        name: &FileName,
        key: &str,
        stored: StoredBlob,
    ) -> Result<Committed<(DepositionFile, Option<String>)>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        check(&mut uow, ticket, Some(name)).await?;
        let id = &ticket.id;
        let listed = uow
            .depositions()
            .put_file(id, name, key, stored.bytes, stored.sha256)
            .await?;
        let checksum = format!("sha256:{}", domain::registry::digest::hex(&stored.sha256));
        let payload = json!({"deposition_id": id.as_str(), "filename": name.as_str(), "size": stored.bytes, "checksum": checksum});
        uow.activity()
            .append(&event("FileUploadedEvent", id, &ticket.asker.actor, payload))
            .await?;
        Ok(uow.commit(listed).await?)
    }
}

async fn check(uow: &mut UnitOfWork, ticket: &UploadTicket, name: Option<&FileName>) -> Result<u64, Failure> {
    let locked = lock(&mut **uow, &ticket.id, &ticket.asker, DepositionUse::Write, DRAFT).await?;
    let convention = uow.conventions().find(&locked.convention).await?;
    let rules = convention
        .ok_or(DepositionError::UnknownConvention(locked.convention))?
        .file_requirements;
    if let Some(name) = name {
        let files = uow.depositions().files(&ticket.id).await?;
        let others = files.iter().filter(|file| file.name != *name).count();
        rules.check_upload(name, others as u64)?;
    }
    Ok(rules.most_bytes())
}

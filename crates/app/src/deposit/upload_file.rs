//! `POST /depositions/{srn}/files`: a file, streamed into the store for files.
//!
//! Invariant: a file that is listed is kept whole, with its size and checksum. Who may upload, and whether this file may be, is decided before
//! the first byte is kept (WC-D24), and once more under the deposition's lock when it is listed: another upload or a submission may have come in
//! between. What was kept and is not listed is removed.

use std::sync::Arc;

use auth::{Permit, act};
use domain::deposit::deposition::{DepositionError, DepositionUse};
use domain::kind::{Coded as _, Kind};
use domain::{DepositionId, FileName, Invalid, NodeDomain};
use ports::deposit::DepositionFile;
use ports::{Blobs, ByteStream, Committed, Ids, KeptBlob, PutError, Store, UnitOfWork};
use serde_json::json;

use crate::access::deposition::{DRAFT, DepositionAsker, id_of, lock};
use crate::deposit::create_deposition::event;
use crate::failure::Failure;
use crate::retry::retried;

/// Takes uploads.
pub struct UploadFile {
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    ids: Arc<dyn Ids>,
    node: NodeDomain,
}

/// What an upload is to be checked by, once it was found that it may begin.
pub struct UploadTicket {
    pub(crate) asker: DepositionAsker,
    pub(crate) id: DepositionId,
}

impl UploadFile {
    /// A use case on these ports.
    pub fn new(store: Arc<dyn Store>, blobs: Arc<dyn Blobs>, ids: Arc<dyn Ids>, node: NodeDomain) -> Self {
        Self {
            store,
            blobs,
            ids,
            node,
        }
    }

    /// Whether the caller may upload anything to this deposition; asked before its body is looked at.
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

    /// Keeps a file of this name; a file that had it is replaced.
    pub async fn run(
        &self,
        ticket: &UploadTicket,
        name: &str,
        content: ByteStream,
    ) -> Result<DepositionFile, Failure> {
        let name: FileName = name.parse().map_err(|e: Invalid| e.of_field("file"))?;
        let most = retried!(self.may_begin(ticket, Some(&name)))?.into_inner();
        let key = format!("depositions/{}/{}", ticket.id, self.ids.new_id());
        let kept = match self.blobs.put_stream(&key, content, most).await {
            Ok(kept) => kept,
            Err(PutError::Store(error)) => return Err(error.into()),
            Err(PutError::TooLarge(most)) => {
                let why = format!(
                    "{:?} has more than {most} bytes, the most that this convention takes",
                    name.as_str()
                );
                return Err(Invalid::value(why).of_field("file").into());
            }
            Err(PutError::Source(error)) => {
                return Err(
                    Invalid::value(format!("the upload broke off: {error}; nothing was kept"))
                        .of_field("file")
                        .into(),
                );
            }
        };
        match retried!(self.list(ticket, &name, &key, kept)) {
            Ok(listed) => {
                let (file, replaced) = listed.into_inner();
                if let Some(old) = replaced {
                    self.remove(&old).await;
                }
                Ok(file)
            }
            Err(failure) => {
                // Where the commit's answer was lost the file may be listed: then its content must stay.
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

    /// Checks who, where and what; gives the greatest size.
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
        kept: KeptBlob,
    ) -> Result<Committed<(DepositionFile, Option<String>)>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        check(&mut uow, ticket, Some(name)).await?;
        let id = &ticket.id;
        let listed = uow
            .depositions()
            .put_file(id, name, key, kept.bytes, kept.sha256)
            .await?;
        let checksum = format!("sha256:{}", domain::registry::digest::hex(&kept.sha256));
        let payload = json!({"deposition_id": id.as_str(), "filename": name.as_str(), "size": kept.bytes, "checksum": checksum});
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

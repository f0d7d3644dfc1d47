//! `POST /data/records/{id}/withdraw` and `/restore` (EDG-4).

use std::sync::Arc;

use app::data::withdraw_record::RecordState;
use auth::act;
use domain::{Invalid, Reason};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::data::catalogue::Tag;
use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, WithdrawalBody, path};
use crate::services::Services;

pub(crate) struct WithdrawalsApi(pub(crate) Arc<Services>);

/// A withdrawal of records.
#[derive(Debug, Object)]
pub(crate) struct WithdrawBody {
    /// Reason for the withdrawal, shown to everyone who asks for a withdrawn record (1–2000 characters).
    reason: String,
}

impl WithdrawBody {
    /// Returns the reason, or a problem that names it.
    pub(crate) fn reason(&self) -> Result<Reason, Problem> {
        reason(&self.reason)
    }
}

/// A restore of withdrawn records.
#[derive(Debug, Object)]
pub(crate) struct RestoreBody {
    /// Reason for the restore, recorded in the activity log (1–2000 characters).
    reason: Option<String>,
}

impl RestoreBody {
    /// Returns the reason, if there is one, or a problem that names it.
    pub(crate) fn reason(&self) -> Result<Option<Reason>, Problem> {
        self.reason.as_deref().map(reason).transpose()
    }
}

fn reason(text: &str) -> Result<Reason, Problem> {
    text.parse()
        .map_err(|e: Invalid| Problem::invalid(&e.of_field("reason"), "body"))
}

/// A record after a withdrawal or restore.
#[derive(Debug, Object)]
struct RecordWithdrawal {
    id: String,
    /// SRN of the newest version.
    srn: String,
    /// Whether the record is withdrawn now.
    withdrawn: bool,
    /// Details of the withdrawal; `null` unless the record is withdrawn.
    withdrawal: Option<WithdrawalBody>,
}

impl From<RecordState> for RecordWithdrawal {
    fn from(state: RecordState) -> Self {
        Self {
            id: state.srn.id.to_string(),
            srn: state.srn.to_string(),
            withdrawn: state.withdrawal.is_some(),
            withdrawal: state.withdrawal.as_ref().map(Into::into),
        }
    }
}

#[OpenApi(tag = "Tag::Data")]
impl WithdrawalsApi {
    /// Withdraw a record with all of its versions.
    ///
    /// Reads of the record then return 410 with the reason, tables leave it out, and it takes no new version. Tables
    /// read as of an earlier time still contain it. For curators, callers with the scope `records:withdraw`, and the
    /// user or service account that published the newest version. Withdrawing a withdrawn record changes nothing.
    #[oai(
        path = "/data/records/:id/withdraw",
        method = "post",
        operation_id = "withdrawRecord"
    )]
    async fn withdraw(
        &self,
        Gate(permit): Gate<act::WithdrawOwnRecords>,
        id: Path<String>,
        body: Body<WithdrawBody>,
    ) -> Result<Json<RecordWithdrawal>, Problem> {
        let id = path("id", &id.0)?;
        let reason = body.0.reason()?;
        let state = self.0.data.withdraw_record.withdraw(permit, id, reason).await?;
        Ok(Json(state.into_inner().into()))
    }

    /// Restore a withdrawn record. The callers are those who may withdraw it. Restoring a record that is not withdrawn
    /// changes nothing.
    ///
    /// A record that was withdrawn with its ingest run cannot be restored alone.
    #[oai(
        path = "/data/records/:id/restore",
        method = "post",
        operation_id = "restoreRecord"
    )]
    async fn restore(
        &self,
        Gate(permit): Gate<act::WithdrawOwnRecords>,
        id: Path<String>,
        body: Body<RestoreBody>,
    ) -> Result<Json<RecordWithdrawal>, Problem> {
        let id = path("id", &id.0)?;
        let reason = body.0.reason()?;
        let state = self.0.data.withdraw_record.restore(permit, id, reason).await?;
        Ok(Json(state.into_inner().into()))
    }
}

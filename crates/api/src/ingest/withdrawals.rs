//! `POST /ingestions/{id}/withdraw` and `/restore` (EDG-4).

use std::sync::Arc;

use app::ingest::withdraw_ingestion::RunState;
use auth::act;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::data::withdrawals::{RestoreBody, WithdrawBody};
use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, WithdrawalBody, path};
use crate::ingest::wire::Tag;
use crate::services::Services;

pub(crate) struct IngestWithdrawalsApi(pub(crate) Arc<Services>);

/// An ingest run after a withdrawal or restore of its records.
#[derive(Debug, Object)]
struct IngestWithdrawal {
    /// Id of the run.
    id: String,
    /// Whether the run's records are withdrawn now.
    withdrawn: bool,
    /// Details of the withdrawal; `null` unless the records are withdrawn.
    withdrawal: Option<WithdrawalBody>,
    /// Number of records that have left the tables, or come back, so far.
    records: u64,
    /// Whether the tables show the final state. If not, the server continues in the background; repeat the request to
    /// see the progress.
    finished: bool,
}

impl From<RunState> for IngestWithdrawal {
    fn from(state: RunState) -> Self {
        Self {
            id: state.run.to_string(),
            withdrawn: state.withdrawal.is_some(),
            withdrawal: state.withdrawal.as_ref().map(Into::into),
            records: state.progress.records,
            finished: state.progress.finished,
        }
    }
}

#[OpenApi(tag = "Tag::Ingestions")]
impl IngestWithdrawalsApi {
    /// Withdraw the records of a run together: those whose newest version the run published.
    ///
    /// The run must have ended. Reads of these records return 410 at once, and tables leave them out within a moment; a
    /// large run takes longer, see `finished`. For curators, callers with the scope `records:withdraw`, and the user or
    /// service account that opened the run. Withdrawing again changes nothing.
    #[oai(
        path = "/ingestions/:id/withdraw",
        method = "post",
        operation_id = "withdrawIngestion"
    )]
    async fn withdraw(
        &self,
        Gate(permit): Gate<act::WithdrawOwnRecords>,
        id: Path<String>,
        body: Body<WithdrawBody>,
    ) -> Result<Json<IngestWithdrawal>, Problem> {
        let run = path("id", &id.0)?;
        let reason = body.0.reason()?;
        let state = self.0.ingest.withdraw_ingestion.withdraw(permit, run, reason);
        Ok(Json(state.await?.into()))
    }

    /// Restore the records of a withdrawn run. The callers are those who may withdraw them. Records that were also
    /// withdrawn one by one stay withdrawn.
    #[oai(
        path = "/ingestions/:id/restore",
        method = "post",
        operation_id = "restoreIngestion"
    )]
    async fn restore(
        &self,
        Gate(permit): Gate<act::WithdrawOwnRecords>,
        id: Path<String>,
        body: Body<RestoreBody>,
    ) -> Result<Json<IngestWithdrawal>, Problem> {
        let run = path("id", &id.0)?;
        let reason = body.0.reason()?;
        let state = self.0.ingest.withdraw_ingestion.restore(permit, run, reason);
        Ok(Json(state.await?.into()))
    }
}

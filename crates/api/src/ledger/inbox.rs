//! `/inbox`: results of the delegations that the caller created (LED-7).

use std::sync::Arc;

use app::views::Message;
use auth::act;
use domain::Invalid;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::Problem;
use crate::http::query::{Limit, page_size, refused_body, wait};
use crate::http::render::model_time;
use crate::ledger::delegations::Tag;
use crate::services::Services;

/// Page size: default and maximum. Each message may hold a result of 256 KiB.
const PAGE: (u32, u32) = (20, 50);
/// Maximum number of messages in one acknowledgement.
const MAX_ACKNOWLEDGED: usize = 1000;

pub(crate) struct InboxApi(pub(crate) Arc<Services>);

/// The result of a delegation.
#[derive(Debug, Object)]
struct InboxMessage {
    /// Id for the acknowledgement.
    message_id: i64,
    delegation_id: String,
    attempt: i64,
    /// `completed`, `failed` or `stuck`.
    status: String,
    result: Option<Value>,
    /// Why it failed or got stuck.
    error_detail: Option<String>,
    /// The delegation that continues its task.
    redelegated_as: Option<String>,
    arrived_at: String,
}

/// Unacknowledged messages, oldest first.
#[derive(Debug, Object)]
struct InboxList {
    items: Vec<InboxMessage>,
}

/// `POST /inbox/acknowledge`.
#[derive(Debug, Object)]
struct AcknowledgeBody {
    /// Ids of the messages, at most 1000.
    message_ids: Vec<i64>,
}

/// The messages that this request acknowledged.
#[derive(Debug, Object)]
struct Acknowledged {
    /// Messages that were pending. The others were acknowledged before or belong to another caller.
    message_ids: Vec<i64>,
}

impl From<Message> for InboxMessage {
    fn from(message: Message) -> Self {
        Self {
            message_id: message.id,
            delegation_id: message.delegation.to_string(),
            attempt: message.attempt,
            status: message.status.to_string(),
            result: message.result,
            error_detail: message.error_detail,
            redelegated_as: message.redelegated_as,
            arrived_at: model_time(message.arrived_at),
        }
    }
}

#[OpenApi(tag = "Tag::Delegations")]
impl InboxApi {
    /// List the caller's inbox. Unacknowledged messages are redelivered.
    #[oai(path = "/inbox", method = "get", operation_id = "listInbox")]
    async fn list(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        /// Cursor: only messages after this id, to read on without acknowledging. Restart without it regularly, because
        /// a message may arrive with a smaller id than one already seen.
        after: Query<Option<i64>>,
        /// Maximum number of messages per page (1–50, default 20).
        limit: Query<Option<Limit>>,
        /// Long poll: seconds to wait if there are no messages (at most 30, default 0).
        #[oai(name = "wait")]
        seconds: Query<Option<Limit>>,
    ) -> Result<Json<InboxList>, Problem> {
        let items = self
            .0
            .ledger
            .read_inbox
            .list(
                permit,
                after.0.unwrap_or(0),
                page_size(limit.0, PAGE),
                wait(seconds.0),
            )
            .await?;
        Ok(Json(InboxList {
            items: items.into_iter().map(Into::into).collect(),
        }))
    }

    /// Acknowledge messages. They are not delivered again.
    #[oai(
        path = "/inbox/acknowledge",
        method = "post",
        operation_id = "acknowledgeInbox"
    )]
    async fn acknowledge(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<AcknowledgeBody>,
    ) -> Result<Json<Acknowledged>, Problem> {
        let ids = body.0.message_ids;
        if ids.is_empty() || ids.len() > MAX_ACKNOWLEDGED {
            let rule = format!("must have 1 to {MAX_ACKNOWLEDGED} entries");
            return Err(refused_body("message_ids", Invalid::value(rule)));
        }
        let done = self.0.ledger.read_inbox.acknowledge(permit, &ids).await?;
        Ok(Json(Acknowledged {
            message_ids: done.into_inner(),
        }))
    }
}

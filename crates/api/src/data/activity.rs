//! `/activity` and `/events`: the activity log, as a feed that a client can follow without missing an entry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use app::views::{ActivityEntry, ActivityFilter};
use auth::act;
use domain::{EntryId, Invalid};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi, Tags};
use serde_json::Value;

use crate::http::gate::Gate;
use crate::http::problem::Problem;
use crate::http::query::{Limit, actor, page_size, refused, strict_page_size, wait};
use crate::http::query_params::{QueryParams, query_params};
use crate::http::render::model_time;
use crate::services::Services;

/// Page size of the activity log: default and maximum.
const PAGE: (u32, u32) = (100, 1000);
/// Page size of the changefeed (WC-1.7): default and maximum.
const EVENTS: (u32, u32) = (50, 500);
/// Maximum number of kinds in one request.
const MAX_KINDS: usize = 50;

#[derive(Tags)]
enum Tag {
    /// The activity log and the changefeed.
    Activity,
}

pub(crate) struct ActivityApi(pub(crate) Arc<Services>);

/// An entry of the activity log.
#[derive(Debug, Object)]
struct ActivityItem {
    /// Entry id. The order of the ids is the order of the log.
    id: String,
    /// Kind of the event, such as `HookReleased` or `TaskStatusChanged`.
    kind: String,
    /// Affected object, such as `hook:body_shape` or `task:<id>`.
    subject: String,
    /// Actor: `user:<id>`, `service_account:<id>` or `system`.
    actor: String,
    /// Further details, which depend on the kind.
    data: BTreeMap<String, Value>,
    created_at: String,
}

/// Entries of the activity log.
#[derive(Debug, Object)]
struct ActivityList {
    items: Vec<ActivityItem>,
    /// Send as `after` to continue from here. Also set when the page is empty; `null` only while the log is empty.
    next_cursor: Option<String>,
    /// Whether more entries are available now. A selective filter may return a short or empty page although more
    /// entries follow.
    has_more: bool,
}

/// An entry of the changefeed.
#[derive(Debug, Object)]
struct EventItem {
    id: String,
    /// Class of the event.
    #[oai(rename = "type")]
    kind: String,
    created_at: String,
    data: BTreeMap<String, Value>,
}

/// Entries of the changefeed.
#[derive(Debug, Object)]
struct EventList {
    events: Vec<EventItem>,
    /// Send as `after` to continue from here.
    cursor: Option<String>,
    has_more: bool,
}

query_params! {
    /// Selects entries of the activity log.
    struct ActivityQuery {
        /// `next_cursor` of the previous page. Omit it to start from the beginning.
        after: Option<String>,
        /// Maximum number of entries per page (1–1000, default 100).
        limit: Option<Limit>,
        /// Only entries of this actor: `user:<id>` or `service_account:<id>`.
        actor: Option<String>,
        /// Only entries about this subject, such as `hook:body_shape`.
        subject: Option<String>,
        /// Only entries of this kind. May be repeated, at most 50 times.
        kind: Option<Vec<String>>,
        /// `desc` for newest first; any other value means oldest first.
        order: Option<String>,
        /// Long poll: seconds to wait if there are no entries (at most 30, default 0).
        wait: Option<Limit>,
    }
}

fn fields(payload: Value) -> BTreeMap<String, Value> {
    match payload {
        Value::Object(map) => map.into_iter().collect(),
        other => BTreeMap::from([("value".to_owned(), other)]),
    }
}

impl From<ActivityEntry> for ActivityItem {
    fn from(entry: ActivityEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            kind: entry.kind,
            subject: entry.subject,
            actor: entry.actor.to_string(),
            data: fields(entry.payload),
            created_at: model_time(entry.created_at),
        }
    }
}

impl From<ActivityEntry> for EventItem {
    fn from(entry: ActivityEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            kind: entry.kind,
            created_at: model_time(entry.created_at),
            data: fields(entry.payload),
        }
    }
}

fn text(field: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.len() > 500 || text.contains('\0') => Err(refused(
            field,
            Invalid::value("must have at most 500 bytes, and not the character NUL"),
        )),
        other => Ok(other),
    }
}

fn kinds(field: &str, given: Option<Vec<String>>) -> Result<Vec<String>, Problem> {
    let given = given.unwrap_or_default();
    if given.len() > MAX_KINDS {
        return Err(refused(
            field,
            Invalid::value(format!("must be given at most {MAX_KINDS} times")),
        ));
    }
    given
        .into_iter()
        .map(|kind| Ok(text(field, Some(kind))?.unwrap_or_default()))
        .collect()
}

fn after(cursor: Option<&str>) -> Result<Option<EntryId>, Problem> {
    cursor
        .map(|text| text.parse().map_err(|e| refused("after", e)))
        .transpose()
}

#[OpenApi(tag = "Tag::Activity")]
impl ActivityApi {
    /// Follow the activity log.
    ///
    /// Entries come oldest first. Send `next_cursor` as `after` to continue. No entry is ever missed, even when
    /// transactions overlap.
    #[oai(path = "/activity", method = "get", operation_id = "listActivity")]
    async fn follow(
        &self,
        Gate(permit): Gate<act::ReadActivity>,
        QueryParams(query): QueryParams<ActivityQuery>,
    ) -> Result<Json<ActivityList>, Problem> {
        let newest_first = query.order.as_deref() == Some("desc");
        let filter = ActivityFilter {
            actor: query
                .actor
                .map(|text| actor(&text).map_err(|e| refused("actor", e)))
                .transpose()?,
            subject: text("subject", query.subject)?,
            kinds: kinds("kind", query.kind)?,
            newest_first,
            after: after(query.after.as_deref())?,
        };
        // No entry precedes the newest one, so waiting makes no sense.
        let wait = if newest_first {
            Duration::ZERO
        } else {
            wait(query.wait)
        };
        let page = self
            .0
            .data
            .read_activity
            .follow(permit, filter, page_size(query.limit, PAGE), wait)
            .await
            .map_err(|e| Problem::of_error(&e, "query"))?;
        Ok(Json(ActivityList {
            items: page.entries.into_iter().map(Into::into).collect(),
            next_cursor: page.next.map(|id| id.to_string()),
            has_more: page.has_more,
        }))
    }

    /// Get the changefeed, in the shape of the Open Science Archive.
    ///
    /// Curators and the scope `events:read` see every event. Other callers see public events, without personal data.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    async fn events(
        &self,
        Gate(permit): Gate<act::ReadEvents>,
        /// `cursor` of the previous page. Omit it to start from the beginning.
        #[oai(name = "after")]
        cursor: Query<Option<String>>,
        /// Maximum number of events per page (1–500, default 50). Other values are refused.
        limit: Query<Option<Limit>>,
        /// Only events of this class. May be repeated.
        #[oai(explode = true)]
        types: Query<Option<Vec<String>>>,
        /// `desc` for newest first; any other value means oldest first.
        order: Query<Option<String>>,
    ) -> Result<Json<EventList>, Problem> {
        let most = strict_page_size(limit.0, EVENTS)?;
        let filter = ActivityFilter {
            kinds: kinds("types", types.0)?,
            newest_first: order.0.as_deref() == Some("desc"),
            after: after(cursor.0.as_deref())?,
            ..ActivityFilter::default()
        };
        let page = self
            .0
            .data
            .read_activity
            .events(permit, filter, most)
            .await
            .map_err(|e| Problem::of_error(&e, "query"))?;
        Ok(Json(EventList {
            events: page.entries.into_iter().map(Into::into).collect(),
            cursor: page.next.map(|id| id.to_string()),
            has_more: page.has_more,
        }))
    }
}

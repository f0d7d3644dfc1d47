//! `/hooks/{name}/live` and yanks: which release is live, since when, who moved the pointer, and why.

use std::sync::Arc;

use app::registry::yank_release::Yanked;
use auth::act;
use domain::registry::hook::{HookRelease, LiveMove};
use domain::{HookName, Invalid, Reason, ReleaseVersion};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{Limit, page_size};
use crate::http::render::model_time;
use crate::registry::hooks::{Tag, version};
use crate::registry::wire::WireYank;
use crate::services::Services;

/// Page size: default and maximum.
const PAGE: (u32, u32) = (100, 1000);

pub(crate) struct HooksLiveApi(pub(crate) Arc<Services>);

/// `PUT /hooks/{name}/live`.
#[derive(Debug, Object)]
struct LiveBody {
    /// The version that becomes live.
    #[oai(validator(minimum(value = "1")))]
    version: i64,
    /// Reason for the move, recorded in the history.
    reason: Option<String>,
}

/// The live release of a hook.
#[derive(Debug, Object)]
struct LiveRelease {
    hook_name: String,
    live_version: u32,
    live_release_id: String,
}

/// The release that was live at a time. Before the first release, every field except the hook's name and the time is
/// null.
#[derive(Debug, Object)]
struct LiveThen {
    hook_name: String,
    /// The requested time; the time of the response if the request names none.
    at: String,
    live_version: Option<u32>,
    live_release_id: Option<String>,
    digest: Option<String>,
    source_ref: Option<String>,
    /// When this release became live.
    since: Option<String>,
    /// Who made it live: `user:<id>` or `service_account:<id>`.
    moved_by: Option<String>,
    /// Reason for the move, if one was given.
    reason: Option<String>,
}

/// One move of a hook's live pointer.
#[derive(Debug, Object)]
struct LiveMoveItem {
    /// Number of the move: 1, 2, 3, ... per hook, without gaps.
    #[oai(rename = "move")]
    number: u32,
    /// The previously live version; `null` before the first release.
    from_version: Option<u32>,
    to_version: u32,
    /// Who moved it: `user:<id>` or `service_account:<id>`.
    moved_by: String,
    /// Reason for the move, if one was given.
    reason: Option<String>,
    moved_at: String,
}

/// A page of moves of a hook's live pointer, newest first.
#[derive(Debug, Object)]
struct LiveHistory {
    hook_name: String,
    moves: Vec<LiveMoveItem>,
    /// Send as `cursor` to read the next page; `null` on the last page.
    next_cursor: Option<String>,
    has_more: bool,
}

/// `POST /hooks/{name}/releases/{version}/yank`.
#[derive(Debug, Object)]
struct YankBody {
    /// Reason for the yank, shown to readers of the release's rows.
    reason: String,
    /// The release that becomes live instead; required if the yanked release is live.
    #[oai(validator(minimum(value = "1")))]
    fallback_version: Option<i64>,
}

/// `POST /hooks/{name}/releases/{version}/unyank`.
#[derive(Debug, Object)]
struct UnyankBody {
    /// Reason for the unyank, recorded in the activity log.
    reason: Option<String>,
}

/// A release after a yank or unyank, and the version that is live now.
#[derive(Debug, Object)]
struct YankedRelease {
    hook_name: String,
    version: u32,
    id: String,
    /// Details of the yank; `null` unless the release is yanked.
    yanked: Option<WireYank>,
    live_version: Option<u32>,
}

impl From<Yanked> for YankedRelease {
    fn from(done: Yanked) -> Self {
        let release = done.release;
        Self {
            hook_name: release.hook.into(),
            version: release.version.get(),
            id: release.id.to_string(),
            yanked: release.yanked.map(Into::into),
            live_version: done.live.map(ReleaseVersion::get),
        }
    }
}

impl From<LiveMove> for LiveMoveItem {
    fn from(m: LiveMove) -> Self {
        Self {
            number: m.number,
            from_version: m.from.map(ReleaseVersion::get),
            to_version: m.to.get(),
            moved_by: m.by.to_string(),
            reason: m.reason,
            moved_at: model_time(m.at),
        }
    }
}

/// Checks a version in a body. A number that no hook can have is an unknown version.
fn version_number(field: &'static str, number: i64) -> Result<u32, Problem> {
    if number < 1 {
        let rule = Invalid::value("must be a positive version number").of_field(field);
        return Err(Problem::invalid(&rule, "body"));
    }
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn reason(text: Option<&str>) -> Result<Option<Reason>, Problem> {
    text.map(str::parse)
        .transpose()
        .map_err(|e: Invalid| Problem::invalid(&e.of_field("reason"), "body"))
}

#[OpenApi(tag = "Tag::Hooks")]
impl HooksLiveApi {
    /// Make a release live: roll back or forward.
    #[oai(path = "/hooks/:name/live", method = "put", operation_id = "setLiveRelease")]
    async fn set_live(
        &self,
        Gate(permit): Gate<act::WriteHooks>,
        name: Path<String>,
        body: Body<LiveBody>,
    ) -> Result<Json<LiveRelease>, Problem> {
        let name: HookName = path("name", &name.0)?;
        let version = version_number("version", body.0.version)?;
        let reason = reason(body.0.reason.as_deref())?;
        let release = self
            .0
            .registry
            .set_live
            .run(permit, name, version, reason)
            .await?
            .into_inner();
        Ok(Json(LiveRelease {
            hook_name: release.hook.into(),
            live_version: release.version.get(),
            live_release_id: release.id.to_string(),
        }))
    }

    /// Get the release that is live, or that was live at a given time.
    #[oai(path = "/hooks/:name/live", method = "get", operation_id = "getLiveRelease")]
    async fn live(
        &self,
        Gate(permit): Gate<act::ReadHooks>,
        name: Path<String>,
        /// A time (RFC 3339), such as `2026-11-24T12:00:00Z`.
        at: Query<Option<String>>,
    ) -> Result<Json<LiveThen>, Problem> {
        let name: HookName = path("name", &name.0)?;
        let at = match &at.0 {
            None => None,
            // An unescaped `+` of the offset arrives as a space.
            Some(text) => {
                let parsed = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339).ok();
                // Near the ends of the calendar, a time with an offset has no equivalent in UTC.
                let utc = parsed.and_then(|at| at.checked_to_offset(UtcOffset::UTC));
                let at = utc.filter(|at| (1..=9999).contains(&at.year()));
                Some(at.ok_or_else(|| {
                    let rule = Invalid::value(
                        "must be an RFC 3339 time of the years 1 to 9999, such as 2026-11-24T12:00:00Z",
                    );
                    Problem::invalid(&rule.of_field("at"), "query")
                })?)
            }
        };
        let (at, found) = self.0.registry.read_hooks.live_at(permit, &name, at).await?;
        let (moved, release): (Option<LiveMove>, Option<HookRelease>) = found.unzip();
        let content = release.as_ref().map(|r| &r.release);
        Ok(Json(LiveThen {
            hook_name: name.into(),
            at: model_time(at),
            live_version: release.as_ref().map(|r| r.version.get()),
            live_release_id: release.as_ref().map(|r| r.id.to_string()),
            digest: content.map(|c| c.content.digest.to_string()),
            source_ref: content.map(|c| c.source_ref.clone()),
            since: moved.as_ref().map(|m| model_time(m.at)),
            moved_by: moved.as_ref().map(|m| m.by.to_string()),
            reason: moved.and_then(|m| m.reason),
        }))
    }

    /// List the moves of a hook's live pointer, newest first.
    #[oai(
        path = "/hooks/:name/live/history",
        method = "get",
        operation_id = "listLiveMoves"
    )]
    async fn history(
        &self,
        Gate(permit): Gate<act::ReadHooks>,
        name: Path<String>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Maximum number of moves per page (1–1000, default 100).
        limit: Query<Option<Limit>>,
    ) -> Result<Json<LiveHistory>, Problem> {
        let name: HookName = path("name", &name.0)?;
        let before = match cursor.0 {
            None => None,
            Some(text) => Some(text.parse::<u32>().map_err(|_| {
                let rule = Invalid::value("must be the next_cursor of a previous page").of_field("cursor");
                Problem::invalid(&rule, "query")
            })?),
        };
        let most = page_size(limit.0, PAGE);
        let (moves, has_more) = self
            .0
            .registry
            .read_hooks
            .live_history(permit, &name, before, most)
            .await?;
        Ok(Json(LiveHistory {
            hook_name: name.into(),
            next_cursor: moves.last().filter(|_| has_more).map(|m| m.number.to_string()),
            moves: moves.into_iter().map(Into::into).collect(),
            has_more,
        }))
    }

    /// Yank a release.
    ///
    /// The release and its rows remain readable, but it cannot become live. To yank the live release, name a
    /// `fallback_version`, which becomes live in the same transaction.
    #[oai(
        path = "/hooks/:name/releases/:version/yank",
        method = "post",
        operation_id = "yankRelease"
    )]
    async fn yank(
        &self,
        Gate(permit): Gate<act::WriteHooks>,
        name: Path<String>,
        #[oai(name = "version")] number: Path<String>,
        body: Body<YankBody>,
    ) -> Result<Json<YankedRelease>, Problem> {
        let name: HookName = path("name", &name.0)?;
        let number = version(&number.0)?;
        let body = body.0;
        let reason: Reason = body
            .reason
            .parse()
            .map_err(|e: Invalid| Problem::invalid(&e.of_field("reason"), "body"))?;
        let fallback = body
            .fallback_version
            .map(|n| version_number("fallback_version", n))
            .transpose()?;
        let done = self
            .0
            .registry
            .yank_release
            .run(permit, name, number, reason, fallback)
            .await?;
        Ok(Json(done.into_inner().into()))
    }

    /// Unyank a release. The live pointer does not move.
    #[oai(
        path = "/hooks/:name/releases/:version/unyank",
        method = "post",
        operation_id = "unyankRelease"
    )]
    async fn unyank(
        &self,
        Gate(permit): Gate<act::WriteHooks>,
        name: Path<String>,
        #[oai(name = "version")] number: Path<String>,
        body: Body<UnyankBody>,
    ) -> Result<Json<YankedRelease>, Problem> {
        let name: HookName = path("name", &name.0)?;
        let number = version(&number.0)?;
        let reason = reason(body.0.reason.as_deref())?;
        let done = self
            .0
            .registry
            .unyank_release
            .run(permit, name, number, reason)
            .await?;
        Ok(Json(done.into_inner().into()))
    }
}

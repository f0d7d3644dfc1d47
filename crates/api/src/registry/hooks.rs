//! `/hooks`.

use std::collections::BTreeMap;
use std::sync::Arc;

use app::Committed;
use app::registry::ImageCheck;
use app::registry::create_release::Released;
use app::views::{HookSummary, HooksState};
use auth::act;
use domain::registry::hook::HookRelease;
use domain::{HookName, Invalid};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};
use serde_json::Value;

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::render::model_time;
use crate::http::rendered::{LastRendering, Rendered, RenderingKey, Renderings};
use crate::registry::wire::{WireFeature, WireLimits, WireLocation, WireYank, locations};
use crate::registry::wire_deploy::NewReleaseBody;
use crate::services::Services;

#[derive(Tags)]
pub(crate) enum Tag {
    /// The hook registry: releases, their history, and what runs next.
    Hooks,
}

pub(crate) struct HooksApi(Arc<Services>, Renderings, LastRendering<HooksState>);

impl HooksApi {
    pub(crate) fn new(services: &Arc<Services>) -> Self {
        Self(Arc::clone(services), Renderings::new(), LastRendering::new())
    }
}

/// A release in the response to its submission.
#[derive(Debug, Object)]
struct SubmittedRelease {
    hook_name: String,
    version: u32,
    id: String,
    digest: String,
    /// The location of the image that is in use.
    image: String,
    /// Every location of the image, in order: the last one is in use.
    locations: Vec<WireLocation>,
    /// Whether this request registered the last location. The location of a new release is part of it.
    location_added: bool,
    source_ref: String,
    built_at: String,
    /// Whether this version is live.
    live: bool,
    /// Details of the yank; `null` unless the release is yanked. A yanked release cannot become live.
    yanked: Option<WireYank>,
}

#[derive(Debug, ApiResponse)]
enum SubmitResponse {
    /// The hook already has a release with this digest, config and limits. If the image has another location than the
    /// one in use, the location was added; otherwise nothing changed.
    #[oai(status = 200)]
    Existing(Json<SubmittedRelease>),
    /// The new release, which is live.
    #[oai(status = 201)]
    Created(Json<SubmittedRelease>),
}

impl From<Committed<Released>> for SubmitResponse {
    fn from(done: Committed<Released>) -> Self {
        let Released {
            release,
            created,
            located,
            live,
        } = done.into_inner();
        let body = Json(SubmittedRelease {
            live: live == Some(release.version),
            hook_name: release.hook.into(),
            version: release.version.get(),
            id: release.id.to_string(),
            digest: release.release.content.digest.to_string(),
            image: release.release.image,
            locations: locations(&release.locations),
            location_added: located,
            source_ref: release.release.source_ref,
            built_at: model_time(release.built_at),
            yanked: release.yanked.map(Into::into),
        });
        if created {
            Self::Created(body)
        } else {
            Self::Existing(body)
        }
    }
}

/// The live release of a hook in a list.
#[derive(Debug, Object)]
struct LiveSummary {
    version: u32,
    digest: String,
    source_ref: String,
    built_at: String,
}

/// A hook in a list.
#[derive(Debug, Object)]
struct HookItem {
    name: String,
    feature: WireFeature,
    live_release: Option<LiveSummary>,
}

/// All hooks, by name.
#[derive(Debug, Object)]
struct HookList {
    items: Vec<HookItem>,
}

/// A release in a history.
#[derive(Debug, Object)]
struct ReleaseItem {
    version: u32,
    digest: String,
    /// The location of the image that is in use; of a file only its name, unless the caller may release hooks.
    image: String,
    /// Every location of the image, in order: the last one is in use.
    locations: Vec<WireLocation>,
    source_ref: String,
    /// Who released it: `user:<id>` or `service_account:<id>`.
    built_by: String,
    built_at: String,
    /// Details of the yank; `null` unless the release is yanked.
    yanked: Option<WireYank>,
}

/// A hook's releases, newest first.
#[derive(Debug, Object)]
struct ReleaseHistory {
    hook_name: String,
    live_version: Option<u32>,
    releases: Vec<ReleaseItem>,
}

/// A release with its content.
#[derive(Debug, Object)]
struct ReleaseDetail {
    hook_name: String,
    version: u32,
    id: String,
    /// The location of the image that is in use; of a file only its name, unless the caller may release hooks.
    image: String,
    /// Every location of the image, in order: the last one is in use.
    locations: Vec<WireLocation>,
    digest: String,
    config: BTreeMap<String, Value>,
    limits: WireLimits,
    source_ref: String,
    /// Who released it: `user:<id>` or `service_account:<id>`.
    built_by: String,
    built_at: String,
    live: bool,
    /// Details of the yank; `null` unless the release is yanked.
    yanked: Option<WireYank>,
}

impl ReleaseDetail {
    fn new(release: HookRelease, live: bool) -> Self {
        Self {
            hook_name: release.hook.into(),
            version: release.version.get(),
            id: release.id.to_string(),
            image: release.release.image,
            locations: locations(&release.locations),
            digest: release.release.content.digest.to_string(),
            limits: (&release.release.content.limits).into(),
            config: release.release.content.config.into_iter().collect(),
            source_ref: release.release.source_ref,
            built_by: release.built_by.to_string(),
            built_at: model_time(release.built_at),
            live,
            yanked: release.yanked.map(Into::into),
        }
    }
}

/// Returns whether images are looked at, from the parameter `check`.
pub(crate) fn image_check(check: Option<bool>) -> ImageCheck {
    if check.unwrap_or(true) {
        ImageCheck::Now
    } else {
        ImageCheck::Skip
    }
}

/// Parses the version in a path, a positive number. A number that no hook can have is an unknown version.
pub(crate) fn version(text: &str) -> Result<u32, Problem> {
    let number = text.parse::<u64>().map_err(|_| {
        Problem::invalid(
            &Invalid::value("must be a positive integer").of_field("version"),
            "path",
        )
    })?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

#[OpenApi(tag = "Tag::Hooks")]
impl HooksApi {
    /// Submit a release.
    ///
    /// New content becomes the next version and is live at once. For existing content the response is its release. If
    /// `image` is another location than the one in use, the location is added to the release and is used from then on.
    #[oai(
        path = "/hooks/:name/releases",
        method = "post",
        operation_id = "createHookRelease"
    )]
    async fn create_release(
        &self,
        Gate(permit): Gate<act::WriteHooks>,
        name: Path<String>,
        /// Whether the server looks at an image of the form `file:` and refuses a new release or location that
        /// cannot run (default `true`). Use `false` if the hooks run on other machines.
        check: Query<Option<bool>>,
        body: Body<NewReleaseBody>,
    ) -> Result<SubmitResponse, Problem> {
        let name: HookName = path("name", &name.0)?;
        let release = body.0.into_domain().map_err(|e| Problem::invalid(&e, "body"))?;
        Ok(self
            .0
            .registry
            .create_release
            .run(permit, name, release, image_check(check.0))
            .await?
            .into())
    }

    /// List hooks, by name.
    #[oai(path = "/hooks", method = "get", operation_id = "listHooks")]
    async fn list(&self, Gate(permit): Gate<act::ReadHooks>) -> Result<Rendered<HookList>, Problem> {
        let read_hooks = &self.0.registry.read_hooks;
        if let Some(rendered) = self.2.get(&read_hooks.state(&permit).await?) {
            return Ok(rendered);
        }
        let live = |r: HookRelease| LiveSummary {
            version: r.version.get(),
            digest: r.release.content.digest.to_string(),
            source_ref: r.release.source_ref,
            built_at: model_time(r.built_at),
        };
        let item = |h: HookSummary| HookItem {
            name: h.name.into(),
            feature: (&h.contract).into(),
            live_release: h.live.map(live),
        };
        let (state, hooks) = read_hooks.list(&permit).await?;
        let list = HookList {
            items: hooks.into_iter().map(item).collect(),
        };
        Ok(self.2.put(state, &list))
    }

    /// List the releases of a hook, newest first.
    #[oai(
        path = "/hooks/:name/releases",
        method = "get",
        operation_id = "listHookReleases"
    )]
    async fn history(
        &self,
        Gate(permit): Gate<act::ReadReleases>,
        name: Path<String>,
    ) -> Result<Json<ReleaseHistory>, Problem> {
        let name: HookName = path("name", &name.0)?;
        let (hook, releases) = self.0.registry.read_hooks.history(permit, &name).await?;
        let item = |r: HookRelease| ReleaseItem {
            version: r.version.get(),
            digest: r.release.content.digest.to_string(),
            image: r.release.image,
            locations: locations(&r.locations),
            source_ref: r.release.source_ref,
            built_by: r.built_by.to_string(),
            built_at: model_time(r.built_at),
            yanked: r.yanked.map(Into::into),
        };
        let live_version = hook.live.map(|release| release.version.get());
        Ok(Json(ReleaseHistory {
            hook_name: hook.name.into(),
            live_version,
            releases: releases.into_iter().map(item).collect(),
        }))
    }

    /// Get a release.
    #[oai(
        path = "/hooks/:name/releases/:version",
        method = "get",
        operation_id = "getHookRelease"
    )]
    async fn release(
        &self,
        Gate(permit): Gate<act::ReadReleases>,
        name: Path<String>,
        #[oai(name = "version")] number: Path<String>,
    ) -> Result<Rendered<ReleaseDetail>, Problem> {
        let name: HookName = path("name", &name.0)?;
        let seen = self
            .0
            .registry
            .read_hooks
            .release(permit, &name, version(&number.0)?)
            .await?;
        let (release, live) = (seen.release, seen.is_live);
        // A release is immutable; its live state, its locations and its yank are not, and the key of the cached
        // rendering covers all but the yank. Callers who see paths of files have a rendering of their own.
        if release.yanked.is_some() {
            return Ok(Rendered::new(&ReleaseDetail::new(release, live)));
        }
        let key = RenderingKey {
            release: release.id.as_uuid(),
            is_live: live,
            locations: release.locations.number(),
            shows_places: seen.shows_places,
        };
        Ok(self.1.get(key, || ReleaseDetail::new(release, live)))
    }
}

//! The page of a row's trace.

use app::views::{Identity, RowTrace, TraceDelegation, TraceSource, TraceTask};
use domain::{ImageLocation, NodeDomain};
use pages::{FieldValue, Source, Who};
use serde_json::Value;

use super::documents::column;
use super::{anyone, node};
use crate::http::problem::Problem;
use crate::services::Services;

fn who(identity: Identity) -> Who {
    Who {
        id: identity.actor.to_string(),
        name: identity.name,
        authority: identity.authority,
    }
}

fn source(trace: &mut RowTrace, node: &NodeDomain) -> Option<Source> {
    let ingest = |s: TraceSource| Source::Ingest {
        convention: s.convention.into(),
        ingest_run: s.run.to_string(),
        source_id: s.source_id.to_string(),
        upload: s.upload,
        line: s.line,
        batch: s.batch,
        opened_by: who(s.opened_by),
        pushed_by: who(s.pushed_by),
    };
    if let Some(deposition) = trace.deposition.take() {
        return Some(Source::Deposition {
            srn: deposition.id.srn(node),
            convention: deposition.convention.into(),
            submission: deposition.submission,
            submitted_at: deposition.submitted_at,
            owner: who(deposition.owner),
            curated_by: deposition.curated_by.map(who),
        });
    }
    trace.source.take().map(ingest)
}

fn delegation(d: TraceDelegation) -> pages::TracedDelegation {
    pages::TracedDelegation {
        id: d.id,
        caller: d.caller,
        callee: d.callee,
        status: d.status,
        attempt: d.attempt,
        worker: d.worker,
        created_at: d.created_at,
        updated_at: d.updated_at,
    }
}

fn task(t: TraceTask) -> pages::TracedTask {
    pages::TracedTask {
        id: t.id.to_string(),
        kind: t.kind,
        name: t.name,
        status: t.status,
        creator: who(t.creator),
        created_at: t.created_at,
        delegations: t.delegations.into_iter().map(delegation).collect(),
    }
}

fn location(location: &ImageLocation) -> pages::TracedLocation {
    pages::TracedLocation {
        image: location.image.clone(),
        by: location.by.to_string(),
        at: location.at,
    }
}

/// Builds the trace page of a row, as the public sees it.
pub(super) async fn trace(
    services: &Services,
    schema: &str,
    feature: &str,
    row_id: &str,
) -> Result<pages::TracePage, Problem> {
    let row = crate::http::query::row_id(row_id)?;
    let permit = anyone()?;
    let mut trace = services
        .data
        .read_provenance
        .trace(anyone()?, schema, feature, row)
        .await?;
    let table = services.data.read_data.columns(&permit, schema, feature).await?;
    let declared = table.iter().filter(|c| !c.implicit);
    let values = declared
        .map(|c| FieldValue {
            column: column(c),
            value: trace.values.get(&c.name).cloned().unwrap_or(Value::Null),
        })
        .collect();
    let source = source(&mut trace, &services.node.domain);
    let (run, release, record) = (trace.run, trace.release, trace.record);
    let limits = &release.release.content.limits;
    Ok(pages::TracePage {
        node: node(services),
        schema: schema.to_owned(),
        feature: feature.to_owned(),
        row: pages::TracedRow {
            id: trace.row_id,
            values,
            created_at: trace.created_at,
            current: trace.current,
            superseded_by: trace.superseded_by.map(|id| id.to_string()),
        },
        run: pages::TracedRun {
            id: run.id.to_string(),
            status: run.status.as_str().to_owned(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            duration_s: run.duration_s,
            oom_retries: run.oom_retries,
            worker: run.worker,
            image: release.location_of_run(run.location).image.clone(),
        },
        release: pages::TracedRelease {
            id: release.id.to_string(),
            hook: release.hook.into(),
            version: release.version.get(),
            image: release.release.image,
            locations: release.locations.all().map(location).collect(),
            digest: release.release.content.digest.to_string(),
            limits: vec![
                ("timeout".into(), format!("{} s", limits.timeout_seconds)),
                ("memory".into(), limits.memory.to_string()),
                ("cpu".into(), limits.cpu.to_string()),
            ],
            config: Value::Object(release.release.content.config),
            source_ref: release.release.source_ref,
            built_by: who(trace.built_by),
            built_at: release.built_at,
            live_version: trace.live.map(domain::ReleaseVersion::get),
            yanked: release.yanked.map(|yank| pages::Yanked {
                reason: yank.reason,
                by: yank.by.to_string(),
                at: yank.at,
            }),
        },
        record: pages::TracedRecord {
            id: record.srn.id.to_string(),
            srn: record.srn.to_string(),
            version: record.srn.version.get(),
            schema: record.schema.to_string(),
            created_at: record.created_at,
        },
        source,
        task: trace.task.map(task),
    })
}

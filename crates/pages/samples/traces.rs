//! Where rows of the archive of earthquakes come from.

use pages::{
    Source, TracePage, TracedDelegation, TracedLocation, TracedRecord, TracedRelease, TracedRow, TracedRun,
    TracedTask, Who, Yanked,
};
use serde_json::json;
use time::macros::datetime;

use super::quakes::{BUILT, COUNTED, DIGEST, PUBLISHED, RAN, SCHEMA, energy, energy_row, node, valued};

pub(crate) fn ana() -> Who {
    Who {
        id: "user:0190f3c2-7a11-7c55-8a55-0d3c1d1f2b77".to_owned(),
        name: Some("Ana Ruiz".to_owned()),
        authority: Some("orcid".to_owned()),
    }
}

pub(crate) fn builder() -> Who {
    Who {
        id: "service_account:0190f3c2-0000-7c55-8a55-0d3c1d1f2b00".to_owned(),
        name: Some("repo:quakes/hooks:ref:refs/heads/main".to_owned()),
        authority: Some("https://token.actions.example.com".to_owned()),
    }
}

pub(crate) fn ingest() -> Source {
    Source::Ingest {
        convention: "earthquakes".to_owned(),
        ingest_run: "0190f3c2-9c01-7d21-b1f0-3a2a0a7b6c10".to_owned(),
        source_id: "us7000abcd".to_owned(),
        upload: 1,
        line: 418,
        batch: Some(3),
        opened_by: ana(),
        pushed_by: builder(),
    }
}

pub(crate) fn delegation(attempt: i64, status: &str) -> TracedDelegation {
    TracedDelegation {
        id: format!("0190f3c2-aaaa-7d21-b1f0-00000000000{attempt}"),
        caller: "server:quakes-1".to_owned(),
        callee: format!("worker:quakes-{attempt}"),
        status: status.to_owned(),
        attempt,
        worker: Some(format!("quakes-{attempt}/ingest-0")),
        created_at: RAN,
        updated_at: PUBLISHED,
    }
}

pub(crate) fn ingest_trace() -> TracePage {
    let mut values = energy_row(0).cells;
    TracePage {
        node: node(),
        schema: SCHEMA.to_owned(),
        feature: "quake_energy".to_owned(),
        row: TracedRow {
            id: 1,
            values: valued(energy(), values.split_off(4)),
            created_at: PUBLISHED,
            current: true,
            superseded_by: None,
        },
        run: TracedRun {
            id: "5b1c6f0e-3c65-5d0e-9d0c-1f6f2f0d7a11".to_owned(),
            status: "completed".to_owned(),
            started_at: RAN,
            finished_at: datetime!(2026-11-21 04:05:03.3 UTC),
            duration_s: 12.3,
            oom_retries: 1,
            worker: "quakes-2/ingest-0".to_owned(),
            image: "ghcr.io/quakes/energy:1.4.0".to_owned(),
        },
        release: TracedRelease {
            id: "0190f3c2-1111-7d21-b1f0-3a2a0a7b6c10".to_owned(),
            hook: "quake_energy".to_owned(),
            version: 3,
            image: "ghcr.io/quakes/energy:1.4.0".to_owned(),
            locations: vec![TracedLocation {
                image: "ghcr.io/quakes/energy:1.4.0".to_owned(),
                by: builder().id,
                at: BUILT,
            }],
            digest: DIGEST.to_owned(),
            config: json!({"relation": "Gutenberg-Richter", "cutoff": 2.5}),
            limits: [("timeout_seconds", "60"), ("memory", "256m"), ("cpu", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            source_ref: "https://github.com/quakes/hooks/commit/0123abc".to_owned(),
            built_by: builder(),
            built_at: BUILT,
            live_version: Some(3),
            yanked: None,
        },
        record: TracedRecord {
            id: "us7000abcd".to_owned(),
            srn: "urn:osa:quakes.example.org:rec:us7000abcd@1".to_owned(),
            version: 1,
            schema: SCHEMA.to_owned(),
            created_at: PUBLISHED,
        },
        source: Some(ingest()),
        task: Some(TracedTask {
            id: "0190f3c2-bbbb-7d21-b1f0-3a2a0a7b6c10".to_owned(),
            kind: "ingest_batch".to_owned(),
            name: "ingest batch 3 of earthquakes".to_owned(),
            status: "completed".to_owned(),
            creator: ana(),
            created_at: RAN,
            delegations: vec![delegation(1, "stuck"), delegation(2, "completed")],
        }),
    }
}

pub(crate) fn deposition_trace() -> TracePage {
    let mut trace = ingest_trace();
    trace.row.id = 2;
    trace.row.current = false;
    trace.row.superseded_by = Some("5b1c6f0e-ffff-5d0e-9d0c-1f6f2f0d7a11".to_owned());
    trace.release.yanked = Some(Yanked {
        reason: "The constant of the relation was wrong.".to_owned(),
        by: ana().id,
        at: COUNTED,
    });
    trace.release.live_version = Some(4);
    trace.source = Some(Source::Deposition {
        srn: "urn:osa:quakes.example.org:dep:0190f3c2-9c01-7d21-b1f0-3a2a0a7b6c10".to_owned(),
        convention: "earthquakes".to_owned(),
        submission: 2,
        submitted_at: RAN,
        owner: ana(),
        curated_by: Some(Who {
            id: "user:0190f3c2-cccc".to_owned(),
            name: Some("Björk Jónsdóttir".to_owned()),
            authority: Some("orcid".to_owned()),
        }),
    });
    if let Some(task) = &mut trace.task {
        task.delegations = (1..6)
            .map(|n| delegation(n, "failed"))
            .chain([delegation(6, "completed")])
            .collect();
    }
    trace
}

pub(crate) fn bare_trace() -> TracePage {
    TracePage {
        source: None,
        task: None,
        ..ingest_trace()
    }
}

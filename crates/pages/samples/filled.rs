//! Every page with one text in every place that a text can be in.

use pages::{
    Column, ConventionEntry, Count, ErrorPage, FieldValue, FrontPage, HookEntry, LiveRelease, Node,
    RecordFeature, RecordPage, RowOf, Sample, SchemaDoc, SchemaEntry, SchemaExample, SchemaFeature, Skill,
    SkillConvention, SkillDataset, SkillFeature, Source, TableEntry, TableKind, TablePage, TableRow, Totals,
    TracePage, TracedDelegation, TracedLocation, TracedRecord, TracedRelease, TracedRow, TracedRun,
    TracedTask, Who, Yanked,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

const AT: OffsetDateTime = datetime!(2026-11-25 15:46:18 UTC);
const SOME: Count = Count {
    value: 1234,
    exact: false,
};

/// The address that the pages' links begin with, unless a test says otherwise.
const BASE: &str = "https://archive.example.org";

/// Each page and document: its name, its media type, its text.
pub(crate) fn every_page(text: &str) -> Vec<(&'static str, &'static str, String)> {
    every_page_of(BASE, text)
}

/// The same of an archive at this address.
pub(crate) fn every_page_of(base: &str, text: &str) -> Vec<(&'static str, &'static str, String)> {
    let base = super::base(base);
    let error = ErrorPage {
        base: base.clone(),
        status: 500,
        title: text.to_owned(),
        detail: text.to_owned(),
    };
    let (mut front, mut record, mut trace) = (front(text), record(text), trace(text));
    let (mut records, mut feature) = (table(text, TableKind::Records), table(text, TableKind::Feature));
    let (mut skill, mut schema) = (skill(text), schema_doc(text));
    for node in [
        &mut front.node,
        &mut record.node,
        &mut trace.node,
        &mut records.node,
        &mut feature.node,
        &mut skill.node,
        &mut schema.node,
    ] {
        node.base = base.clone();
    }
    vec![
        ("front", pages::HTML, pages::front_page(&front)),
        ("records", pages::HTML, pages::table_page(&records)),
        ("feature", pages::HTML, pages::table_page(&feature)),
        ("record", pages::HTML, pages::record_page(&record)),
        ("trace", pages::HTML, pages::trace_page(&trace)),
        ("error", pages::HTML, pages::error_page(&error)),
        ("SKILL.md", pages::MARKDOWN, pages::skill_md(&skill)),
        ("schema.md", pages::MARKDOWN, pages::schema_md(&schema)),
    ]
}

fn node(text: &str) -> Node {
    Node {
        name: text.to_owned(),
        domain: text.to_owned(),
        description: text.to_owned(),
        base: super::base(BASE),
        version: text.to_owned(),
    }
}

fn column(text: &str) -> Column {
    Column {
        name: text.to_owned(),
        column_type: text.to_owned(),
        unit: Some(text.to_owned()),
        description: Some(text.to_owned()),
    }
}

fn who(text: &str) -> Who {
    Who {
        id: text.to_owned(),
        name: Some(text.to_owned()),
        authority: Some(text.to_owned()),
    }
}

fn location(text: &str) -> TracedLocation {
    TracedLocation {
        image: text.to_owned(),
        by: text.to_owned(),
        at: AT,
    }
}

fn values(text: &str) -> Vec<FieldValue> {
    let value = |value| FieldValue {
        column: column(text),
        value,
    };
    vec![
        value(Value::from(text)),
        value(json!({ text: [text] })),
        value(Value::Null),
        value(json!(1.5)),
    ]
}

fn row(text: &str, of: RowOf) -> TableRow {
    TableRow {
        of,
        cells: vec![json!(1), Value::from(text), json!([text]), Value::Null],
    }
}

fn columns(text: &str) -> Vec<Column> {
    vec![column(text), column(text), column(text), column(text)]
}

fn feature_row(text: &str) -> TableRow {
    let of = RowOf::Feature {
        row_id: 7,
        record_id: text.to_owned(),
    };
    row(text, of)
}

fn front(text: &str) -> FrontPage {
    let t = || text.to_owned();
    let table = |kind| TableEntry {
        name: t(),
        kind,
        rows: SOME,
        records_covered: Some(SOME),
    };
    FrontPage {
        node: node(text),
        totals: Totals {
            records: SOME,
            feature_rows: SOME,
            conventions: SOME,
            hooks: SOME,
            as_of: Some(AT),
        },
        conventions: vec![ConventionEntry {
            slug: t(),
            title: t(),
            description: t(),
            purpose: Some(t()),
            schema: t(),
            hooks: vec![t(), t()],
        }],
        schemas: vec![SchemaEntry {
            schema: t(),
            title: t(),
            tables: vec![table(TableKind::Records), table(TableKind::Feature)],
        }],
        hooks: vec![HookEntry {
            name: t(),
            live: Some(LiveRelease {
                version: 3,
                image: t(),
                digest: t(),
                source_ref: t(),
                built_at: AT,
            }),
        }],
    }
}

fn table(text: &str, kind: TableKind) -> TablePage {
    let t = || text.to_owned();
    let record = RowOf::Record { id: t() };
    TablePage {
        node: node(text),
        schema: t(),
        title: t(),
        table: t(),
        kind,
        columns: columns(text),
        rows: vec![match kind {
            TableKind::Records => row(text, record),
            TableKind::Feature => feature_row(text),
        }],
        total: Some(SOME),
        as_of: Some(AT),
        query: vec![("sort".to_owned(), t())],
        continued: true,
        next_cursor: Some(t()),
    }
}

fn source(text: &str) -> Source {
    Source::Deposition {
        srn: text.to_owned(),
        convention: text.to_owned(),
        submission: 2,
        submitted_at: AT,
        owner: who(text),
        curated_by: Some(who(text)),
    }
}

fn record(text: &str) -> RecordPage {
    let t = || text.to_owned();
    RecordPage {
        node: node(text),
        id: t(),
        srn: t(),
        version: 2,
        schema: t(),
        title: t(),
        created_at: AT,
        metadata: values(text),
        source: Some(source(text)),
        features: vec![RecordFeature {
            name: t(),
            columns: columns(text),
            rows: vec![feature_row(text)],
            more: true,
        }],
    }
}

/// The trace with one text in every place.
pub(crate) fn trace(text: &str) -> TracePage {
    let t = || text.to_owned();
    let delegation = |attempt| TracedDelegation {
        id: t(),
        caller: t(),
        callee: t(),
        status: t(),
        attempt,
        worker: Some(t()),
        created_at: AT,
        updated_at: AT,
    };
    TracePage {
        node: node(text),
        schema: t(),
        feature: t(),
        row: TracedRow {
            id: i64::MAX,
            values: values(text),
            created_at: AT,
            current: false,
            superseded_by: Some(t()),
        },
        run: TracedRun {
            id: t(),
            status: t(),
            started_at: AT,
            finished_at: AT,
            duration_s: 1e9,
            oom_retries: 3,
            worker: t(),
            image: t(),
        },
        release: TracedRelease {
            id: t(),
            hook: t(),
            version: 4,
            image: t(),
            locations: vec![location(text), location(text)],
            digest: t(),
            config: json!({ text: text }),
            limits: vec![(t(), t()), (t(), t())],
            source_ref: t(),
            built_by: who(text),
            built_at: AT,
            live_version: Some(5),
            yanked: Some(Yanked {
                reason: t(),
                by: t(),
                at: AT,
            }),
        },
        record: TracedRecord {
            id: t(),
            srn: t(),
            version: 2,
            schema: t(),
            created_at: AT,
        },
        source: Some(source(text)),
        task: Some(TracedTask {
            id: t(),
            kind: t(),
            name: t(),
            status: t(),
            creator: who(text),
            created_at: AT,
            delegations: (1..=6).map(delegation).collect(),
        }),
    }
}

/// The skill with one text in every place.
pub(crate) fn skill(text: &str) -> Skill {
    let t = || text.to_owned();
    Skill {
        node: node(text),
        conventions: vec![SkillConvention {
            title: t(),
            purpose: Some(t()),
            example_questions: vec![t(), t(), "What else?".to_owned()],
            when_not_to_use: Some(t()),
            see_also: vec![t()],
        }],
        datasets: vec![SkillDataset {
            schema: t(),
            title: t(),
            records: SOME,
            features: vec![SkillFeature {
                name: t(),
                rows: SOME,
                records_covered: SOME,
            }],
        }],
        as_of: Some(AT),
    }
}

/// The schema's document with one text in every place.
pub(crate) fn schema_doc(text: &str) -> SchemaDoc {
    let t = || text.to_owned();
    let sample = || {
        Some(Sample {
            column: t(),
            value: Value::from(text),
        })
    };
    SchemaDoc {
        node: node(text),
        schema: t(),
        reference: t(),
        title: t(),
        purpose: Some(t()),
        fields: columns(text),
        records: SOME,
        sample: sample(),
        sample_record: Some(t()),
        features: vec![SchemaFeature {
            name: t(),
            columns: columns(text),
            rows: SOME,
            records_covered: SOME,
            sample: sample(),
            sample_row: Some(9),
        }],
        examples: vec![SchemaExample {
            question: t(),
            query: t(),
            interpretation: t(),
        }],
        when_not_to_use: Some(t()),
        see_also: vec![t()],
        as_of: Some(AT),
    }
}

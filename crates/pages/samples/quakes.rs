//! An archive of earthquakes, as `examples/quakes` makes one.

use pages::{
    Column, ConventionEntry, Count, FieldValue, FrontPage, HookEntry, LiveRelease, Node, RecordFeature,
    RecordPage, RowOf, SchemaEntry, TableEntry, TableKind, TablePage, TableRow, Totals,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::traces::ingest;

pub(crate) const SCHEMA: &str = "earthquakes@1.0.0";
pub(crate) const PUBLISHED: OffsetDateTime = datetime!(2026-11-21 04:05:06 UTC);
pub(crate) const RAN: OffsetDateTime = datetime!(2026-11-21 04:04:51 UTC);
pub(crate) const BUILT: OffsetDateTime = datetime!(2026-11-19 17:20:00 UTC);
pub(crate) const COUNTED: OffsetDateTime = datetime!(2026-11-25 15:40:00 UTC);
pub(crate) const DIGEST: &str = "sha256:4c9f1ad2b07e6f3f0c5e3d6b7e21a9d8f55a0f3e9b6c47d1807c2b1a6ff0e913";
pub(crate) const PURPOSE: &str = "To compare earthquakes by what they released rather than by a logarithm.";
pub(crate) const PLACES: [(&str, &str, f64, f64, f64); 6] = [
    (
        "us7000abcd",
        "120 km SE of Kokopo, Papua New Guinea",
        6.1,
        71.0,
        8.912e13,
    ),
    ("us7000abce", "Fiji region", 5.4, 562.3, 7.943e12),
    (
        "us7000abcf",
        "Off the coast of Tarapacá, Chile",
        5.0,
        28.4,
        1.995e12,
    ),
    ("us7000abcg", "14 km W of Ōtaki, New Zealand", 4.2, 33.0, 1.259e11),
    ("us7000abch", "Ísafjörður, Iceland", 3.9, 7.7, 4.467e10),
    ("us7000abci", "南海トラフ, Japan", 4.8, 41.5, 1.0e12),
];

pub(crate) fn exact(value: u64) -> Count {
    Count { value, exact: true }
}

pub(crate) fn about(value: u64) -> Count {
    Count { value, exact: false }
}

pub(crate) fn node() -> Node {
    Node {
        name: "Quake Archive".to_owned(),
        domain: "quakes.example.org".to_owned(),
        description: "Earthquakes of the last fifty years, with what can be computed from their catalogues. Each computed row can say which code made it, from what, and for whom.".to_owned(),
        base: super::base("https://quakes.example.org"),
        version: "0.1.0".to_owned(),
    }
}

pub(crate) fn column(name: &str, column_type: &str, unit: &str, description: &str) -> Column {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Column {
        name: name.to_owned(),
        column_type: column_type.to_owned(),
        unit: some(unit),
        description: some(description),
    }
}

pub(crate) fn fields() -> Vec<Column> {
    vec![
        column("place", "text", "", "Where it was, in words."),
        column("date", "date", "", "The day of its origin time, in UTC."),
        column("magnitude", "number", "", "How strong it was."),
        column("depth_km", "number", "km", "How deep its hypocentre was."),
        column("details", "url", "", "Its page at the network that located it."),
    ]
}

pub(crate) fn energy() -> Vec<Column> {
    vec![
        column("energy_j", "number", "J", "Radiated energy."),
        column("depth_class", "text", "", "shallow, intermediate or deep."),
        column("reported_by", "number", "", "How many networks reported it."),
    ]
}

pub(crate) fn energy_table() -> Vec<Column> {
    let mut all = vec![
        column("id", "number", "", "The row's id."),
        column("record_srn", "text", "", "The record that it is about."),
        column("run_id", "text", "", "The run that computed it."),
        column("created_at", "text", "", "When it was inserted."),
    ];
    all.extend(energy());
    all
}

pub(crate) fn energy_row(at: usize) -> TableRow {
    let (id, _, _, depth, energy) = PLACES[at];
    let class = if depth < 70.0 {
        "shallow"
    } else if depth < 300.0 {
        "intermediate"
    } else {
        "deep"
    };
    let row_id = i64::try_from(at).unwrap_or_default() + 1;
    TableRow {
        of: RowOf::Feature {
            row_id,
            record_id: id.to_owned(),
        },
        cells: vec![
            json!(row_id),
            json!(format!("urn:osa:quakes.example.org:rec:{id}@1")),
            json!("5b1c6f0e-3c65-5d0e-9d0c-1f6f2f0d7a11"),
            json!("2026-11-21T04:05:06+00:00"),
            json!(energy),
            json!(class),
            if at == 3 { Value::Null } else { json!(12 - at) },
        ],
    }
}

pub(crate) fn front() -> FrontPage {
    let table = |name: &str, kind, rows, records_covered| TableEntry {
        name: name.to_owned(),
        kind,
        rows,
        records_covered,
    };
    let live = |version, source_ref: &str| LiveRelease {
        version,
        image: "ghcr.io/quakes/energy".to_owned(),
        digest: DIGEST.to_owned(),
        source_ref: source_ref.to_owned(),
        built_at: BUILT,
    };
    FrontPage {
        node: node(),
        totals: Totals {
            records: about(1_234_500),
            feature_rows: about(3_601_200),
            conventions: exact(1),
            hooks: exact(2),
            as_of: Some(COUNTED),
        },
        conventions: vec![ConventionEntry {
            slug: "earthquakes".to_owned(),
            title: "Earthquakes".to_owned(),
            description:
                "Earthquakes of the USGS catalogue, with the moment and energy that their magnitudes mean."
                    .to_owned(),
            purpose: Some(PURPOSE.to_owned()),
            schema: SCHEMA.to_owned(),
            hooks: vec!["quake_energy".to_owned(), "quake_cluster".to_owned()],
        }],
        schemas: vec![SchemaEntry {
            schema: SCHEMA.to_owned(),
            title: "Earthquakes".to_owned(),
            tables: vec![
                table("records", TableKind::Records, about(1_234_500), None),
                table(
                    "quake_energy",
                    TableKind::Feature,
                    about(1_234_480),
                    Some(about(1_234_480)),
                ),
                table(
                    "quake_cluster",
                    TableKind::Feature,
                    about(2_366_720),
                    Some(about(980_000)),
                ),
            ],
        }],
        hooks: vec![
            HookEntry {
                name: "quake_energy".to_owned(),
                live: Some(live(3, "https://github.com/quakes/hooks/commit/0123abc")),
            },
            HookEntry {
                name: "quake_cluster".to_owned(),
                live: Some(live(1, "git:9f31c07")),
            },
        ],
    }
}

pub(crate) fn empty_front() -> FrontPage {
    FrontPage {
        node: node(),
        totals: Totals {
            records: exact(0),
            feature_rows: exact(0),
            conventions: exact(0),
            hooks: exact(0),
            as_of: None,
        },
        conventions: Vec::new(),
        schemas: Vec::new(),
        hooks: Vec::new(),
    }
}

pub(crate) fn metadata(at: usize) -> Vec<Value> {
    let (id, place, magnitude, depth, _) = PLACES[at];
    vec![
        json!(place),
        json!("2026-11-20"),
        json!(magnitude),
        json!(depth),
        json!(format!("https://earthquake.usgs.gov/earthquakes/eventpage/{id}")),
    ]
}

pub(crate) fn records_table() -> TablePage {
    let row = |at: usize| {
        let id = PLACES[at].0.to_owned();
        let mut cells = vec![json!(id), json!(1), json!("2026-11-21T04:05:06+00:00")];
        cells.extend(metadata(at));
        TableRow {
            of: RowOf::Record { id },
            cells,
        }
    };
    let mut columns = vec![
        column("id", "text", "", "The record's id."),
        column("version", "number", "", "Its own version, from 1."),
        column("created_at", "text", "", "When it was published."),
    ];
    columns.extend(fields());
    TablePage {
        node: node(),
        schema: SCHEMA.to_owned(),
        title: "Earthquakes".to_owned(),
        table: "records".to_owned(),
        kind: TableKind::Records,
        columns,
        rows: (0..PLACES.len()).map(row).collect(),
        total: Some(about(1_234_500)),
        as_of: Some(COUNTED),
        query: vec![("limit".to_owned(), "6".to_owned())],
        continued: false,
        next_cursor: Some("eyJzIjoiMjAyNi0xMS0yMSIsImlkIjoidXM3MDAwYWJjaSJ9".to_owned()),
    }
}

pub(crate) fn feature_table() -> TablePage {
    TablePage {
        table: "quake_energy".to_owned(),
        kind: TableKind::Feature,
        columns: energy_table(),
        rows: (0..PLACES.len()).map(energy_row).collect(),
        total: Some(about(1_234_480)),
        continued: true,
        ..records_table()
    }
}

pub(crate) fn valued(columns: Vec<Column>, values: Vec<Value>) -> Vec<FieldValue> {
    let pairs = columns.into_iter().zip(values);
    pairs
        .map(|(column, value)| FieldValue { column, value })
        .collect()
}

pub(crate) fn record() -> RecordPage {
    RecordPage {
        node: node(),
        id: "us7000abcd".to_owned(),
        srn: "urn:osa:quakes.example.org:rec:us7000abcd@1".to_owned(),
        version: 1,
        schema: SCHEMA.to_owned(),
        title: "Earthquakes".to_owned(),
        created_at: PUBLISHED,
        metadata: valued(fields(), metadata(0)),
        source: Some(ingest()),
        features: vec![
            RecordFeature {
                name: "quake_energy".to_owned(),
                columns: energy_table(),
                rows: vec![energy_row(0)],
                more: false,
            },
            RecordFeature {
                name: "quake_cluster".to_owned(),
                columns: energy_table(),
                rows: Vec::new(),
                more: false,
            },
        ],
    }
}

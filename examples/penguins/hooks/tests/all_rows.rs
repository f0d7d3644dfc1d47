//! The example as a whole: every row fits the schema, and the two programs run over all of them.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use domain::ingest::csv::{CsvMapping, CsvOptions, Dialect};
use domain::ingest::run::PushedRecord;
use domain::registry::schema::MetadataChecker;
use domain::work::rows::{HELD_BYTES, RowStore};
use domain::{
    Cardinality, Cell, ColumnDef, ConventionDocs, Digest, FeatureContract, FieldDefinition, Limits,
    RecordOutcome, ReleaseId, Rows, RunId, Schema, SourceId,
};
use ports::{HookJob, HookRecord, Runner as _};
use runner_process::{ProcessRunner, ProcessRunnerOptions, UseSandbox};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)
}

fn convention() -> Value {
    serde_json::from_slice(&fs::read(example("convention.json")).unwrap()).unwrap()
}

fn fields() -> Vec<FieldDefinition> {
    serde_json::from_value(convention()["schema"]["fields"].clone()).unwrap()
}

fn rows() -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_path(example("penguins-raw.csv")).unwrap();
    let owned = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect::<Vec<_>>();
    (
        owned(reader.headers().unwrap()),
        reader.records().map(|row| owned(&row.unwrap())).collect(),
    )
}

fn records() -> Vec<PushedRecord> {
    let fields = fields();
    let options = CsvOptions {
        dialect: Dialect::CSV,
        id_columns: vec!["Species".into(), "Sample Number".into()],
        null_values: vec!["NA".into()],
    };
    let (header, rows) = rows();
    let mapping = CsvMapping::new(&header, &fields.iter().collect::<Vec<_>>(), &options).unwrap();
    let checker = MetadataChecker::new(&fields);
    rows.iter()
        .map(|row| {
            mapping
                .record(&row.iter().map(String::as_str).collect::<Vec<_>>(), &checker)
                .unwrap()
        })
        .collect()
}

fn hook(name: &str) -> Value {
    let convention = convention();
    convention["hooks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|h| h["name"] == name)
        .unwrap()
        .clone()
}

fn contract(hook: &Value) -> FeatureContract {
    let columns: Vec<ColumnDef> = serde_json::from_value(hook["feature"]["columns"].clone()).unwrap();
    FeatureContract {
        cardinality: Cardinality::One,
        columns,
    }
}

#[test]
fn all_344_rows_fit_the_schema_and_have_ids_of_their_own() {
    let records = records();
    let ids: BTreeSet<&SourceId> = records.iter().map(|r| &r.source_id).collect();
    assert_eq!((records.len(), ids.len()), (344, 344));
    assert_eq!(
        records[0].source_id.as_str(),
        "Adelie Penguin (Pygoscelis adeliae):1"
    );
    assert_eq!(records[0].cells.len(), 17);
    assert!(!records[0].metadata.contains_key("delta_15_n_o_oo"));
}

#[test]
fn a_field_is_required_exactly_if_no_row_lacks_it() {
    let (header, rows) = rows();
    for (index, field) in fields().iter().enumerate() {
        assert_eq!(
            field.name.as_str(),
            domain::ingest::csv::field_name_of_header(&header[index])
        );
        assert_eq!(
            field.required,
            rows.iter().all(|row| row[index] != "NA"),
            "{:?}",
            field.name
        );
    }
}

#[test]
fn the_convention_keeps_the_rules_of_a_deploy() {
    let body = convention();
    let keys: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        BTreeSet::from([
            "title",
            "description",
            "file_requirements",
            "schema",
            "hooks",
            "docs"
        ])
    );
    let reference = format!(
        "{}@{}",
        body["schema"]["id"].as_str().unwrap(),
        body["schema"]["version"].as_str().unwrap()
    );
    Schema {
        reference: reference.parse().unwrap(),
        title: "x".into(),
        fields: fields(),
    }
    .check()
    .unwrap();
    serde_json::from_value::<ConventionDocs>(body["docs"].clone())
        .unwrap()
        .check()
        .unwrap();
    for name in ["check_penguin", "penguin_shape"] {
        let hook = hook(name);
        assert!(!contract(&hook).columns.is_empty());
        limits(&hook);
        assert_eq!(hook["release"]["image"], format!("file:@BIN@/{name}"));
        assert_eq!(hook["release"]["digest"], format!("@DIGEST_{name}@"));
    }
}

#[test]
fn the_first_samples_in_the_config_are_those_of_the_data() {
    let (_, rows) = rows();
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for row in &rows {
        let entry = first.entry(&row[4]).or_insert(&row[8]);
        *entry = (*entry).min(&row[8]);
    }
    assert_eq!(
        hook("penguin_shape")["config"],
        serde_json::json!({"first_sample": first})
    );
}

fn limits(hook: &Value) -> Limits {
    let text = |key: &str| hook["limits"][key].as_str().unwrap();
    Limits::parse(
        hook["limits"]["timeout_seconds"].as_i64().unwrap(),
        text("memory"),
        text("cpu"),
    )
    .unwrap()
}

/// What the built program says of every record, run as the server would run it.
async fn outcomes(name: &str, program: &str, sandbox: UseSandbox) -> BTreeMap<SourceId, RecordOutcome> {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let options = ProcessRunnerOptions {
        sandbox,
        ..ProcessRunnerOptions::new(place.path().join("work"))
    };
    let hook = hook(name);
    let job = HookJob {
        run: RunId::from_uuid(uuid_of(1)),
        hook: name.parse().unwrap(),
        release: ReleaseId::from_uuid(uuid_of(2)),
        image: format!("file:{program}"),
        digest: Digest::from_sha256(Sha256::digest(fs::read(program).unwrap()).into()),
        config: hook["config"].as_object().unwrap().clone(),
        limits: limits(&hook),
        records: records()
            .into_iter()
            .map(|r| HookRecord {
                id: r.source_id,
                metadata: r.metadata,
                size_hint_mb: 0.0,
            })
            .collect(),
        files: None,
    };
    let runner = ProcessRunner::new(options).unwrap();
    let attempt = runner.run(&job).await.unwrap();
    assert_eq!(attempt.failure, None, "{}", String::from_utf8_lossy(&attempt.log));
    let asked: BTreeSet<SourceId> = job.records.iter().map(|r| r.id.clone()).collect();
    let mut keep = RowStore::new(&runner, u64::MAX, HELD_BYTES);
    let read = attempt.output.outcomes(&contract(&hook), &asked, &mut keep);
    read.unwrap().outcomes
}

/// The cells of all rows, one after the other.
fn cells(rows: &Rows) -> Vec<Cell> {
    rows.read().flat_map(Result::unwrap).collect()
}

fn uuid_of(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

#[tokio::test]
async fn check_penguin_rejects_exactly_the_birds_that_the_table_lacks_data_of() {
    let (_, rows) = rows();
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    for row in &rows {
        let (mass, sex) = (row[12] != "NA", matches!(row[13].as_str(), "MALE" | "FEMALE"));
        let isotopes = row[14] != "NA" && row[15] != "NA";
        let what = match (mass, sex) {
            (true, true) => format!("passed, isotopes {isotopes}"),
            (true, false) => "no sex recorded".to_owned(),
            (false, true) => "no body mass recorded".to_owned(),
            (false, false) => "no body mass and no sex recorded".to_owned(),
        };
        *expected.entry(what).or_default() += 1;
    }
    for sandbox in [UseSandbox::Auto, UseSandbox::None] {
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for outcome in outcomes("check_penguin", env!("CARGO_BIN_EXE_check_penguin"), sandbox)
            .await
            .into_values()
        {
            let what = match outcome {
                RecordOutcome::Passed(rows) => match cells(&rows).as_slice() {
                    [Cell::Boolean(isotopes)] => format!("passed, isotopes {isotopes}"),
                    other => panic!("{other:?}"),
                },
                RecordOutcome::Rejected(reason) => reason,
                RecordOutcome::Errored(why) => panic!("{why}"),
            };
            *found.entry(what).or_default() += 1;
        }
        println!("{found:#?}");
        assert_eq!(found, expected);
        assert_eq!(
            (
                found["no sex recorded"],
                found["no body mass and no sex recorded"]
            ),
            (9, 2)
        );
    }
}

#[tokio::test]
async fn penguin_shape_computes_a_row_for_every_bird() {
    let (_, rows) = rows();
    let number = |text: &str| text.parse::<f64>().ok();
    for sandbox in [UseSandbox::Auto, UseSandbox::None] {
        let found = outcomes("penguin_shape", env!("CARGO_BIN_EXE_penguin_shape"), sandbox).await;
        assert_eq!(found.len(), 344);
        for row in &rows {
            let id: SourceId = format!("{}:{}", row[2], row[1]).parse().unwrap();
            let RecordOutcome::Passed(computed) = &found[&id] else {
                panic!("{:?}", found[&id])
            };
            let [index, ratio, days] = cells(computed).try_into().unwrap();
            let cell = |value: Option<f64>| value.map_or(Cell::Null, Cell::Number);
            assert_eq!(
                index,
                cell(
                    number(&row[12])
                        .zip(number(&row[11]))
                        .map(|(mass, flipper)| mass / (flipper * flipper))
                )
            );
            assert_eq!(
                ratio,
                cell(
                    number(&row[9])
                        .zip(number(&row[10]))
                        .map(|(length, depth)| length / depth)
                )
            );
            assert!(matches!(days, Cell::Integer(0..=752)), "{days:?}");
        }
    }
}

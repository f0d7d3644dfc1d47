//! COPY of feature rows through the adapter against `psql \copy` of the same rows into the same table, interleaved, on one server.
#![expect(
    clippy::disallowed_methods,
    reason = "sets the scene behind the adapter's back"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use domain::{Cardinality, Cell, ColumnDef, FeatureContract, HookName, JsonType, RecordSrn, Rows, RunId};
use ports::UnitOfWork;
use ports::work::RecordRows;
use postgres_adapter::testing::TestDatabase;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

const RECORDS: usize = 1000;
const ROWS_PER_RECORD: usize = 1000;
const REPETITIONS: usize = 3;

const SCENE: &str = "
  insert into users (id, provider, external_id, display_name) values ('00000000-0000-0000-0000-000000000001', 'p', 'e', 'n');
  insert into hooks (name, contract) values ('shape', '{\"cardinality\":\"many\",\"columns\":[]}');
  insert into hook_releases (id, hook_name, version, image, digest, config, limits, content_key, source_ref, built_by_user_id)
    values ('00000000-0000-0000-0000-000000000002', 'shape', 1, 'i', 'd', '{}', '{}', '', 's', '00000000-0000-0000-0000-000000000001');
  insert into hook_runs (id, release_id, status, started_at, finished_at, duration_s, oom_retries, worker)
    values ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000002', 'passed', now(), now(), 1, 0, 'w');
  insert into metadata_tables values ('birds_v1', 'birds', 1);
  insert into schemas (id, version, major, title, fields) values ('birds', '1.0.0', 1, 'Birds', '[]');
  insert into conventions (slug, title, description, schema_id, schema_version, file_requirements, docs) values ('birds', 'b', 'd', 'birds', '1.0.0', '{}', '{}');
  insert into records (srn, id, version, convention_slug, schema_id, schema_version, metadata, content_hash, source_kind, source_id)
    select srn, substring(srn from 23 for 36)::uuid, 1, 'birds', 'birds', '1.0.0', '{}', '', 'ingest', srn
    from (select 'urn:osa:localhost:rec:' || lpad(to_hex(n), 8, '0') || '-0000-0000-0000-000000000000@1' as srn from generate_series(1, 1000) as n) as s;";

fn contract() -> Result<FeatureContract, domain::Invalid> {
    let column = |name: &str, json_type| -> Result<ColumnDef, domain::Invalid> {
        Ok(ColumnDef {
            name: name.parse()?,
            json_type,
            format: None,
            required: false,
            description: None,
            unit: None,
        })
    };
    let columns = vec![
        column("body_mass_index", JsonType::Number)?,
        column("culmen_ratio", JsonType::Number)?,
        column("days", JsonType::Integer)?,
        column("note", JsonType::String)?,
    ];
    Ok(FeatureContract {
        cardinality: Cardinality::Many,
        columns,
    })
}

fn rows() -> Result<Vec<RecordRows>, domain::Invalid> {
    let row = |n: usize| {
        let number = u32::try_from(n).map_or(0.0, f64::from);
        vec![
            Cell::Number(number / 7.0),
            Cell::Number(1.0 / (number + 3.0)),
            Cell::Integer(i64::try_from(n).unwrap_or(0)),
            Cell::Text(format!("row {n} of a bird")),
        ]
    };
    (1..=RECORDS)
        .map(|record| {
            let srn: RecordSrn =
                format!("urn:osa:localhost:rec:{record:08x}-0000-0000-0000-000000000000@1").parse()?;
            Ok((
                srn,
                Rows::of(
                    &(0..ROWS_PER_RECORD)
                        .map(|n| row(record * ROWS_PER_RECORD + n))
                        .collect::<Vec<_>>(),
                ),
            ))
        })
        .collect()
}

/// The same rows as psql reads them.
fn file(rows: &[RecordRows], run: RunId) -> String {
    let mut text = String::new();
    for (srn, rows) in rows {
        for row in rows.read().flatten() {
            let [Cell::Number(a), Cell::Number(b), Cell::Integer(c), Cell::Text(d)] = row.as_slice() else {
                continue;
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{srn}\t{run}\t{a}\t{b}\t{c}\t{d}");
        }
    }
    text
}

async fn scene(
    hook: &HookName,
    contract: &FeatureContract,
) -> Result<TestDatabase, Box<dyn Error + Send + Sync>> {
    let database = TestDatabase::new().await?;
    sqlx::raw_sql(SCENE).execute(&database.pool).await?;
    let store = database.store();
    let mut uow = UnitOfWork::begin(&store).await?;
    uow.features().create_table(hook, contract).await?;
    uow.commit(()).await?.into_inner();
    Ok(database)
}

async fn verify(database: &TestDatabase) -> Result<(), Box<dyn Error + Send + Sync>> {
    let count: i64 = sqlx::query_scalar(AssertSqlSafe("select count(*) from features.shape".to_owned()))
        .fetch_one(&database.pool)
        .await?;
    if usize::try_from(count)? == RECORDS * ROWS_PER_RECORD {
        Ok(())
    } else {
        Err(format!("{count} rows arrived").into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (hook, contract, run): (HookName, _, _) = (
        "shape".parse()?,
        contract()?,
        RunId::from_uuid(Uuid::from_u128(3)),
    );
    let rows = rows()?;
    let path = std::env::temp_dir().join(format!("hallmark-copy-{}.tsv", std::process::id()));
    std::fs::write(&path, file(&rows, run))?;
    let mut ratios = Vec::new();
    for _ in 0..REPETITIONS {
        let database = scene(&hook, &contract).await?;
        let begun = Instant::now();
        let copy = format!(
            "\\copy features.shape (record_srn, run_id, body_mass_index, culmen_ratio, days, note) from '{}'",
            path.display()
        );
        let status = tokio::process::Command::new("psql")
            .args([
                "--no-psqlrc",
                "--quiet",
                "--dbname",
                &database.url,
                "--command",
                &copy,
            ])
            .status()
            .await?;
        let psql: Duration = begun.elapsed();
        if !status.success() {
            return Err("psql failed".into());
        }
        verify(&database).await?;

        let database = scene(&hook, &contract).await?;
        let store = database.store();
        let begun = Instant::now();
        let mut uow = UnitOfWork::begin(&store).await?;
        uow.features().replace(&hook, &contract, run, &rows).await?;
        uow.commit(()).await?.into_inner();
        let adapter = begun.elapsed();
        verify(&database).await?;
        let ratio = psql.as_secs_f64() / adapter.as_secs_f64();
        println!(
            "psql \\copy {:.2} s, adapter {:.2} s: adapter's rate is {ratio:.2} of psql's",
            psql.as_secs_f64(),
            adapter.as_secs_f64()
        );
        ratios.push(ratio);
    }
    std::fs::remove_file(&path)?;
    ratios.sort_by(f64::total_cmp);
    println!("median {:.2} (aim: at least 0.70)", ratios[REPETITIONS / 2]);
    Ok(())
}

//! A lineage with everything in it that a writer can meet: records of both sources and of another node, two versions
//! of one record, rows whose place was taken, runs that failed, principals and runs that are only referred to, and
//! texts with the characters that break identifiers.

use domain::{
    Actor, ColumnDef, IngestRunId, Invalid, JsonType, RecordId, RecordSrn, ReleaseId, ReleaseVersion, RunId,
    RunStatus, ServiceAccountId, TaskId, UserId,
};
use lineage::{
    Lineage, LineageAgent, LineageDelegation, LineageRecord, LineageRelease, LineageRun, LineageSource,
    LineageTable, LineageTask, RowSet, Subject,
};
use serde_json::{Map, Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const BEGUN: OffsetDateTime = datetime!(2026-11-25 14:00:00.123456 UTC);

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 | number)
}

fn minute(number: i64) -> OffsetDateTime {
    BEGUN + Duration::minutes(number)
}

fn run_id(number: u128) -> RunId {
    RunId::from_uuid(id(0x100 + number))
}

fn srn(node: &str, number: u128, version: u32) -> Result<RecordSrn, Invalid> {
    format!("urn:osa:{node}:rec:{}@{version}", RecordId::from_uuid(id(number))).parse()
}

/// The sample.
pub(crate) fn sample() -> Result<Lineage, Invalid> {
    let user = |number: u128| Actor::User(UserId::from_uuid(id(0x200 + number)));
    let machine = Actor::ServiceAccount(ServiceAccountId::from_uuid(id(0x300)));
    let home = |number, version| srn("archive.example.org", number, version);
    let mut config = Map::new();
    config.insert("threshold \"x\"".to_owned(), json!({"z": 1, "a": [0.5, "µ"]}));
    let records = vec![
        record(
            home(1, 1)?,
            ingest("penguin:1 / \"Ä\" #1?", Some(machine.clone()))?,
            None,
        )?,
        record(
            home(1, 2)?,
            ingest("penguin:1 / \"Ä\" #1?", None)?,
            Some(home(1, 1)?),
        )?,
        record(home(2, 1)?, deposition(user(1), Some(user(2)))?, None)?,
        record(home(3, 1)?, deposition(user(1), None)?, Some(home(2, 1)?))?,
        record(home(4, 1)?, None, None)?,
    ];
    let row_sets = vec![
        rows(0, home(1, 1)?, 3, Some(run_id(1)))?,
        rows(1, home(1, 1)?, 2, None)?,
        rows(1, home(1, 2)?, 1, None)?,
        rows(2, home(2, 1)?, 0, None)?,
        // Of a run and for a record that nothing else describes.
        rows(8, home(9, 1)?, 4, Some(run_id(9)))?,
        rows(1, srn("elsewhere.example", 5, 1)?, 1, None)?,
    ];
    let mut runs = vec![run(0, 1, RunStatus::Passed), run(1, 2, RunStatus::Passed)];
    runs.push(run(2, 2, RunStatus::Failed));
    runs.push(run(3, 7, RunStatus::Error));
    if let [first, second, failed, error] = runs.as_mut_slice() {
        first.task = Some(TaskId::from_uuid(id(0x400)));
        second.task = Some(TaskId::from_uuid(id(0x401)));
        failed.failure = Some("it said: \"no\"\nand went — 100 %".to_owned());
        failed.inputs = vec![home(2, 1)?, home(3, 1)?];
        error.oom_retries = 3;
        error.task = Some(TaskId::from_uuid(id(0x402)));
        error.inputs = vec![home(4, 1)?];
    }
    Ok(Lineage {
        node: "archive.example.org".parse()?,
        base_url: "https://archive.example.org".to_owned(),
        exported_at: minute(90),
        title: "Penguins: \"body shape\" & <more>".to_owned(),
        license: Some("https://creativecommons.org/licenses/by/4.0/".to_owned()),
        subject: Subject::Record(home(1, 1)?),
        truncated: true,
        records,
        row_sets,
        runs,
        releases: vec![
            release(
                1,
                "git+https://github.com/example/penguins@0123abc",
                machine.clone(),
                config,
            )?,
            release(2, "git:0123abc «Ü» a b", user(3), Map::new())?,
        ],
        tasks: vec![
            task(
                0x400,
                Some(user(1)),
                vec![delegation("a:b / c\"é.", &machine.to_string(), "worker 1: \"x\"")],
            ),
            task(0x401, None, vec![delegation("d", "system", "system")]),
        ],
        agents: vec![
            agent(user(1), Some("Åsa \"A.\" Ö'Neil"), Some("https://orcid.org")),
            agent(user(2), None, None),
            agent(machine, Some("ci: penguins/main"), Some("https://ci.example.org")),
        ],
        tables: vec![LineageTable {
            hook: "body_shape".parse()?,
            columns: vec![
                column("ratio", JsonType::Number, Some("Length by depth, \"mm/mm\""))?,
                column("verdict", JsonType::String, None)?,
            ],
        }],
    })
}

fn record(
    srn: RecordSrn,
    source: Option<LineageSource>,
    previous: Option<RecordSrn>,
) -> Result<LineageRecord, Invalid> {
    Ok(LineageRecord {
        srn,
        schema: "penguins@1.0.0-rc.1+b".parse()?,
        created_at: minute(0),
        content_hash: Some([0xab; 32]),
        source,
        previous,
    })
}

fn ingest(source_id: &str, pushed_by: Option<Actor>) -> Result<Option<LineageSource>, Invalid> {
    Ok(Some(LineageSource::Ingest {
        convention: "palmer-penguins".parse()?,
        run: IngestRunId::from_uuid(id(0x500)),
        source_id: source_id.to_owned(),
        pushed_by,
    }))
}

fn deposition(owner: Actor, curated_by: Option<Actor>) -> Result<Option<LineageSource>, Invalid> {
    Ok(Some(LineageSource::Deposition {
        srn: "urn:osa:archive.example.org:dep:abc def".to_owned(),
        convention: "palmer-penguins".parse()?,
        owner,
        curated_by,
    }))
}

fn rows(run: u128, record: RecordSrn, count: u64, superseded_by: Option<RunId>) -> Result<RowSet, Invalid> {
    Ok(RowSet {
        hook: "body_shape".parse()?,
        schema: "penguins@1.0.0-rc.1+b".parse()?,
        run: run_id(run),
        record,
        first_row: (count > 0).then_some(1),
        last_row: count.try_into().ok().filter(|last| *last > 0),
        count,
        created_at: minute(30),
        current: superseded_by.is_none(),
        superseded_by,
    })
}

fn run(number: u128, release: u128, status: RunStatus) -> LineageRun {
    LineageRun {
        id: run_id(number),
        release: ReleaseId::from_uuid(id(0x600 + release)),
        status,
        started_at: minute(10),
        finished_at: minute(20),
        worker: "worker \"1\": ä".to_owned(),
        oom_retries: 0,
        failure: None,
        task: None,
        inputs: Vec::new(),
    }
}

fn release(
    number: u32,
    source_ref: &str,
    built_by: Actor,
    config: Map<String, Value>,
) -> Result<LineageRelease, Invalid> {
    Ok(LineageRelease {
        id: ReleaseId::from_uuid(id(0x600 + u128::from(number))),
        hook: "body_shape".parse()?,
        version: ReleaseVersion::new(number).unwrap_or(ReleaseVersion::FIRST),
        image: format!("ghcr.io/example/penguins:{number}"),
        digest: format!("sha256:{}", number.to_string().repeat(64)).parse()?,
        source_ref: source_ref.to_owned(),
        config,
        built_by,
        built_at: minute(-60),
    })
}

fn task(number: u128, creator: Option<Actor>, delegations: Vec<LineageDelegation>) -> LineageTask {
    LineageTask {
        id: TaskId::from_uuid(id(number)),
        kind: "ingest_batch".to_owned(),
        creator,
        created_at: minute(5),
        delegations,
    }
}

fn delegation(id: &str, caller: &str, callee: &str) -> LineageDelegation {
    LineageDelegation {
        id: id.to_owned(),
        caller: caller.to_owned(),
        callee: callee.to_owned(),
        status: "completed".to_owned(),
        attempt: 1,
        created_at: minute(6),
        updated_at: minute(21),
    }
}

fn agent(actor: Actor, name: Option<&str>, authority: Option<&str>) -> LineageAgent {
    LineageAgent {
        actor,
        name: name.map(str::to_owned),
        authority: authority.map(str::to_owned),
    }
}

fn column(name: &str, json_type: JsonType, description: Option<&str>) -> Result<ColumnDef, Invalid> {
    Ok(ColumnDef {
        name: name.parse()?,
        json_type,
        format: None,
        required: true,
        description: description.map(str::to_owned),
        unit: None,
    })
}

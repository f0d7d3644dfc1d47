//! Reading tables: filters, orders, formats, and what was current at a time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use blackbox::choices::Choices;
use blackbox::fixtures::{PASS, penguins, push_penguins, small};
use blackbox::{Client, World};
use serde_json::{Value, json};

const RECORDS: &str = "/data/palmer-penguins/records";
const SHAPES: &str = "/data/palmer-penguins/penguin_shape";

/// A server that holds the penguins.
fn with_penguins() -> (World, blackbox::Server) {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    admin.post("/conventions", &penguins()).expect(201);
    let run = admin.open("palmer-penguins", 100);
    push_penguins(&admin, &run).expect(200);
    assert_eq!(admin.finish(&run)["published_count"], 333);
    (world, server)
}

/// Every row of a query, page by page.
fn queried(client: &Client, table: &str, query: &Value, limit: usize) -> Vec<Value> {
    let (mut rows, mut query) = (Vec::new(), query.clone());
    query["limit"] = json!(limit);
    loop {
        let page = client.post(table, &query).expect(200);
        rows.extend(page["rows"].as_array().unwrap().clone());
        assert_eq!(page["has_more"], !page["next_cursor"].is_null());
        match page["next_cursor"].as_str() {
            Some(next) => query["cursor"] = json!(next),
            None => return rows,
        }
    }
}

/// What a filter means, over one value, as plainly as it can be said.
fn holds(op: &str, value: &Value, asked: &Value) -> Option<bool> {
    if op == "is_null" || (op == "eq" && asked.is_null()) {
        return Some(value.is_null());
    }
    if op == "neq" {
        return Some(value != asked);
    }
    if value.is_null() {
        return None;
    }
    Some(match op {
        "eq" => value == asked,
        "in" => asked.as_array().unwrap().contains(value),
        "contains" => value
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains(&asked.as_str().unwrap().to_lowercase()),
        "gt" => compared(value, asked) == Ordering::Greater,
        "gte" => compared(value, asked) != Ordering::Less,
        "lt" => compared(value, asked) == Ordering::Less,
        "lte" => compared(value, asked) != Ordering::Greater,
        _ => panic!("{op}"),
    })
}

fn compared(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap(),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => panic!("{a} {b}"),
    }
}

/// The archive, as a plain program sees it.
struct Plain {
    records: Vec<Value>,
    shapes: Vec<Value>,
    of_record: BTreeMap<String, Vec<Value>>,
    record_of: BTreeMap<String, Value>,
}

impl Plain {
    fn of(client: &Client) -> Self {
        let records = client.rows("palmer-penguins/records", 1000);
        let shapes = client.rows("palmer-penguins/penguin_shape", 1000);
        let mut of_record: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for shape in &shapes {
            let srn = shape["record_srn"].as_str().unwrap().to_owned();
            of_record.entry(srn).or_default().push(shape.clone());
        }
        let record_of = records
            .iter()
            .map(|r| (r["srn"].as_str().unwrap().to_owned(), r.clone()))
            .collect();
        Self {
            records,
            shapes,
            of_record,
            record_of,
        }
    }

    /// Whether a filter holds for a row; `own` says that it is a row of the feature table.
    fn fits(&self, filter: &Value, row: &Value, own: bool) -> Option<bool> {
        let srn = row[if own { "record_srn" } else { "srn" }].as_str().unwrap();
        match filter["kind"].as_str().unwrap() {
            "and" | "or" => {
                let and = filter["kind"] == "and";
                let all: Vec<Option<bool>> = filter["operands"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|operand| self.fits(operand, row, own))
                    .collect();
                // SQL's three values: what decides, decides; else what is unknown stays so.
                if all.contains(&Some(!and)) {
                    Some(!and)
                } else if all.contains(&None) {
                    None
                } else {
                    Some(and)
                }
            }
            "not" => Some(!self.fits(&filter["operand"], row, own).unwrap_or(false)),
            _ => {
                let (field, op) = (filter["field"].as_str().unwrap(), filter["op"].as_str().unwrap());
                let asked = &filter["value"];
                match field.split('.').collect::<Vec<_>>().as_slice() {
                    ["metadata", field] => holds(op, &self.record_of[srn][*field], asked),
                    ["features", "penguin_shape", column] if own => holds(op, &row[*column], asked),
                    ["features", _, column] => Some(
                        self.of_record
                            .get(srn)
                            .into_iter()
                            .flatten()
                            .any(|shape| holds(op, &shape[*column], asked) == Some(true)),
                    ),
                    [column] => holds(op, &row[*column], asked),
                    _ => panic!("{field}"),
                }
            }
        }
    }
}

/// A predicate by chance, over values that are there.
fn predicate(plain: &Plain, choices: &mut Choices) -> Value {
    const COLUMNS: &[(&str, bool)] = &[
        ("metadata.island", false),
        ("metadata.sex", false),
        ("metadata.comments", false),
        ("metadata.date_egg", true),
        ("metadata.body_mass_g", true),
        ("metadata.delta_15_n_o_oo", true),
        ("features.penguin_shape.body_mass_index", true),
        ("features.penguin_shape.days_since_first_sample", true),
    ];
    let (field, ordered) = COLUMNS[choices.below(COLUMNS.len())];
    let name = field.rsplit('.').next().unwrap();
    let rows = if field.starts_with("metadata") {
        &plain.records
    } else {
        &plain.shapes
    };
    let mut value = || rows[choices.below(rows.len())][name].clone();
    let (one, two) = (value(), value());
    let ops: &[&str] = if ordered {
        &["eq", "neq", "gt", "gte", "lt", "lte", "in", "is_null"]
    } else {
        &["eq", "neq", "in", "contains", "is_null"]
    };
    let op = ops[choices.below(ops.len())];
    let asked = match op {
        "in" => json!(
            [one, two]
                .into_iter()
                .filter(|v| !v.is_null())
                .collect::<Vec<_>>()
        ),
        "contains" => json!(one.as_str().unwrap_or("%").chars().take(4).collect::<String>()),
        "eq" | "neq" | "is_null" => one,
        _ if one.is_null() => return json!({"kind": "predicate", "field": field, "op": "is_null"}),
        _ => one,
    };
    json!({"kind": "predicate", "field": field, "op": op, "value": asked})
}

fn filter(plain: &Plain, choices: &mut Choices, depth: usize) -> Value {
    match choices.below(if depth == 0 { 1 } else { 4 }) {
        1 => json!({"kind": "not", "operand": filter(plain, choices, depth - 1)}),
        n @ (2 | 3) => {
            let operands: Vec<Value> = (0..2 + choices.below(2))
                .map(|_| filter(plain, choices, depth - 1))
                .collect();
            json!({"kind": if n == 2 { "and" } else { "or" }, "operands": operands})
        }
        _ => predicate(plain, choices),
    }
}

// proves DAT-1
#[test]
fn filters_and_orders_give_what_a_plain_program_finds() {
    let (_world, server) = with_penguins();
    let nobody = server.anonymous();
    let plain = Plain::of(&nobody);
    let mut choices = Choices(0x5eed);
    let (mut found, mut some) = (BTreeSet::new(), 0);
    for round in 0..120 {
        let own = round % 2 == 0;
        let (table, rows, id) = if own {
            (SHAPES, &plain.shapes, "id")
        } else {
            (RECORDS, &plain.records, "srn")
        };
        let filter = filter(&plain, &mut choices, 3);
        let columns: &[&str] = if own {
            &[
                "culmen_ratio",
                "body_mass_index",
                "days_since_first_sample",
                "record_srn",
            ]
        } else {
            &[
                "sex",
                "body_mass_g",
                "date_egg",
                "comments",
                "island",
                "created_at",
            ]
        };
        let keys: Vec<(&str, bool)> = (0..choices.below(3))
            .map(|n| (columns[(round + n * 2) % columns.len()], choices.below(2) == 0))
            .collect();
        let sort: Vec<String> = keys
            .iter()
            .map(|(key, down)| format!("{key}:{}", if *down { "desc" } else { "asc" }))
            .collect();
        let mut wanted: Vec<&Value> = rows
            .iter()
            .filter(|row| plain.fits(&filter, row, own) == Some(true))
            .collect();
        let down = keys.first().is_some_and(|(_, down)| *down);
        if !keys.is_empty() {
            wanted.sort_by(|a, b| {
                for (key, down) in &keys {
                    let (x, y) = (&a[*key], &b[*key]);
                    let order = match (x.is_null(), y.is_null()) {
                        (true, true) => Ordering::Equal,
                        (true, false) => Ordering::Greater,
                        (false, true) => Ordering::Less,
                        (false, false) if *down => compared(y, x),
                        (false, false) => compared(x, y),
                    };
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                let order = compared(&a[id], &b[id]);
                if down { order.reverse() } else { order }
            });
        }
        let query = json!({"filter": filter, "sort": sort.join(",")});
        let got = queried(&nobody, table, &query, 1 + choices.below(400));
        let got: Vec<&Value> = got.iter().collect();
        assert_eq!(got, wanted, "{query}");
        some += usize::from(!wanted.is_empty() && wanted.len() < rows.len());
        found.insert(wanted.len());
    }
    // The choices must be worth something: many filters that keep some rows and not all.
    assert!(some > 60 && found.len() > 30, "{some} {found:?}");
}

// proves DAT-1
#[test]
fn a_query_in_the_path_is_the_query_in_the_body_and_cursors_fit_their_own_query_only() {
    let (_world, server) = with_penguins();
    let nobody = server.anonymous();
    let filter = json!({"kind": "predicate", "field": "metadata.island", "op": "eq", "value": "Dream"});
    let encoded: String = url::form_urlencoded::byte_serialize(filter.to_string().as_bytes()).collect();
    let by_path = nobody
        .get(&format!(
            "{RECORDS}?filter={encoded}&sort=body_mass_g:desc&limit=7"
        ))
        .expect(200);
    let by_body = nobody
        .post(
            RECORDS,
            &json!({"filter": filter, "sort": "body_mass_g:desc", "limit": 7}),
        )
        .expect(200);
    assert_eq!(by_path, by_body);
    let cursor = by_body["next_cursor"].as_str().unwrap();
    for other in [
        json!({"cursor": cursor}),
        json!({"cursor": cursor, "sort": "body_mass_g:desc"}),
        json!({"cursor": cursor, "filter": filter}),
        json!({"cursor": cursor, "filter": filter, "sort": "body_mass_g:asc"}),
        json!({"cursor": cursor, "filter": filter, "sort": "body_mass_g:desc", "as_of": "2030-01-01"}),
    ] {
        nobody.post(RECORDS, &other).problem(422, "invalid_cursor");
    }
    // Other names of columns, as OSA has them.
    let by_id = nobody.get(&format!("{RECORDS}?sort=id&limit=1000")).expect(200);
    let srns: Vec<&str> = by_id["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["srn"].as_str().unwrap())
        .collect();
    assert!(srns.is_sorted() && srns.len() == 333);
    assert_eq!(
        nobody
            .get(&format!("{RECORDS}?sort=published_at:desc&limit=1000"))
            .expect(200)["rows"],
        nobody.get(&format!("{RECORDS}?limit=1000")).expect(200)["rows"]
    );
}

// proves DAT-1
#[test]
fn what_cannot_be_asked_is_refused_with_its_place() {
    let (_world, server) = with_penguins();
    let nobody = server.anonymous();
    let ask = |field: &str, op: &str, value: Value| json!({"filter": {"kind": "not", "operand": {"kind": "predicate", "field": field, "op": op, "value": value}}});
    for (table, body, code, field) in [
        (
            RECORDS,
            ask("metadata.nope", "eq", json!(1)),
            "unknown_metadata_field",
            "filter.operand.field",
        ),
        (
            RECORDS,
            ask("features.nope.x", "eq", json!(1)),
            "unknown_feature_column",
            "filter.operand.field",
        ),
        (
            SHAPES,
            ask("features.penguin_shape.nope", "eq", json!(1)),
            "unknown_feature_column",
            "filter.operand.field",
        ),
        (
            RECORDS,
            ask("metadata.island", "gt", json!("x")),
            "unsupported_operator",
            "filter.operand.op",
        ),
        (
            RECORDS,
            ask("metadata.date_egg", "gt", json!("yesterday")),
            "invalid_value_for_op",
            "filter.operand.value",
        ),
        (
            RECORDS,
            ask("metadata.body_mass_g", "gt", Value::Null),
            "invalid_value_for_op",
            "filter.operand.value",
        ),
        (RECORDS, json!({"sort": "nope"}), "unknown_sort_field", "sort"),
        (RECORDS, json!({"sort": "sex:up"}), "VALIDATION_ERROR", "sort"),
        (RECORDS, json!({"as_of": "now"}), "VALIDATION_ERROR", "as_of"),
        (RECORDS, json!({"nope": 1}), "VALIDATION_ERROR", "nope"),
    ] {
        let problem = nobody.post(table, &body).problem(422, code);
        assert_eq!(problem["field"], field, "{problem}");
        assert_eq!(
            problem["errors"][0]["loc"][0],
            if field == "as_of" { "query" } else { "body" }
        );
    }
    nobody
        .get(&format!("{RECORDS}?filter=nonsense"))
        .problem(422, "VALIDATION_ERROR");
    nobody
        .post(RECORDS, &json!({"as_of": "2999-01-01"}))
        .problem(422, "as_of_ahead");
}

// proves DAT-1
#[test]
fn every_format_holds_the_same_rows() {
    let (_world, server) = with_penguins();
    let nobody = server.anonymous();
    let filter = json!({"kind": "predicate", "field": "metadata.island", "op": "neq", "value": "Dream"});
    for (table, id) in [(RECORDS, "srn"), (SHAPES, "id")] {
        let query = json!({"filter": filter, "sort": format!("{id}:desc")});
        let rows = queried(&nobody, table, &query, 1000);
        let fetch = |ending: &str| {
            let path = format!("/api/v1{table}{ending}");
            let json = [("content-type", "application/json")];
            let fetched = nobody.fetch("POST", &path, &json, &query.to_string()).unwrap();
            assert_eq!(fetched.status, 200, "{}", fetched.text());
            fetched
        };
        let csv = fetch(".csv");
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
        let text = csv.text();
        assert_eq!(text.matches("\r\n").count(), rows.len() + 1);
        let compressed = fetch(".csv.gz");
        assert_eq!(compressed.header("content-type"), "application/gzip");
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&compressed.bytes[..])
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!(plain, text);

        let parquet = fetch(".parquet");
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
            bytes::Bytes::from(parquet.bytes),
        )
        .unwrap();
        let names: Vec<String> = reader
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        assert_eq!(names, header);
        let mut at = 0;
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                for (column, name) in batch.columns().iter().zip(&names) {
                    same(column, row, &rows[at][name]);
                }
                at += 1;
            }
        }
        assert_eq!(at, rows.len());
    }
}

/// Whether a cell of Parquet is that of JSON.
fn same(column: &dyn arrow_array::Array, row: usize, value: &Value) {
    use arrow_array::{
        BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };
    let any = column.as_any();
    if column.is_null(row) {
        assert!(value.is_null(), "{value}");
    } else if let Some(texts) = any.downcast_ref::<StringArray>() {
        assert_eq!(value, texts.value(row));
    } else if let Some(numbers) = any.downcast_ref::<Float64Array>() {
        assert_eq!(value, numbers.value(row));
    } else if let Some(numbers) = any.downcast_ref::<Int64Array>() {
        assert_eq!(value, numbers.value(row));
    } else if let Some(truths) = any.downcast_ref::<BooleanArray>() {
        assert_eq!(value, truths.value(row));
    } else if let Some(days) = any.downcast_ref::<Date32Array>() {
        // 1970-01-01 is the Julian day 2,440,588.
        let day = value.as_str().unwrap().to_owned();
        let of_day = i64::from(days.value(row)) * 86400;
        assert!(day.len() == 10 && of_day > 1_100_000_000, "{day} {of_day}");
    } else if let Some(times) = any.downcast_ref::<TimestampMicrosecondArray>() {
        let micros = times.value(row) % 1_000_000;
        let text = value.as_str().unwrap();
        assert!(
            micros == 0 || text.contains(&format!(".{micros:06}+00:00")),
            "{text} {micros}"
        );
    } else {
        panic!("{:?}", column.data_type());
    }
}

/// A hook that gives each record one row, whose note is its own.
const NOTE: &str = r#"sed 's/.*"id":"\([^"]*\)".*/{"id":"\1","features":[{"note":"of \1","size":1.5}]}/' "$OSA_IN/records.jsonl" > "$OSA_OUT/features.jsonl""#;

// proves DAT-2, PRV-6
#[test]
fn a_table_can_be_read_as_of_any_time_that_is_settled() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, nobody) = (server.admin(), server.anonymous());
    let note = world.script("note", NOTE);
    admin
        .post("/conventions", &small("Notes", "notes", &[("note", &note)]))
        .expect(201);
    let line = |id: &str, mass: u32| {
        json!({"source_id": id, "metadata": {"label": id, "mass": mass}}).to_string() + "\n"
    };
    let push = |lines: &str| {
        let run = admin.open("notes", 10);
        admin.push_lines(&run, lines);
        admin.finish(&run);
    };
    let now = || world.query("select to_json(clock_timestamp() at time zone 'utc') #>> '{}' || 'Z'");
    let tables = ["/data/notes/records", "/data/notes/note"];
    let read = |query: &Value| tables.map(|table| queried(&nobody, table, query, 2));

    let mut seen = vec![(now(), read(&json!({})))];
    for pushed in [
        line("a", 1) + &line("b", 1) + &line("c", 1),
        line("a", 2) + &line("d", 1),
        line("a", 3) + &line("c", 2),
    ] {
        push(&pushed);
        // A run of today that computes the rows of a record again supersedes those that are there.
        seen.push((now(), read(&json!({}))));
    }
    world.execute(
        "do $$ declare run uuid; row record; at timestamptz := clock_timestamp(); begin
           select * into row from features.note where superseded_by is null and note = 'of d';
           insert into hook_runs (id, release_id, status, started_at, finished_at, duration_s, oom_retries, worker)
             select gen_random_uuid(), release_id, 'passed', at, at, 0, 0, 'test' from hook_runs limit 1 returning id into run;
           update features.note set superseded_by = run where id = row.id;
           insert into supersessions (run_id, superseded_at) values (run, at);
           insert into features.note (record_srn, run_id, created_at, note, size) values (row.record_srn, run, at, 'of d again', 2);
         end $$",
    );
    seen.push((now(), read(&json!({}))));

    let sizes: Vec<(usize, usize)> = seen.iter().map(|(_, [r, f])| (r.len(), f.len())).collect();
    assert_eq!(sizes, [(0, 0), (3, 3), (4, 4), (4, 4), (4, 4)]);
    let last = &seen[4].1[1];
    assert!(last.iter().any(|row| row["note"] == "of d again"), "{last:?}");
    assert!(!last.iter().any(|row| row["note"] == "of d"), "{last:?}");
    for (at, then) in &seen {
        assert_eq!(&read(&json!({"as_of": at})), then, "{at}");
        // A filter over features asks for the rows of that time, too.
        let noted = json!({"kind": "predicate", "field": "features.note.note", "op": "eq", "value": "of d"});
        let had = then[1].iter().any(|row| row["note"] == "of d");
        let found = queried(&nobody, tables[0], &json!({"as_of": at, "filter": noted}), 5);
        assert_eq!(found.len(), usize::from(had), "{at}");
    }

    // While something is being written that began before it, a time has no answer yet; then it has, with what was written.
    let mut writing = world.transaction();
    writing.execute("select pg_current_xact_id()");
    let at = now();
    nobody
        .post(tables[0], &json!({"as_of": at}))
        .problem(409, "as_of_unsettled");
    writing.commit();
    assert_eq!(read(&json!({"as_of": at})), seen[4].1);
}

// proves DAT-1
#[test]
fn counts_come_with_their_time() {
    let world = World::start();
    let server = world.serve("a");
    let (admin, nobody) = (server.admin(), server.anonymous());
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Counted", "counted", &[("pass", &pass)]))
        .expect(201);
    let before = nobody.get("/data/counted").expect(200);
    assert_eq!(before["table_resources"][0]["row_count"], 0);
    let run = admin.open("counted", 10);
    admin.push_lines(
        &run,
        "{\"source_id\": \"a\", \"metadata\": {\"label\": \"a\"}}\n{\"source_id\": \"b\", \"metadata\": {\"label\": \"b\"}}\n",
    );
    admin.finish(&run);
    let exact = nobody.get("/data/counted?counts=exact").expect(200);
    let table = &exact["table_resources"][0];
    assert_eq!(
        (&table["row_count"], &table["estimated"]),
        (&json!(2), &json!(false))
    );
    assert!(
        table["counted_at"].as_str().unwrap() > before["table_resources"][0]["counted_at"].as_str().unwrap()
    );
    assert_eq!(table["formats"], json!(["", "csv", "csv.gz", "parquet"]));
    nobody
        .get("/data/counted?counts=roughly")
        .problem(422, "VALIDATION_ERROR");
}

/// A server with two records, each with a row of the hook `note`.
fn with_notes() -> (World, blackbox::Server) {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    let note = world.script("note", NOTE);
    admin
        .post("/conventions", &small("Notes", "notes", &[("note", &note)]))
        .expect(201);
    let run = admin.open("notes", 10);
    admin.push_lines(
        &run,
        "{\"source_id\": \"a\", \"metadata\": {\"label\": \"a\"}}\n{\"source_id\": \"b\", \"metadata\": {\"label\": \"b\"}}\n",
    );
    admin.finish(&run);
    (world, server)
}

// proves DAT-1
#[test]
fn a_table_that_breaks_off_looks_broken() {
    use std::io::Write as _;
    let (world, server) = with_notes();
    // More than lies in buffers on the way, so that the statement still runs when its connection ends.
    world.execute(
        "insert into features.note (record_srn, run_id, note, size)
         select record_srn, run_id, md5(n::text) || md5((n + 1)::text), random() from features.note, generate_series(1, 150000) n",
    );
    let address = server.url.strip_prefix("http://").unwrap();
    for ending in [".csv", ".csv.gz", ".parquet"] {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET /api/v1/data/notes/note{ending} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut begun = vec![0; 2000];
        stream.read_exact(&mut begun).unwrap();
        assert!(begun.starts_with(b"HTTP/1.1 200"), "{ending}");
        let ended = world.query(
            "select count(pg_terminate_backend(pid))::text from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and state = 'active' and query like '%from features.\"note\"%'",
        );
        assert_eq!(ended, "1", "{ending}");
        let mut rest = Vec::new();
        // However it ends, it ends without the last chunk (RFC 9112 7.1).
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{ending}");
        assert!(rest.len() > 2000, "{ending} {}", rest.len());
        // And a client of HTTP says so.
        let whole = server
            .anonymous()
            .fetch("GET", &format!("/api/v1/data/notes/note{ending}"), &[], "")
            .unwrap();
        assert!(whole.bytes.len() > rest.len(), "{ending}");
    }
}

// proves DAT-1
#[test]
fn who_stops_reading_gets_no_part_for_the_whole() {
    use std::io::Write as _;
    let (world, server) = with_notes();

    // Of other tables a predicate asks for some row, with null, too: one record has a row with and one without a value, the other none.
    world.execute(
        "insert into features.note (record_srn, run_id, note, size) select record_srn, run_id, note, null from features.note where note = 'of a';
         update features.note set superseded_by = run_id where note = 'of b'",
    );
    let valued =
        json!({"filter": {"kind": "predicate", "field": "features.note.size", "op": "neq", "value": null}});
    let rows = queried(&server.anonymous(), "/data/notes/records", &valued, 5);
    let labels: Vec<&Value> = rows.iter().map(|row| &row["label"]).collect();
    assert_eq!(labels, ["a"]);

    world.execute(
        "insert into features.note (record_srn, run_id, note, size)
         select record_srn, run_id, md5(n::text) || md5((n + 1)::text), random()
         from features.note, generate_series(1, 300000) n where size is not null and superseded_by is null",
    );
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /api/v1/data/notes/note.csv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    stream.read_exact(&mut vec![0; 2000]).unwrap();
    // A client that goes away is noticed at once, and its statement with it.
    let running = || {
        world.query(
            "select count(*)::text from pg_stat_activity where datname = current_database() and state = 'active' and query like '%from features.\"note\"%' and pid <> pg_backend_pid()",
        )
    };
    let mut other = std::net::TcpStream::connect(address).unwrap();
    write!(
        other,
        "GET /api/v1/data/notes/note.csv?sort=note HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    .unwrap();
    blackbox::parties::until("both are read", || running() == "2");
    drop(other);
    blackbox::parties::until("one is cancelled", || running() == "1");
    // One that stays and does not read is let go after a minute.
    std::thread::sleep(std::time::Duration::from_secs(66));
    blackbox::parties::until("the other is let go", || running() == "0");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", rest.len());
}

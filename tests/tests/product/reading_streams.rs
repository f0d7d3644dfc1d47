//! Whole tables: every format, tables as of a time, counts, and streams that break off.

use std::io::Read as _;

use blackbox::World;
use blackbox::fixtures::{PASS, small};
use serde_json::{Value, json};

use super::reading::{RECORDS, SHAPES, queried, with_penguins};

// proves DAT-1
#[test]
fn every_format_holds_the_same_rows() {
    let (_world, server) = with_penguins();
    let anonymous = server.anonymous();
    let filter = json!({"kind": "predicate", "field": "metadata.island", "op": "neq", "value": "Dream"});
    for (table, id) in [(RECORDS, "srn"), (SHAPES, "id")] {
        let query = json!({"filter": filter, "sort": format!("{id}:desc")});
        let rows = queried(&anonymous, table, &query, 1000);
        let fetch = |ending: &str| {
            let path = format!("/api/v1{table}{ending}");
            let json = [("content-type", "application/json")];
            let fetched = anonymous.fetch("POST", &path, &json, &query.to_string()).unwrap();
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
    let (admin, anonymous) = (server.admin(), server.anonymous());
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
    let read = |query: &Value| tables.map(|table| queried(&anonymous, table, query, 2));

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
        let found = queried(&anonymous, tables[0], &json!({"as_of": at, "filter": noted}), 5);
        assert_eq!(found.len(), usize::from(had), "{at}");
    }

    // While something is being written that began before it, a time has no answer yet; then it has, with what was written.
    let mut writing = world.transaction();
    writing.execute("select pg_current_xact_id()");
    let at = now();
    anonymous
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
    let (admin, anonymous) = (server.admin(), server.anonymous());
    let pass = world.script("pass", PASS);
    admin
        .post("/conventions", &small("Counted", "counted", &[("pass", &pass)]))
        .expect(201);
    let before = anonymous.get("/data/counted").expect(200);
    assert_eq!(before["table_resources"][0]["row_count"], 0);
    let run = admin.open("counted", 10);
    admin.push_lines(
        &run,
        "{\"source_id\": \"a\", \"metadata\": {\"label\": \"a\"}}\n{\"source_id\": \"b\", \"metadata\": {\"label\": \"b\"}}\n",
    );
    admin.finish(&run);
    let exact = anonymous.get("/data/counted?counts=exact").expect(200);
    let table = &exact["table_resources"][0];
    assert_eq!(
        (&table["row_count"], &table["estimated"]),
        (&json!(2), &json!(false))
    );
    assert!(
        table["counted_at"].as_str().unwrap() > before["table_resources"][0]["counted_at"].as_str().unwrap()
    );
    assert_eq!(table["formats"], json!(["", "csv", "csv.gz", "parquet"]));
    anonymous
        .get("/data/counted?counts=roughly")
        .problem(422, "VALIDATION_ERROR");
}

/// A server with these settings and two records, each with a row of the hook `note`.
pub(super) fn with_notes(settings: &[(&str, &str)]) -> (World, blackbox::Server) {
    let world = World::start();
    let server = world.serve_with("a", settings);
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

/// How many rows [`long`] adds.
pub(super) const LONG: usize = 20_000;

/// Makes the table of `note` longer than what buffers on the way hold, in every format: 36 MB, which no compression halves. Its rows are
/// wide, as most of what a row costs does not depend on its width.
pub(super) fn long(world: &World) {
    world.execute(&format!(
        "insert into features.note (record_srn, run_id, note, size)
         select one.record_srn, one.run_id, (select string_agg(md5(n::text || ' ' || k::text), '') from generate_series(1, 56) k), random()
         from (select record_srn, run_id from features.note where size is not null and superseded_by is null limit 1) one,
           generate_series(1, {LONG}) n"
    ));
}

// proves DAT-1
#[test]
fn a_table_that_breaks_off_looks_broken() {
    use std::io::Write as _;
    let (world, server) = with_notes(&[]);
    // So that the statement still runs when its connection ends.
    long(&world);
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
             where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and state = 'active' and query like '%from features.\"note\"%'",
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
    let (world, server) = with_notes(&[]);

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

    long(&world);
    let address = server.url.strip_prefix("http://").unwrap();
    let begun = |address: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET /api/v1/data/notes/note.csv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream.read_exact(&mut vec![0; 2000]).unwrap();
        stream
    };
    let stream = begun(address);
    // A client that goes away is noticed at once, and its statement with it.
    let running = || {
        world.query(
            "select count(*)::text from pg_stat_activity where datname = current_database() and state = 'active' and backend_type = 'client backend' and query like '%from features.\"note\"%' and pid <> pg_backend_pid()",
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
    drop(stream);
    blackbox::parties::until("both are cancelled", || running() == "0");
    // One that stays and does not read is let go, here after a second.
    let strict = world.serve_with("b", &[("HALLMARK_HTTP__READER_SECONDS", "1")]);
    let mut stream = begun(strict.url.strip_prefix("http://").unwrap());
    blackbox::parties::until("it is let go", || running() == "0");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", rest.len());
}

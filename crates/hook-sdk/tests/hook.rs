//! Whole runs of hooks in directories of their own.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "this is the signature of a hook's function"
)]

use std::fs;
use std::path::Path;

use hook_sdk::{
    Context, Environment, HookError, Outcome, Record, RunError, Summary, hook, run_in, run_named_in,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Penguin {
    mass: Option<f64>,
    name: String,
}

#[derive(Serialize)]
struct Row {
    doubled: f64,
}

fn double(context: &Context, record: Record<Penguin>) -> Result<Outcome<Row>, HookError> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        factor: Option<f64>,
    }
    let factor = context.config::<Config>()?.factor.unwrap_or(2.0);
    match record.metadata.name.as_str() {
        "panic" => panic!("no such bird: {}", record.id),
        "error" => Err(HookError::new("try later").retryable()),
        "parse" => Ok(Outcome::pass(Row {
            doubled: "x".parse()?,
        })),
        "many" => Ok(Outcome::rows(vec![
            Row { doubled: 1.0 },
            Row { doubled: f64::NAN },
        ])),
        "none" => Ok(Outcome::none()),
        "files" => Ok(Outcome::reject(format!("{} files", record.file_paths()?.len()))),
        _ => match record.metadata.mass {
            Some(mass) => Ok(Outcome::pass(Row {
                doubled: mass * factor,
            })),
            None => Ok(Outcome::reject("no mass")),
        },
    }
}

struct Run {
    dir: tempfile::TempDir,
    environment: Environment,
}

fn run_with(records: &str) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let part = |name: &str| dir.path().join(name);
    for name in ["in", "out", "files"] {
        fs::create_dir(part(name)).unwrap();
    }
    fs::write(part("in/records.jsonl"), records).unwrap();
    let environment = Environment {
        input: part("in"),
        output: part("out"),
        files: part("files"),
        hook_name: Some("double".into()),
    };
    Run { dir, environment }
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_record_gets_one_line_in_one_file() {
    let record =
        |id: &str, metadata: Value| json!({"id": id, "metadata": metadata, "size_hint_mb": 0.0}).to_string();
    let records = [
        record("a:1@2", json!({"name": "n", "mass": 21.0})),
        record("light", json!({"name": "n"})),
        record("no name", json!({"mass": 1})),
        "{\"id\": \"half".to_owned(),
        String::new(),
        record("p", json!({"name": "panic"})),
        record("e", json!({"name": "error"})),
        record("q", json!({"name": "parse"})),
        record("m", json!({"name": "many"})),
        record("0", json!({"name": "none"})),
        record("f@1", json!({"name": "files"})),
        "[]".to_owned(),
    ];
    let run = run_with(&records.join("\n"));
    fs::create_dir_all(run.dir.path().join("files/f@1")).unwrap();
    fs::write(run.dir.path().join("files/f@1/x.txt"), "x").unwrap();
    let summary = run_in(&run.environment, double).unwrap();
    assert_eq!(
        summary,
        Summary {
            passed: 3,
            rejected: 2,
            errored: 6
        }
    );
    let out = run.dir.path().join("out");
    let features = [
        json!({"id": "a:1@2", "features": [{"doubled": 42.0}]}),
        json!({"id": "m", "features": [{"doubled": 1.0}, {"doubled": null}]}),
        json!({"id": "0", "features": []}),
    ];
    assert_eq!(lines(&out.join("features.jsonl")), features);
    let rejections = [
        json!({"id": "light", "reason": "no mass"}),
        json!({"id": "f@1", "reason": "1 files"}),
    ];
    assert_eq!(lines(&out.join("rejections.jsonl")), rejections);
    let errors = lines(&out.join("errors.jsonl"));
    let short: Vec<_> = errors
        .iter()
        .map(|e| (e["id"].as_str().unwrap(), e["retryable"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        short,
        [
            ("no name", false),
            ("line-4", false),
            ("p", false),
            ("e", true),
            ("q", false),
            ("line-12", false)
        ]
    );
    assert_eq!(
        errors[0]["error"],
        "the metadata does not fit the hook: missing field `name`"
    );
    assert_eq!(errors[2]["error"], "the hook panicked: no such bird: p");
}

#[test]
fn a_run_without_records_leaves_three_empty_files() {
    let run = run_with("");
    assert_eq!(run_in(&run.environment, double).unwrap(), Summary::default());
    for name in ["features.jsonl", "rejections.jsonl", "errors.jsonl"] {
        assert_eq!(fs::read(run.dir.path().join("out").join(name)).unwrap(), b"");
    }
}

#[test]
fn config_is_typed_and_a_config_that_does_not_fit_is_each_records_error() {
    let records = "{\"id\":\"a\",\"metadata\":{\"name\":\"n\",\"mass\":1}}\n";
    let run = run_with(records);
    fs::write(run.dir.path().join("in/config.json"), "{\"factor\": 10}").unwrap();
    run_in(&run.environment, double).unwrap();
    assert_eq!(
        lines(&run.dir.path().join("out/features.jsonl"))[0]["features"],
        json!([{"doubled": 10.0}])
    );
    fs::write(run.dir.path().join("in/config.json"), "{\"factor\": \"ten\"}").unwrap();
    run_in(&run.environment, double).unwrap();
    let error = &lines(&run.dir.path().join("out/errors.jsonl"))[0]["error"];
    assert!(
        error
            .as_str()
            .unwrap()
            .starts_with("the hook's config does not fit"),
        "{error}"
    );
    fs::write(run.dir.path().join("in/config.json"), "{").unwrap();
    assert!(matches!(
        run_in(&run.environment, double),
        Err(RunError::Input(..))
    ));
}

#[test]
fn what_was_said_before_is_on_disk_while_a_slow_hook_goes_on() {
    let records: Vec<String> = (0..3)
        .map(|n| format!("{{\"id\":\"{n}\",\"metadata\":{{}}}}"))
        .collect();
    let run = run_with(&records.join("\n"));
    let features = run.dir.path().join("out/features.jsonl");
    let slow = |_: &Context, record: Record<Value>| -> Result<Outcome<u32>, HookError> {
        std::thread::sleep(std::time::Duration::from_millis(120));
        // Whole lines, one for each record before this one.
        Ok(Outcome::pass(u32::from(
            fs::read_to_string(&features)?.lines().count().to_string() == record.id,
        )))
    };
    run_in(&run.environment, slow).unwrap();
    assert!(lines(&features).iter().all(|line| line["features"] == json!([1])));
}

#[test]
fn the_name_selects_the_hook_and_for_an_unknown_name_the_known_ones_are_listed() {
    let mut run = run_with("{\"id\":\"a\",\"metadata\":{\"name\":\"n\",\"mass\":1}}\n");
    let hooks = || {
        [
            hook("other", |_, _: Record<Value>| Ok(Outcome::<()>::none())),
            hook("double", double),
        ]
    };
    run_named_in(&run.environment, hooks()).unwrap();
    assert_eq!(
        lines(&run.dir.path().join("out/features.jsonl"))[0]["features"],
        json!([{"doubled": 2.0}])
    );
    run.environment.hook_name = Some("third".into());
    let error = run_named_in(&run.environment, hooks()).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no hook \"third\"; this image has the hooks other, double"
    );
    run.environment.hook_name = None;
    assert!(run_named_in(&run.environment, hooks()).is_err());
}

#[test]
fn input_that_is_not_there_is_an_error_and_not_an_empty_run() {
    let run = run_with("");
    fs::remove_file(run.dir.path().join("in/records.jsonl")).unwrap();
    let error = run_in(&run.environment, double).unwrap_err().to_string();
    assert!(error.contains("records.jsonl cannot be read"), "{error}");
    assert!(!run.dir.path().join("out/features.jsonl").exists());
}

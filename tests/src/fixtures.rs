//! Conventions, hooks and ingesters that tests deploy.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::world::{binaries, digest, root};

/// The deploy body of the penguins, with the built hooks.
pub fn penguins() -> Value {
    let mut text = std::fs::read_to_string(root().join("examples/penguins/convention.json")).unwrap();
    for hook in ["check_penguin", "penguin_shape"] {
        text = text.replace(&format!("@DIGEST_{hook}@"), &digest(&binaries().join(hook)));
    }
    text = text
        .replace("@BIN@", binaries().to_str().unwrap())
        .replace("@SOURCE_REF@", "git:0123abc");
    serde_json::from_str(&text).unwrap()
}

/// Pushes the penguins to a run.
pub fn push_penguins(client: &Client, run: &str) -> Answer {
    let csv = std::fs::read_to_string(root().join("examples/penguins/penguins-raw.csv")).unwrap();
    client.push(
        &format!("/ingestions/{run}/records?source_id=Species,Sample%20Number&null_values=NA"),
        "text/csv",
        &csv,
    )
}

/// A small convention: a text and a number, and hooks given as (name, script).
pub fn small(title: &str, schema: &str, hooks: &[(&str, &Path)]) -> Value {
    let column =
        |name: &str, json_type: &str| json!({"name": name, "json_type": json_type, "required": false});
    let hook = |(name, file): &(&str, &Path)| {
        json!({
            "name": name, "config": {}, "limits": {"timeout_seconds": 20, "memory": "256m", "cpu": "1"},
            "feature": {"kind": "table", "cardinality": "many", "columns": [column("note", "string"), column("size", "number")]},
            "release": {"image": format!("file:{}", file.display()), "digest": digest(file), "source_ref": "git:1"},
        })
    };
    let field = |name: &str, kind: &str, required: bool| json!({"name": name, "type": kind, "required": required, "cardinality": "exactly_one"});
    json!({
        "title": title, "description": "d", "file_requirements": {"accepted_types": [], "max_count": 0},
        "schema": {"id": schema, "version": "1.0.0", "fields": [field("label", "text", true), field("mass", "number", false)]},
        "hooks": hooks.iter().map(hook).collect::<Vec<_>>(),
        "docs": {"purpose": "p", "example_questions": ["a?", "b?"], "examples": [{"question": "c?", "query": "q", "interpretation": "i"}]},
    })
}

/// The `ingester` of a deploy body: a script, with what else it has.
pub fn ingester(file: &Path, more: &Value) -> Value {
    let mut all = json!({
        "name": "ingester", "limits": {"timeout_seconds": 20, "memory": "256m", "cpu": "1"},
        "release": {"image": format!("file:{}", file.display()), "digest": digest(file), "source_ref": "git:9"},
    });
    all.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    all
}

/// A script that gives `config.total` records, each with a file, as many at a time as it may, and keeps its place in its session.
pub const COUNTING: &str = r#"
total=$(sed -e 's/.*"total":\([0-9]*\).*/\1/' "$OSA_IN/config.json")
at=0; [ -f "$OSA_IN/session.json" ] && at=$(sed -e 's/.*"at":\([0-9]*\).*/\1/' "$OSA_IN/session.json")
n=0
while [ $n -lt "$OSA_LIMIT" ] && [ $at -lt "$total" ]; do
  id="r:$at@x"
  mkdir "$OSA_FILES/$id"; echo "file of $at" > "$OSA_FILES/$id/data.txt"
  echo "{\"source_id\":\"$id\",\"metadata\":{\"label\":\"l$at\",\"mass\":$at},\"files\":[{\"name\":\"data.txt\",\"relative_path\":\"$id/data.txt\",\"size_mb\":0.1}]}"
  at=$((at+1)); n=$((n+1))
done > "$OSA_OUT/records.jsonl"
[ $at -lt "$total" ] && echo "{\"at\":$at}" > "$OSA_OUT/session.json"
exit 0"#;

/// A script that passes every record with one row, whose note is what the record's file says.
pub const READ_FILES: &str = r#"
sed -e 's/^{"id":"\([^"]*\)".*/\1/' "$OSA_IN/records.jsonl" | while read -r id; do
  echo "{\"id\":\"$id\",\"features\":[{\"note\":\"$(cat "$OSA_FILES/$id/data.txt")\",\"size\":1}]}"
done > "$OSA_OUT/features.jsonl""#;

/// A script that passes every record with one row.
pub const PASS: &str = r#"sed -e 's/^{"id":"\([^"]*\)".*/{"id":"\1","features":[{"note":"\1","size":1.5}]}/' "$OSA_IN/records.jsonl" > "$OSA_OUT/features.jsonl""#;

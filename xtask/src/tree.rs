//! The trace of a row as a tree that a person likes to read.

use std::fmt::Write as _;

use serde_json::Value;

/// A node and what it came from.
struct Node {
    text: String,
    children: Vec<Node>,
}

fn node(text: impl Into<String>, children: Vec<Node>) -> Node {
    Node {
        text: text.into(),
        children,
    }
}

fn leaf(name: &str, value: &Value) -> Node {
    node(format!("{name:<12} {}", plain(value)), vec![])
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn who(value: &Value) -> String {
    match (&value["name"], &value["authority"]) {
        (Value::String(name), Value::String(authority)) => {
            format!("{name} ({authority}), {}", plain(&value["id"]))
        }
        _ => plain(&value["id"]),
    }
}

/// The tree of a trace.
pub(crate) fn render(trace: &Value) -> String {
    let (row, run, release, record) = (&trace["row"], &trace["run"], &trace["release"], &trace["record"]);
    let (source, task) = (&trace["source"], &trace["task"]);
    let values = row["values"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name} = {}", plain(value)))
        .collect::<Vec<_>>()
        .join(", ");
    let state = if release["live"] == true {
        "live now".to_owned()
    } else {
        format!("version {} is live now", plain(&release["live_version"]))
    };
    let limits = &release["limits"];
    let release_node = node(
        format!(
            "by release {} of hook {} ({state})",
            plain(&release["version"]),
            plain(&release["hook_name"])
        ),
        vec![
            leaf("digest", &release["digest"]),
            leaf("image", &release["image"]),
            leaf("source_ref", &release["source_ref"]),
            leaf("config", &release["config"]),
            node(
                format!(
                    "{:<12} {} s, {} memory, {} cpu",
                    "limits",
                    plain(&limits["timeout_seconds"]),
                    plain(&limits["memory"]),
                    plain(&limits["cpu"])
                ),
                vec![],
            ),
            node(
                format!("{:<12} {}", "built_by", who(&release["built_by"])),
                vec![],
            ),
            leaf("built_at", &release["built_at"]),
        ],
    );
    let mut task_children = vec![node(
        format!("{:<12} {}", "creator", who(&task["creator"])),
        vec![],
    )];
    for delegation in task["delegations"].as_array().into_iter().flatten() {
        let text = format!(
            "handed by {} to {}: {}, attempt {}, worker {}",
            plain(&delegation["caller"]),
            plain(&delegation["callee"]),
            plain(&delegation["status"]),
            plain(&delegation["attempt"]),
            plain(&delegation["worker"])
        );
        task_children.push(node(text, vec![leaf("delegation", &delegation["id"])]));
    }
    let run_node = node(
        format!("computed by run {}", plain(&run["id"])),
        vec![
            node(
                format!(
                    "{:<12} {}, {} s, {} retries for memory",
                    "status",
                    plain(&run["status"]),
                    plain(&run["duration_s"]),
                    plain(&run["oom_retries"])
                ),
                vec![],
            ),
            leaf("started_at", &run["started_at"]),
            leaf("worker", &run["worker"]),
            release_node,
            node(format!("for task {}", plain(&task["name"])), task_children),
        ],
    );
    let record_node = node(
        format!("about record {}", plain(&record["srn"])),
        vec![
            leaf("schema", &record["schema_id"]),
            leaf("published", &record["created_at"]),
            node(
                format!(
                    "from {:?}, line {} of upload {}",
                    plain(&source["source_id"]),
                    plain(&source["line"]),
                    plain(&source["upload"])
                ),
                vec![
                    leaf("ingest run", &source["ingest_run_id"]),
                    leaf("convention", &source["convention_id"]),
                    node(
                        format!("{:<12} {}", "opened by", who(&source["opened_by"])),
                        vec![],
                    ),
                    node(
                        format!("{:<12} {}", "pushed by", who(&source["pushed_by"])),
                        vec![],
                    ),
                ],
            ),
        ],
    );
    let current = if row["current"] == true {
        "current"
    } else {
        "superseded"
    };
    let root = node(
        format!(
            "row {} of {} ({current}): {values}",
            plain(&row["id"]),
            plain(&release["hook_name"])
        ),
        vec![run_node, record_node],
    );
    let mut text = format!("{}\n", root.text);
    draw(&root.children, "", &mut text);
    text
}

fn draw(children: &[Node], indent: &str, text: &mut String) {
    for (index, child) in children.iter().enumerate() {
        let last = index + 1 == children.len();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{indent}{}{}", if last { "└─ " } else { "├─ " }, child.text);
        draw(
            &child.children,
            &format!("{indent}{}", if last { "   " } else { "│  " }),
            text,
        );
    }
}

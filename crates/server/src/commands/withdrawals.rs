//! `hallmark withdraw` and `hallmark restore`.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::Remote;
use super::client::{Client, escaped, shown};

/// Withdraw a published record. Reads answer with the reason, and tables leave it out.
#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// Id of the record; with --run, id of the ingest run.
    id: String,
    /// Withdraw the records of an ingest run together.
    #[arg(long)]
    run: bool,
    /// Reason, shown to everyone who asks for the record.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

impl Withdraw {
    pub(crate) fn run(&self) -> Result<()> {
        let body = json!({"reason": self.reason});
        change(&self.remote, self.run, &self.id, "withdraw", &body)
    }
}

/// Restore a withdrawn record.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Id of the record; with --run, id of the ingest run.
    id: String,
    /// Restore the records of an ingest run together.
    #[arg(long)]
    run: bool,
    /// Reason, recorded in the activity log.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Restore {
    pub(crate) fn run(&self) -> Result<()> {
        let body = self
            .reason
            .as_ref()
            .map_or_else(|| json!({}), |reason| json!({"reason": reason}));
        change(&self.remote, self.run, &self.id, "restore", &body)
    }
}

fn change(remote: &Remote, is_run: bool, id: &str, what: &str, body: &Value) -> Result<()> {
    let client = Client::new(remote);
    let (noun, above) = if is_run {
        ("ingest run", "/ingestions")
    } else {
        ("record", "/data/records")
    };
    let answer = client.call("POST", &format!("{above}/{}/{what}", escaped(id)), Some(body))?;
    client.print(&answer, |answer| {
        let withdrawal = &answer["withdrawal"];
        let state = match withdrawal["reason"].as_str() {
            Some(reason) => format!(
                "is withdrawn since {}: {reason}",
                shown(&withdrawal["withdrawn_at"])
            ),
            None => "is not withdrawn".to_owned(),
        };
        let progress = match (answer["records"].as_u64(), answer["finished"].as_bool()) {
            (Some(records), Some(true)) => format!("; {records} records changed in the tables"),
            (Some(records), _) => {
                format!(
                    "; {records} records changed in the tables so far, the server continues with the others"
                )
            }
            (None, _) => String::new(),
        };
        format!("{noun} {} {state}{progress}", shown(&answer["id"]))
    })
}

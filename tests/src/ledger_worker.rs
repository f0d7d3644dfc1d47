//! A worker, as a process of its own: claims, works a little, sends heartbeats, ends what it claimed; now and then it is dead for a while and comes
//! back with what it was given before.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::choices::Choices;

/// After how long without a heartbeat a lease expires in the storm.
pub const SILENCE: Duration = Duration::from_secs(3);
/// The environment of a worker: addresses of servers, its token, the seed of its choices. The first thing that the worker of seed
/// [`REVENANT`] does is to be dead for a while.
pub const SERVERS: &str = "LEDGER_STORM_SERVERS";
pub const TOKEN: &str = "LEDGER_STORM_TOKEN";
pub const SEED: &str = "LEDGER_STORM_SEED";
pub const REVENANT: u64 = 0;

/// For how long an end is sent again that got no answer.
const STUBBORN: Duration = Duration::from_secs(30);

struct Worker {
    agent: ureq::Agent,
    servers: Vec<String>,
    token: String,
    choices: Choices,
}

impl Worker {
    /// What any of the servers answers, or nothing when it does not.
    fn post(&mut self, path: &str, body: &Value) -> Option<Value> {
        let server = &self.servers[self.choices.below(self.servers.len())];
        let mut answer = self
            .agent
            .post(format!("{server}/api/v1{path}"))
            .header("authorization", &format!("Bearer {}", self.token))
            .content_type("application/json")
            .send(body.to_string())
            .ok()?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().read_to_string().ok()?;
        match status {
            200 => Some(serde_json::from_str(&text).unwrap()),
            503 => None,
            _ => panic!("{path}: {status} {text}"),
        }
    }

    /// Retries until a server responds, or until it has taken too long.
    fn insist(&mut self, path: &str, body: &Value) {
        let begun = Instant::now();
        while self.post(path, body).is_none() && begun.elapsed() < STUBBORN {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn run(&mut self, name: &str, mut dead_at_first: bool) -> ! {
        loop {
            let claim = json!({"worker_id": name, "limit": 20, "wait_seconds": 2, "begin": self.choices.below(2) == 0});
            let Some(claimed) = self.post("/claims", &claim) else {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            };
            let items = claimed["items"].as_array().unwrap().clone();
            if items.is_empty() {
                continue;
            }
            let held: Vec<Value> = items
                .iter()
                .map(|item| json!({"delegation_id": item["delegation_id"], "attempt": item["attempt"]}))
                .collect();
            std::thread::sleep(Duration::from_millis(self.choices.below(40) as u64));
            let by_chance = self.choices.below(50);
            let choice = if dead_at_first { 0 } else { by_chance };
            dead_at_first = false;
            match choice {
                // As good as dead, until others have what it holds, even if the database was away meanwhile.
                0 => std::thread::sleep(SILENCE * 4),
                1..10 => {
                    let _ = self.post("/claims/heartbeat", &json!({"claims": held}));
                }
                _ => {}
            }
            let ends: Vec<Value> = items
                .iter()
                .map(|item| {
                    let mut end = json!({"delegation_id": item["delegation_id"], "attempt": item["attempt"]});
                    // The first time some cannot do it; its caller hands it out again.
                    if item["retry_count"] == json!(0) && self.choices.below(50) == 0 {
                        end["error_detail"] = json!("cannot");
                    } else {
                        end["result"] = json!({"n": item["input"]["n"], "by": item["delegation_id"]});
                    }
                    end
                })
                .collect();
            self.insist("/claims/finish", &json!({"worker_id": name, "ends": ends}));
        }
    }
}

/// Works until it is killed.
pub fn run() -> ! {
    let variable = |name: &str| std::env::var(name).unwrap();
    let seed: u64 = variable(SEED).parse().unwrap();
    let mut worker = Worker {
        agent: ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into(),
        servers: variable(SERVERS).split(' ').map(str::to_owned).collect(),
        token: variable(TOKEN),
        choices: Choices(seed),
    };
    worker.run(&format!("worker-{seed}"), seed == REVENANT)
}

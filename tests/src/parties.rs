//! People and machines that hand work to each other.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;
use crate::tokens::{ISSUER, key, machine_token, public_pem, user_token};
use crate::world::World;

/// A caller.
pub struct Party {
    pub client: Client,
    /// `user:<id>` or `service_account:<id>`.
    pub name: String,
}

impl Party {
    pub fn id(&self) -> &str {
        self.name.split(':').nth(1).unwrap()
    }

    /// Makes a task and gives its id.
    pub fn task(&self, kind: &str) -> String {
        let made = self
            .client
            .post(
                "/tasks",
                &json!({"kind": kind, "name": "a task", "params": {"n": 1}}),
            )
            .expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    /// Hands something over; gives the answer.
    pub fn delegate(&self, id: &str, callee: &Self, more: &Value) -> Value {
        let mut body =
            json!({"delegation_id": id, "callee_id": callee.name, "task_preview": id, "input": {"id": id}});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.client.post("/delegations", &body).expect(201)
    }

    /// Claims at most so many; gives ids and attempts.
    pub fn claim(&self, most: u32) -> Vec<(String, i64)> {
        let answer = self
            .client
            .post("/claims", &json!({"worker_id": "w", "limit": most}))
            .expect(200);
        let items = answer["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| {
                let id = item["delegation_id"].as_str().unwrap().to_owned();
                (id, item["attempt"].as_i64().unwrap())
            })
            .collect()
    }

    pub fn delegation(&self, id: &str) -> Value {
        self.client.get(&format!("/delegations/{id}")).expect(200)
    }

    pub fn inbox(&self) -> Vec<Value> {
        let answer = self.client.get("/inbox").expect(200);
        answer["items"].as_array().unwrap().clone()
    }
}

impl World {
    /// A server that trusts [`ISSUER`] with the key of [`Server::machine`].
    pub fn serve_machines(&self, name: &str, more: &[(&str, &str)]) -> Server {
        let pem = public_pem(&key(1));
        let mut environment = vec![
            ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
            ("HALLMARK_AUTH__ISSUERS__CI__PUBLIC_KEY", &pem),
        ];
        environment.extend_from_slice(more);
        self.serve_with(name, &environment)
    }

    /// A person with a role.
    pub fn person(&self, server: &Server, n: u32, role: &str) -> Party {
        let id = format!("00000000-0000-7000-8000-{n:012}");
        self.execute(&format!(
            "insert into users (id, provider, external_id, display_name) values ('{id}', 'orcid', 'o{n}', 'User {n}');
             insert into role_assignments (id, user_id, role) values (gen_random_uuid(), '{id}', '{role}')"
        ));
        let token = user_token(&json!({"sub": id, "provider": "orcid", "external_id": format!("o{n}")}));
        Party {
            client: server.with_token(Some(token)),
            name: format!("user:{id}"),
        }
    }
}

impl Server {
    /// A machine of [`ISSUER`], with no scope at all.
    pub fn machine(&self, subject: &str) -> Party {
        let token = machine_token(&key(1), &json!({"sub": subject, "scope": ""}));
        let client = self.with_token(Some(token));
        // The creator of a task is the one place where a machine sees its own name.
        let task = client
            .post(
                "/tasks",
                &json!({"kind": "hello", "name": "who am I", "idempotency_key": "hello"}),
            )
            .json();
        let id = task["creator_service_account_id"].as_str().unwrap();
        Party {
            name: format!("service_account:{id}"),
            client,
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < Duration::from_mins(3),
            "never came true: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn status(party: &Party, id: &str) -> String {
    party.delegation(id)["status"].as_str().unwrap().to_owned()
}

/// The delegations of a list.
pub fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["delegation_id"].as_str().unwrap())
        .collect()
}

/// A delegation's attempt log.
pub fn events(party: &Party, id: &str) -> Vec<String> {
    let log = party
        .client
        .get(&format!("/delegations/{id}/attempts"))
        .expect(200);
    let items = log["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| format!("{} {}", item["attempt"], item["event"].as_str().unwrap()))
        .collect()
}

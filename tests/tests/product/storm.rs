//! Concurrency, proven: 64 clients on two servers, some of which vanish, while servers are killed and started again.
//!
//! A call that got no answer is repeated on the other server, as a client would; the result of the first try is unknown, and
//! [`history`] counts it as done at any later time or never.

mod fixtures;
mod history;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use blackbox::World;
use blackbox::choices::Choices;
use fixtures::{address, content, convention, release, serve, token};
use history::{Call, Meant, Seen};
use serde_json::{Value, json};
use wire::{Broken, Request};

const ISSUER: &str = "https://ci.example.org";
const CLIENTS: usize = 64;
/// Calls of each client.
const STEPS: usize = 18;
/// Which server is killed once so many calls were answered.
const KILLS: [(usize, usize); 3] = [(200, 0), (500, 1), (800, 0)];
/// Hooks of every kind of call; they are there from each client's first call on, which is a deploy.
const HOT: [&str; 4] = ["north", "east", "south", "west"];
/// Hooks that deploys bring, each at first in the middle of the storm, with its table.
const LATE: [&str; 4] = ["dawn", "dusk", "noon", "night"];

/// What the clients share.
struct Storm {
    servers: [Mutex<SocketAddr>; 2],
    answered: AtomicUsize,
}

struct Client<'a> {
    storm: &'a Storm,
    number: usize,
    name: String,
    token: String,
    choices: Choices,
    /// The highest version that a response named, per hot hook.
    known: [u32; HOT.len()],
    calls: Vec<Call>,
}

impl Client<'_> {
    /// One try, on one of the servers.
    fn place(&self, attempt: usize) -> SocketAddr {
        *self.storm.servers[(self.number + attempt) % 2].lock().unwrap()
    }

    fn record(&mut self, hook: &str, start: Instant, end: Option<Instant>, meant: Meant, seen: Vec<Seen>) {
        self.calls.push(Call {
            client: self.name.clone(),
            hook: hook.to_owned(),
            start,
            end,
            meant,
            seen,
        });
    }

    /// Sends until there is an answer; every try that may have reached a server and got none is recorded.
    fn ask(&mut self, request: &Request, lost: &[(&str, Meant)]) -> (u16, Value, Instant, Instant) {
        for attempt in 0.. {
            assert!(attempt < 2000, "no server answers");
            let start = Instant::now();
            match request.send(self.place(attempt), &self.token) {
                Ok((status, body)) => {
                    assert!(status < 500, "{} {}: {body}", request.method, request.path);
                    self.storm.answered.fetch_add(1, Ordering::Relaxed);
                    return (status, body, start, Instant::now());
                }
                Err(Broken::Unanswered) => {
                    for (hook, meant) in lost {
                        self.record(hook, start, None, meant.clone(), vec![]);
                    }
                }
                Err(Broken::Unsent) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        unreachable!()
    }

    fn learn(&mut self, hook: &str, version: u32) {
        if let Some(index) = HOT.iter().position(|hot| *hot == hook) {
            self.known[index] = self.known[index].max(version);
        }
    }

    fn deploy(&mut self, title: &str, schema: &str, minor: usize, hooks: &[(&str, String)]) {
        let request = Request {
            method: "POST",
            path: "/conventions?check=false".into(),
            body: convention(title, schema, minor, hooks),
        };
        let lost: Vec<_> = hooks
            .iter()
            .map(|(hook, digest)| (*hook, Meant::Submit(digest.clone(), None)))
            .collect();
        let (status, body, start, end) = self.ask(&request, &lost);
        assert_eq!(status, 201, "{body}");
        for ((hook, digest), response) in hooks.iter().zip(body["releases"].as_array().unwrap()) {
            assert_eq!(response["name"], *hook, "{body}");
            let (version, live) = (number(&response["version"]), number(&response["live_version"]));
            let seen = if version == live {
                vec![Seen::Live(live)]
            } else {
                vec![Seen::Live(live), Seen::NotLive(version)]
            };
            self.learn(hook, version);
            self.record(
                hook,
                start,
                Some(end),
                Meant::Submit(digest.clone(), Some((version, response["created"] == true))),
                seen,
            );
        }
    }

    fn release(&mut self, hook: &str, digest: String) {
        let request = Request {
            method: "POST",
            path: format!("/hooks/{hook}/releases?check=false"),
            body: release(&digest),
        };
        let (status, body, start, end) = self.ask(&request, &[(hook, Meant::Submit(digest.clone(), None))]);
        assert!(matches!(status, 200 | 201), "{status} {body}");
        let version = number(&body["version"]);
        assert!(
            status == 200 || body["live"] == true,
            "what is new is live: {body}"
        );
        self.learn(hook, version);
        let seen = vec![is_live(version, &body["live"])];
        self.record(
            hook,
            start,
            Some(end),
            Meant::Submit(digest, Some((version, status == 201))),
            seen,
        );
    }

    fn set_live(&mut self, hook: &str, version: u32) {
        let request = set_live(hook, version);
        let (status, body, start, end) = self.ask(&request, &[(hook, Meant::Live(version))]);
        assert_eq!((status, number(&body["live_version"])), (200, version), "{body}");
        self.record(
            hook,
            start,
            Some(end),
            Meant::Live(version),
            vec![Seen::Live(version)],
        );
    }

    fn look(&mut self, hook: &str, version: u32) {
        let get = |path| Request {
            method: "GET",
            path,
            body: Value::Null,
        };
        let (status, body, start, end) = self.ask(&get(format!("/hooks/{hook}/releases/{version}")), &[]);
        let seen = match status {
            200 => is_live(version, &body["live"]),
            _ => Seen::Missing(version),
        };
        self.record(hook, start, Some(end), Meant::Look, vec![seen]);
        let (_, body, start, end) = self.ask(&get(format!("/hooks/{hook}/releases")), &[]);
        let live = number(&body["live_version"]);
        let versions: Vec<u32> = body["releases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| number(&r["version"]))
            .collect();
        let most = u32::try_from(versions.len()).unwrap();
        assert!(
            versions.iter().copied().eq((1..=most).rev()) && live <= most,
            "{body}"
        );
        self.record(
            hook,
            start,
            Some(end),
            Meant::Look,
            vec![Seen::Live(live), Seen::Missing(most + 1)],
        );
    }

    /// Goes away in the middle of a request.
    fn vanish(&mut self, hook: &str, digest: &str, step: usize) {
        let wait = Duration::from_micros(self.choices.below(20_000) as u64);
        let (request, meant, part) = match self.choices.below(4) {
            0 => (set_live(hook, 1), Some(Meant::Live(1)), 256),
            1 => {
                // Only a part: the content must never be seen.
                let never = content("never", self.number * STEPS + step);
                let part = 1 + self.choices.below(254);
                (submission(hook, &never), None, part)
            }
            _ => (
                submission(hook, digest),
                Some(Meant::Submit(digest.to_owned(), None)),
                256,
            ),
        };
        let place = self.choices.below(2);
        let start = Instant::now();
        let gone = request.vanish(self.place(place), &self.token, part, wait);
        if let (Err(Broken::Unanswered), Some(meant)) = (gone, meant) {
            self.record(hook, start, None, meant, vec![]);
        }
    }

    fn step(&mut self, step: usize) {
        let at = self.choices.below(HOT.len());
        let hook = HOT[at];
        // At each step some contents are new, and each is submitted by several clients.
        let digest = content(hook, step * 3 + self.choices.below(4));
        match self.choices.below(100) {
            0..42 => self.release(hook, digest),
            42..67 => {
                let version = 1 + self.choices.below(self.known[at] as usize);
                self.set_live(hook, u32::try_from(version).unwrap());
            }
            67..80 => {
                // Two conventions to a schema; hooks in opposite order, one of them new to the server half-way.
                let which = self.choices.below(8);
                let late = LATE[self.choices.below(LATE.len() * step / STEPS + 1)];
                let other = HOT[(at + 1 + self.choices.below(3)) % HOT.len()];
                let late_content = content(late, step + self.choices.below(3));
                let mut hooks = [
                    (hook, digest),
                    (late, late_content),
                    (other, content(other, step * 3 + self.choices.below(4))),
                ];
                if which.is_multiple_of(2) {
                    hooks.sort_by(|a, b| a.0.cmp(b.0));
                } else {
                    hooks.sort_by(|a, b| b.0.cmp(a.0));
                }
                self.deploy(
                    &format!("Storm {which}"),
                    &format!("storm-{}", which % 4),
                    step / 4,
                    &hooks,
                );
            }
            80..90 => self.vanish(hook, &digest, step),
            _ => {
                let version = 1 + self.choices.below(self.known[at] as usize + 2);
                self.look(hook, u32::try_from(version).unwrap());
            }
        }
    }
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))).unwrap()
}

fn is_live(version: u32, live: &Value) -> Seen {
    if *live == true {
        Seen::Live(version)
    } else {
        Seen::NotLive(version)
    }
}

fn set_live(hook: &str, version: u32) -> Request {
    Request {
        method: "PUT",
        path: format!("/hooks/{hook}/live"),
        body: json!({"version": version}),
    }
}

fn submission(hook: &str, digest: &str) -> Request {
    Request {
        method: "POST",
        path: format!("/hooks/{hook}/releases?check=false"),
        body: release(digest),
    }
}

fn client(storm: &Storm, number: usize) -> Vec<Call> {
    let name = format!("client-{number:02}");
    let mut client = Client {
        storm,
        number,
        token: token(&name),
        name,
        choices: Choices(number as u64),
        known: [0; HOT.len()],
        calls: Vec::new(),
    };
    // All at once: hooks, tables and schemas come into being, in opposite order.
    let mut hooks = HOT.map(|hook| (hook, content(hook, 0)));
    if number / 2 % 2 == 1 {
        hooks.reverse();
    }
    client.deploy(
        &format!("Storm {}", number % 8),
        &format!("storm-{}", number % 4),
        0,
        &hooks,
    );
    for step in 0..STEPS {
        client.step(step);
    }
    client.calls
}

fn no_5xx_is_logged(log: &str) {
    let bad: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("status=5") || line.contains("panic"))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Waits until nothing that a server began is under way in the database.
fn wait_until_quiet(world: &World) {
    let begun = Instant::now();
    let busy = "select count(*)::text from pg_stat_activity where datname = current_database() and application_name = 'hallmark'";
    while world.query(busy) != "0" {
        assert!(
            begun.elapsed() < Duration::from_mins(2),
            "a connection of a stopped server stays"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

// proves REG-2, REG-3, REG-4, DEP-3
#[test]
fn all_answers_agree_with_one_serial_order_while_clients_vanish_and_servers_die() {
    let world = World::start();
    let mut servers = ["a", "b"].map(|name| Some(serve(&world, name)));
    let storm = Storm {
        servers: [0, 1].map(|n: usize| Mutex::new(address(servers[n].as_ref().unwrap()))),
        answered: AtomicUsize::new(0),
    };
    let calls: Vec<Call> = std::thread::scope(|scope| {
        let storm = &storm;
        let running: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || client(storm, number)))
            .collect();
        for (after, victim) in KILLS {
            while storm.answered.load(Ordering::Relaxed) < after
                && !running.iter().any(std::thread::ScopedJoinHandle::is_finished)
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            let server = servers[victim].take().unwrap();
            no_5xx_is_logged(&server.log());
            server.kill();
            let again = serve(&world, ["a", "b"][victim]);
            *storm.servers[victim].lock().unwrap() = address(&again);
            servers[victim] = Some(again);
        }
        running
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    for server in servers.into_iter().flatten() {
        no_5xx_is_logged(&server.log());
        assert!(server.terminate().success());
    }
    wait_until_quiet(&world);

    let lost = calls.iter().filter(|call| call.end.is_none()).count();
    assert!(lost > CLIENTS, "too few calls went unanswered: {lost}");
    assert_eq!(
        world.query("select deadlocks::text from pg_stat_database where datname = current_database()"),
        "0"
    );
    let (moves, releases) = (
        history::moves(&world.query(history::MOVES)),
        history::releases(&world.query(history::RELEASES)),
    );
    let mut by_hook: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    for call in calls {
        by_hook.entry(call.hook.clone()).or_default().push(call);
    }
    let server = serve(&world, "a");
    for (hook, releases) in &releases {
        history::check_contents(&by_hook[hook], releases);
        history::check_pointer(&by_hook[hook], releases);
        history::check_chain(&moves[hook], releases);
        let response = server
            .anonymous()
            .get(&format!("/hooks/{hook}/releases"))
            .expect(200);
        let live = releases.iter().find(|r| r.live).map(|r| r.version);
        assert_eq!(
            (
                number(&response["live_version"]),
                response["releases"].as_array().unwrap().len()
            ),
            (live.unwrap(), releases.len())
        );
    }
    history::check_serial(&moves, &releases, &by_hook);
}

// proves REG-7, DEP-3
#[test]
fn what_many_bring_for_the_first_time_at_once_exists_once_and_fails_no_call() {
    const AT_ONCE: usize = 16;
    let world = World::start();
    let servers = ["a", "b"].map(|name| serve(&world, name));
    let places = servers.each_ref().map(address);
    for round in 0..12 {
        let start = Barrier::new(AT_ONCE);
        std::thread::scope(|scope| {
            for n in 0..AT_ONCE {
                let start = &start;
                scope.spawn(move || {
                    // One service account that is new, and one schema under many titles.
                    let token = token(&format!("crowd-{round}"));
                    let request = Request {
                        method: "POST",
                        path: "/conventions?check=false".into(),
                        body: convention(&format!("Crowd {round} {n}"), &format!("crowd-{round}"), 0, &[]),
                    };
                    start.wait();
                    let (status, body) = request.send(places[n % 2], &token).unwrap();
                    assert_eq!(status, 201, "{body}");
                });
            }
        });
    }
    assert_eq!(world.query("select count(*)::text from service_accounts"), "12");
    assert_eq!(world.query("select count(*)::text from metadata_tables"), "12");
}

//! Each statement of a deploy is made to fail, on the wire between the server and PostgreSQL, and nothing remains of the deploy (DEP-1, WC-D1).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use blackbox::fixtures::{PASS, small};
use blackbox::{Client, World};
use serde_json::{Value, json};
use url::Url;

/// How a statement fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// PostgreSQL refuses it.
    Error,
    /// The connection breaks before PostgreSQL has it.
    Cut,
    /// The connection breaks after PostgreSQL has it: the outcome is unknown.
    CutAfter,
}

/// What every deploy says first in its transaction. Now and then the loops of the server have transactions, too, which do not count.
const OF_A_DEPLOY: &str = "pg_advisory_xact_lock(hashtextextended('convention:'";

/// Which statement fails next, and what was seen.
#[derive(Debug, Default)]
struct Plan {
    /// The number of the statement within the transaction of a deploy, whose `BEGIN` is 1; none: every one passes.
    fails: Option<(usize, Fault)>,
    /// How many statements the last deploy had so far.
    seen: usize,
    /// The statement that failed.
    fired: Option<String>,
}

impl Plan {
    /// How this statement fails: the n-th of its transaction, which is or is not that of a deploy.
    fn meets(&mut self, n: usize, of_a_deploy: bool, statement: &str) -> Option<Fault> {
        if of_a_deploy {
            self.seen = n;
        }
        let (at, fault) = self.fails?;
        // Whose a transaction is that only begins cannot be told yet: each one fails, and so does the deploy's.
        let fails = at == n && (n == 1 || (of_a_deploy && self.fired.is_none()));
        fails.then(|| {
            self.fired = Some(statement.to_owned());
            fault
        })
    }
}

/// The transaction that a connection is in.
#[derive(Default)]
struct Within {
    /// How many statements it has had; 0 outside of one.
    statements: usize,
    of_a_deploy: bool,
}

/// A connection to PostgreSQL, however the tests reach it.
enum Upstream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Upstream {
    /// To the server of this URL: by the unix socket whose directory its parameter `host` names, or by TCP.
    fn connect(url: &Url) -> Self {
        let get = |name: &str| {
            url.query_pairs()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        match get("host") {
            Some(directory) => {
                let port = get("port").unwrap_or_else(|| "5432".to_owned());
                Self::Unix(UnixStream::connect(format!("{directory}/.s.PGSQL.{port}")).unwrap())
            }
            None => {
                let host = url.host_str().unwrap();
                let stream = TcpStream::connect((host, url.port().unwrap_or(5432))).unwrap();
                // Message by message, or each waits for the acknowledgement of the one before it.
                stream.set_nodelay(true).unwrap();
                Self::Tcp(stream)
            }
        }
    }

    fn another(&self) -> Self {
        match self {
            Self::Unix(stream) => Self::Unix(stream.try_clone().unwrap()),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().unwrap()),
        }
    }

    fn close(&self) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Upstream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(into),
            Self::Tcp(stream) => stream.read(into),
        }
    }
}

impl Write for Upstream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Unix(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
        }
    }
}

/// A relay between the server and PostgreSQL that reads what the server says (PostgreSQL manual, 55.7 "Message Formats").
struct Relay {
    url: String,
    plan: Arc<Mutex<Plan>>,
}

impl Relay {
    /// In front of the database of this URL.
    fn start(url: &str) -> Self {
        let parsed = Url::parse(url).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut own = parsed.clone();
        own.set_host(Some("127.0.0.1")).unwrap();
        own.set_port(Some(port)).unwrap();
        own.set_query(Some("sslmode=disable"));
        let plan = Arc::new(Mutex::new(Plan::default()));
        let shared = Arc::clone(&plan);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                client.set_nodelay(true).unwrap();
                let server = Upstream::connect(&parsed);
                let (mut from, mut to) = (server.another(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let plan = Arc::clone(&shared);
                std::thread::spawn(move || relay(client, server, &plan));
            }
        });
        Self {
            url: own.into(),
            plan,
        }
    }

    fn arm(&self, fails: Option<(usize, Fault)>) {
        *self.plan.lock().unwrap() = Plan {
            fails,
            ..Plan::default()
        };
    }

    fn fired(&self) -> Option<String> {
        self.plan.lock().unwrap().fired.clone()
    }
}

fn text(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|b| *b == 0).unwrap();
    (std::str::from_utf8(&bytes[..end]).unwrap(), &bytes[end + 1..])
}

/// Passes on what the server says, but for the statement that is to fail.
fn relay(mut client: TcpStream, mut server: Upstream, plan: &Mutex<Plan>) {
    let mut prepared: BTreeMap<String, String> = BTreeMap::new();
    let (mut begun, mut within) = (false, Within::default());
    loop {
        let mut kind = [0];
        // The first message has no kind.
        if begun && client.read_exact(&mut kind).is_err() {
            break;
        }
        let mut length = [0; 4];
        if client.read_exact(&mut length).is_err() {
            break;
        }
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        if client.read_exact(&mut body).is_err() {
            break;
        }
        let statement = match kind[0] {
            b'P' if begun => {
                let (name, rest) = text(&body);
                prepared.insert(name.to_owned(), text(rest).0.to_owned());
                None
            }
            b'B' if begun => {
                let (_portal, rest) = text(&body);
                Some(prepared.get(text(rest).0).cloned().unwrap_or_default())
            }
            b'Q' if begun => Some(text(&body).0.to_owned()),
            _ => None,
        };
        let mut fault = None;
        if let Some(statement) = statement {
            let word = statement.trim_start().to_ascii_uppercase();
            let begins = word.starts_with("BEGIN");
            if begins {
                within = Within::default();
            }
            if (begins || within.statements > 0) && !word.starts_with("ROLLBACK") {
                within.statements += 1;
                within.of_a_deploy |= within.statements == 2 && statement.contains(OF_A_DEPLOY);
                let mut plan = plan.lock().unwrap();
                fault = plan.meets(within.statements, within.of_a_deploy, &statement);
            }
            if word.starts_with("COMMIT") || word.starts_with("ROLLBACK") {
                within = Within::default();
            }
        }
        match fault {
            Some(Fault::Error) => {
                // No statement begins with this, and no prepared one has such a name.
                let at = if kind[0] == b'B' {
                    body.iter().position(|b| *b == 0).unwrap() + 1
                } else {
                    0
                };
                body[at] = b'!';
            }
            Some(Fault::Cut) => break,
            // First, or the answer could slip through.
            Some(Fault::CutAfter) => drop(client.shutdown(Shutdown::Both)),
            None => {}
        }
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(begun.then_some(kind[0]));
        message.extend(length);
        message.extend(body);
        begun = true;
        if server.write_all(&message).is_err() || fault == Some(Fault::CutAfter) {
            break;
        }
    }
    server.close();
    let _ = client.shutdown(Shutdown::Both);
}

/// Lets each statement of a deploy fail in this way; gives the statements.
fn fail_each(world: &World, relay: &Relay, client: &Client, body: &Value, fault: Fault) -> BTreeSet<String> {
    let before = world.state();
    let mut failed = BTreeSet::new();
    for n in 1.. {
        assert!(n < 200, "a deploy has fewer statements");
        relay.arm(Some((n, fault)));
        let answer = client.post("/conventions", body);
        let Some(statement) = relay.fired() else {
            assert_eq!(answer.status, 201, "{answer:?}");
            break;
        };
        assert!(answer.status >= 500, "{fault:?} of {n} ({statement}): {answer:?}");
        assert!(
            !answer.text.contains('!') && !answer.text.to_lowercase().contains("select"),
            "no SQL reaches a client: {answer:?}"
        );
        relay.arm(None);
        assert!(
            world.state() == before,
            "{fault:?} of statement {n} left something behind: {statement}"
        );
        failed.insert(statement);
    }
    relay.arm(None);
    assert!(world.state() != before);
    failed
}

/// A first deploy, and an update of everything that can change.
fn bodies(world: &World) -> (Value, Value) {
    let (one, two) = (
        world.script("one", PASS),
        world.script("two", &format!("{PASS} # 2")),
    );
    let first = small("Faults", "faults-of", &[("left", &one), ("right", &two)]);
    let mut second = small("Faults", "faults-of", &[("left", &two), ("third", &one)]);
    second["description"] = json!("another");
    second["hooks"][0]["feature"]["columns"][0]["description"] = json!("what it says");
    second["schema"]["version"] = json!("1.1.0");
    let more = json!({"name": "more", "type": "date", "required": false, "cardinality": "exactly_one"});
    second["schema"]["fields"].as_array_mut().unwrap().push(more);
    (first, second)
}

// proves DEP-1, DEP-5, REG-4
#[test]
fn whichever_statement_of_a_deploy_fails_nothing_of_it_remains() {
    for fault in [Fault::Error, Fault::Cut] {
        let world = World::start();
        let relay = Relay::start(&world.url);
        // Workers stay out of the way.
        let server = world.serve_with(
            "a",
            &[
                ("DATABASE_URL", &relay.url),
                ("HALLMARK_WORKER__POLL_SECONDS", "3600"),
            ],
        );
        let admin = server.admin();
        let (first, second) = bodies(&world);
        let mut failed = fail_each(&world, &relay, &admin, &first, fault);
        failed.append(&mut fail_each(&world, &relay, &admin, &second, fault));
        for part in [
            "BEGIN",
            "pg_advisory_xact_lock",
            "insert into metadata_tables",
            "insert into schemas",
            "insert into hooks",
            "for update",
            "insert into hook_releases",
            "insert into hook_live_moves",
            "update hooks set contract",
            "make_feature_table",
            "sync_metadata_table",
            "conventions",
            "convention_hooks",
            "schema_features",
            "insert into activity_log",
            "COMMIT",
        ] {
            assert!(
                failed
                    .iter()
                    .any(|s| s.to_lowercase().contains(&part.to_lowercase())),
                "{part} is in none of {failed:#?}"
            );
        }
        assert!(failed.len() >= 16, "{failed:#?}");
    }
}

// proves DEP-1, DEP-2
#[test]
fn a_commit_with_an_unknown_outcome_is_whole_or_nothing_and_repeating_it_settles_it() {
    let world = World::start();
    let relay = Relay::start(&world.url);
    let server = world.serve_with(
        "a",
        &[
            ("DATABASE_URL", &relay.url),
            ("HALLMARK_WORKER__POLL_SECONDS", "3600"),
        ],
    );
    let admin = server.admin();
    let pass = world.script("pass", PASS);
    let statements = {
        relay.arm(Some((usize::MAX, Fault::Cut)));
        admin
            .post(
                "/conventions",
                &small("Counted", "counted-of", &[("counted", &pass)]),
            )
            .expect(201);
        relay.plan.lock().unwrap().seen
    };
    for round in 0..5 {
        let (title, schema, hook) = (
            format!("Round {round}"),
            format!("round-{round}"),
            format!("round_{round}"),
        );
        let body = small(&title, &schema, &[(&hook, &pass)]);
        relay.arm(Some((statements, Fault::CutAfter)));
        let answer = admin.post("/conventions", &body);
        assert!(answer.status >= 500, "{answer:?}");
        assert!(
            relay.fired().unwrap().to_uppercase().starts_with("COMMIT"),
            "{:?}",
            relay.fired()
        );
        relay.arm(None);
        admin.post("/conventions", &body).expect(201);
        let releases = admin.get(&format!("/hooks/{hook}/releases")).expect(200);
        assert_eq!(releases["releases"].as_array().unwrap().len(), 1);
        let moves = admin.get(&format!("/hooks/{hook}/live/history")).expect(200);
        assert_eq!(moves["moves"].as_array().unwrap().len(), 1);
    }
    assert_eq!(
        world.query("select count(*)::text || ' ' || count(distinct subject) from activity_log where kind = 'ConventionRegistered'"),
        "6 6"
    );
}

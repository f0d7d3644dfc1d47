//! The commands of the binary that talk to a running server.

use std::path::Path;
use std::process::{Command, Output};

use blackbox::fixtures::{PASS, small};
use blackbox::tokens::ISSUER;
use blackbox::world::binaries;
use blackbox::{Server, World};
use serde_json::Value;

/// Runs a command; the environment holds nothing else.
fn hallmark(directory: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(binaries().join("hallmark"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

// proves REG-3, REG-4, REG-6, AUT-2, AUT-7
#[test]
fn keys_tokens_releases_and_pointers_from_the_command_line() {
    let world = World::start();
    let home = world.home.path().to_owned();
    let run = |environment: &[(&str, &str)], arguments: &[&str]| hallmark(&home, environment, arguments);
    let text = printed(&run(&[], &["keys", "generate", "--out", "keys"]));
    let kid = text
        .lines()
        .last()
        .unwrap()
        .strip_prefix("kid ")
        .unwrap()
        .to_owned();
    // A key that is there is never written over.
    refused(&run(&[], &["keys", "generate", "--out", "keys"]));
    let jwks = home.join("keys/jwks.json");
    let server: Server = world.serve_with(
        "a",
        &[
            ("HALLMARK_AUTH__ISSUERS__CI__ISSUER", ISSUER),
            ("HALLMARK_AUTH__ISSUERS__CI__JWKS_FILE", jwks.to_str().unwrap()),
        ],
    );

    let mint = [
        "token",
        "mint",
        "--key",
        "keys/private.pem",
        "--issuer",
        ISSUER,
        "--kid",
        &kid,
        "--scope",
        "hooks:write conventions:write",
        "--subject",
        "pipeline",
        "--hooks",
        "shape,other",
    ];
    assert!(refused(&run(&[], &mint)).contains("dev mode"));
    assert!(refused(&run(&[], &["token", "mint"])).contains("dev mode"));
    let dev = [("OSA_DEV_MODE", "true")];
    let machine = printed(&run(&dev, &mint));
    let admin = printed(&run(&dev, &["token", "mint", "--lifetime", "60"]));
    let (machine, admin) = (machine.trim(), admin.trim());
    let pass = world.script("pass", PASS);
    server
        .with_token(Some(machine.to_owned()))
        .post(
            "/conventions",
            &small("Commanded", "commanded", &[("shape", &pass)]),
        )
        .expect(201);
    let me = server
        .with_token(Some(admin.to_owned()))
        .get("/auth/me")
        .expect(200);
    assert_eq!(me["display_name"], "Local Admin");

    let as_machine = [
        ("HALLMARK_SERVER", server.url.as_str()),
        ("HALLMARK_TOKEN", machine),
    ];
    let open = [("OSA_SERVER", server.url.as_str())];
    let other = world.script("other", &format!("{PASS} # other"));
    let release = [
        "release",
        "shape",
        "--file",
        other.to_str().unwrap(),
        "--source-ref",
        "git:9",
        "--memory",
        "128m",
        "--config",
        "{\"k\":1}",
    ];
    assert!(refused(&run(&open, &release)).contains("HALLMARK_TOKEN"));
    let text = printed(&run(&as_machine, &release));
    assert!(
        text.starts_with("shape release 2, live: sha256:") && text.contains("from git:9"),
        "{text}"
    );
    // The same again is the same release.
    assert_eq!(printed(&run(&as_machine, &release)), text);
    // From elsewhere it is, too, and is used from there.
    let copy = world.home.path().join("copy");
    std::fs::copy(&other, &copy).unwrap();
    let mut from_copy = release;
    from_copy[3] = copy.to_str().unwrap();
    let added = format!(
        "; location added: file:{}\n",
        copy.canonicalize().unwrap().display()
    );
    assert_eq!(
        printed(&run(&as_machine, &from_copy)),
        format!("{}{added}", text.trim_end())
    );
    let detail = server.anonymous().get("/hooks/shape/releases/2").expect(200);
    assert_eq!(
        (&detail["config"]["k"], &detail["limits"]["memory"]),
        (&Value::from(1), &Value::from("128m"))
    );

    let text = printed(&run(
        &as_machine,
        &["live", "shape", "1", "--reason", "2 is slow"],
    ));
    assert_eq!(text, "shape release 1 is live\n");
    let text = printed(&run(&open, &["live", "shape"]));
    assert!(
        text.starts_with("shape release 1 since ") && text.ends_with(": 2 is slow\n"),
        "{text}"
    );
    let text = printed(&run(
        &open,
        &["live", "shape", "--at", "2001-01-01T00:00:00+02:00"],
    ));
    assert!(text.contains("no release was live"), "{text}");
    let history: Value =
        serde_json::from_str(&printed(&run(&open, &["live", "shape", "--history", "--json"]))).unwrap();
    assert_eq!(history["moves"].as_array().unwrap().len(), 3);
    assert!(printed(&run(&open, &["live", "shape", "--history"])).contains("2 is slow"));

    let text = refused(&run(&as_machine, &["yank", "shape", "1", "--reason", "wrong"]));
    assert!(
        text.contains("fallback_version") && text.contains("(409)"),
        "{text}"
    );
    let text = printed(&run(
        &as_machine,
        &["yank", "shape", "1", "--reason", "wrong", "--fallback", "2"],
    ));
    assert_eq!(text, "shape release 1 is yanked: wrong; release 2 is live\n");
    let table = printed(&run(&open, &["hooks", "shape"]));
    assert!(
        table.contains("yanked: wrong") && table.contains("git:9") && table.contains("service_account:"),
        "{table}"
    );
    let text = printed(&run(&as_machine, &["unyank", "shape", "1"]));
    assert!(text.contains("is not yanked"), "{text}");
    let table = printed(&run(&open, &["hooks"]));
    assert!(table.contains("shape") && table.contains("git:9"), "{table}");
    let json: Value = serde_json::from_str(&printed(&run(&open, &["hooks", "--json"]))).unwrap();
    assert_eq!(json["items"][0]["live_release"]["version"], 2);

    // Faults are text with their place; a server that is not there, too.
    let text = refused(&run(
        &as_machine,
        &[
            "release",
            "shape",
            "--image",
            "x",
            "--digest",
            "md5:1",
            "--source-ref",
            "x",
            "--memory",
            "lots",
        ],
    ));
    assert!(
        text.contains("body.digest") && text.contains("body.limits.memory"),
        "{text}"
    );
    let text = refused(&run(
        &as_machine,
        &[
            "release",
            "third",
            "--image",
            "x",
            "--digest",
            "x",
            "--source-ref",
            "x",
        ],
    ));
    assert!(text.contains("digest"), "{text}");
    let text = refused(&run(&[], &["hooks", "--server", "http://127.0.0.1:1"]));
    assert!(text.contains("cannot reach"), "{text}");
    // What the commands read from the environment is no fault of a server's configuration.
    world.serve_with("b", &as_machine);
}

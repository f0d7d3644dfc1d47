//! Tests of the configuration.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
    let mut source = Source::new();
    source.read_environment(
        variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into())),
    );
    Config::read(source).map_err(|e| e.to_string())
}

#[test]
fn nothing_configured_is_a_configuration() {
    let config = read(&[("HALLMARK_TEST_X", "1"), ("PATH", "/bin")]).unwrap();
    assert!(config.database_url.is_none() && !config.dev_mode && config.listen.ip().is_loopback());
}

#[test]
fn every_fault_is_told_at_once_with_its_key_and_origin() {
    let text = read(&[
        ("HALLMARK_LISTEN", "nowhere"),
        ("HALLMARK_WORKER__CONCURRENCY", "many"),
        ("HALLMARK_WORKER__SILENCE_SECONDS", "-1"),
        ("HALLMARK_WORKER__MAX_CRASHES", "0"),
        ("HALLMARK_RUNNER__MAX_ROWS", "all"),
        ("HALLMARK_RUNNER__MAX_OUTPUT_BYTES", "1"),
        ("HALLMARK_HTTP__MAX_BODY_MEMORY_BYTES", "1"),
        ("HALLMARK_NO__SUCH", "x"),
        ("OSA_AUTH__JWT__SECRET", "short"),
        ("HALLMARK_AUTH__ISSUERS__0__AUDIENCE", "x"),
        ("HALLMARK_AUTH__ISSUERS__0__MAX_LIFETIME_SECONDS", "-1"),
        ("OSA_AUTH__BASE_ROLE", "KING"),
        ("OSA_FRONTEND__URL", "nowhere"),
    ])
    .unwrap_err();
    for part in [
        "listen (from HALLMARK_LISTEN)",
        "worker.concurrency",
        "worker.silence_seconds",
        "worker.max_crashes: must be a number from 1 to 1000",
        "runner.max_rows (from HALLMARK_RUNNER__MAX_ROWS)",
        "runner.max_output_bytes",
        "http.max_body_memory_bytes",
        "no.such",
        "auth.jwt.secret",
        "auth.issuers.0.issuer",
        "auth.issuers.0: has no key",
        "auth.issuers.0.max_lifetime_seconds",
        "auth.base_role",
        "frontend_url",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn osa_names_are_taken_and_our_own_win() {
    let config = read(&[
        ("DATABASE_URL", "postgres://a/z"),
        ("OSA_DATABASE__URL", "postgresql+asyncpg://u:p@h/d"),
        ("OSA_DOMAIN", "a.example"),
        ("HALLMARK_DOMAIN", "b.example"),
    ])
    .unwrap();
    assert_eq!(config.database_url.unwrap().reveal(), "postgresql://u:p@h/d");
    assert_eq!(config.domain.as_str(), "b.example");
    let unknown = read(&[("OSA_MCP__ENABLED", "false"), ("OSA_DATA_DIR", "/data")]).unwrap();
    assert_eq!(unknown.without_effect, ["OSA_MCP__ENABLED"]);
}

#[test]
fn the_file_of_the_open_science_archive_is_read_below_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let yaml = "name: Birds\ndomain: c.example\nauth:\n  providers:\n    orcid:\n      client_id: APP-1\n      client_secret: s\n  base_role: DEPOSITOR\n  admins:\n    orcid: [0000-0002-1825-0097]\nmcp:\n  enabled: false\n";
    std::fs::write(&file, yaml).unwrap();
    let mut source = Source::new();
    source.read_osa_file(&file).unwrap();
    source.read_environment(
        [(
            "OSA_AUTH__ADMINS__ORCID".into(),
            "[\"0000-0001-5109-370X\"]".into(),
        )]
        .into_iter(),
    );
    let config = Config::read(source).unwrap();
    assert_eq!(config.domain.as_str(), "c.example");
    assert_eq!(config.auth.base_role, Some(::auth::Role::Depositor));
    assert_eq!(config.auth.orcid.unwrap().client_id, "APP-1");
    assert_eq!(
        config.auth.admins.into_iter().collect::<Vec<_>>(),
        ["0000-0001-5109-370X"]
    );
    let mut source = Source::new();
    source.flatten("auth.issuers.ci.allowed_scopes", &serde_json::json!([]), "a test");
    assert_eq!(
        source.list("auth.issuers.ci.allowed_scopes"),
        Some(vec![]),
        "none is not all"
    );
    assert!(
        config.without_effect[0].starts_with("mcp.enabled in"),
        "{:?}",
        config.without_effect
    );
}

#[test]
fn the_well_known_secret_is_for_dev_mode_on_loopback_only() {
    let secret = ("OSA_AUTH__JWT__SECRET", WELL_KNOWN_SECRET);
    assert!(read(&[secret]).unwrap_err().contains("well-known"));
    assert!(read(&[secret, ("OSA_DEV_MODE", "true")]).is_ok());
    let open = ("HALLMARK_LISTEN", "0.0.0.0:8000");
    assert!(
        read(&[secret, ("OSA_DEV_MODE", "true"), open])
            .unwrap_err()
            .contains("loopback")
    );
    assert!(
        read(&[("OSA_DEV_MODE", "true"), open])
            .unwrap_err()
            .contains("loopback")
    );
}

// proves ISO-1
#[test]
fn hooks_need_a_sandbox_unless_the_operator_says_otherwise() {
    let sandbox = |more: &[(&str, &str)]| read(more).unwrap().sandbox();
    let dev = ("OSA_DEV_MODE", "true");
    assert_eq!(sandbox(&[]), Sandbox::Required);
    assert_eq!(sandbox(&[dev]), Sandbox::Auto);
    for (word, expected) in [
        ("auto", Sandbox::Auto),
        ("required", Sandbox::Required),
        ("none", Sandbox::None),
        ("never", Sandbox::None),
    ] {
        assert_eq!(sandbox(&[dev, ("HALLMARK_RUNNER__SANDBOX", word)]), expected);
    }
    assert!(
        read(&[("HALLMARK_RUNNER__SANDBOX", "bwrap")])
            .unwrap_err()
            .contains("auto, required or none")
    );
}

// proves ISO-1
#[test]
fn ingesters_have_a_network_of_their_own_where_that_can_be_made() {
    let network = |more: &[(&str, &str)]| read(more).map(|config| config.runner.local_ingester_network);
    let word = |word| [("HALLMARK_RUNNER__LOCAL_INGESTER_NETWORK", word)];
    assert_eq!(network(&[]).unwrap(), LocalNetwork::Auto);
    for (text, expected) in [
        ("auto", LocalNetwork::Auto),
        ("isolated", LocalNetwork::Isolated),
        ("host", LocalNetwork::Host),
    ] {
        assert_eq!(network(&word(text)).unwrap(), expected);
    }
    let refused = network(&word("bridge")).unwrap_err();
    assert!(refused.contains("auto, isolated or host"), "{refused}");
}

// proves ISO-1
#[test]
fn the_uids_of_hooks_are_no_others() {
    let uids = |base: &str, count: &str| {
        let read = read(&[
            ("HALLMARK_RUNNER__UID_BASE", base),
            ("HALLMARK_RUNNER__UID_COUNT", count),
        ]);
        read.map(|config| config.runner.uids.unwrap())
    };
    let taken = uids("70000", "10").unwrap();
    assert_eq!((taken.base, taken.count), (70_000, 10));
    for (base, count) in [
        ("0", "10"),
        ("999", "10"),
        ("65000", "535"),
        ("70000", "0"),
        ("4294967290", "10"),
        ("x", "1"),
    ] {
        assert!(
            uids(base, count).unwrap_err().contains("runner.uid_base"),
            "{base} {count}"
        );
    }
    assert!(read(&[]).unwrap().runner.uids.is_none());
    let dirs = |text| read(&[("HALLMARK_RUNNER__IMAGE_DIRS", text)]);
    assert!(dirs("images").unwrap_err().contains("runner.image_dirs"));
    let taken = dirs("/opt/images /srv/images")
        .unwrap()
        .runner
        .image_dirs
        .unwrap();
    assert_eq!(
        taken,
        [PathBuf::from("/opt/images"), PathBuf::from("/srv/images")]
    );
}

// proves ISO-1
#[test]
fn the_files_of_the_configuration_are_hidden_from_hooks() {
    let dir = tempfile::tempdir().unwrap();
    let (toml, yaml) = (dir.path().join("config.toml"), dir.path().join("config.yaml"));
    std::fs::write(&toml, "storage = '/srv/blobs'\n").unwrap();
    std::fs::write(&yaml, "name: Birds\n").unwrap();
    let mut source = Source::new();
    source.read_file(&toml).unwrap();
    source.read_osa_file(&yaml).unwrap();
    let hidden = Config::read(source).unwrap().secret_files();
    assert_eq!(hidden, [toml, yaml, PathBuf::from("/srv/blobs")]);
}

// proves EDG-7: the path of the archive's address is in every link, so a faulty one is found at the start.
#[test]
fn the_base_url_may_have_a_path_and_nothing_that_breaks_a_link() {
    let at = |text: &str| read(&[("OSA_BASE_URL", text)]);
    let listening = SocketAddr::from(([127, 0, 0, 1], 8000));
    let base = |config: Config| config.base_url(listening).unwrap().as_str().to_owned();
    assert_eq!(base(read(&[]).unwrap()), "http://127.0.0.1:8000");
    assert_eq!(
        base(read(&[("OSA_DOMAIN", "a.example")]).unwrap()),
        "https://a.example"
    );
    for (given, taken) in [
        ("https://Example.org", "https://example.org"),
        (
            "https://example.org:443/labs/archive/",
            "https://example.org/labs/archive",
        ),
        ("https://example.org/a/../b", "https://example.org/b"),
    ] {
        assert_eq!(base(at(given).unwrap()), taken);
    }
    for faulty in [
        "https://example.org/?x",
        "https://u:p@example.org",
        "https://example.org/a//b",
        "ftp://x",
    ] {
        assert!(at(faulty).unwrap_err().contains("base_url: must be"), "{faulty}");
    }
}

#[test]
fn secrets_do_not_reach_a_log() {
    let config = read(&[
        (
            "HALLMARK_AUTH__JWT__SECRET",
            "a secret that is long enough for HS256",
        ),
        ("DATABASE_URL", "postgres://u:hidden@h/d"),
    ])
    .unwrap();
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("long enough") && !shown.contains("hidden"),
        "{shown}"
    );
}

// proves ISO-2
#[test]
fn an_owner_of_tables_needs_a_role_beside_it() {
    let owner = ("HALLMARK_DATABASE__OWNER_URL", "postgres+x://owner@h/d");
    let both = read(&[("DATABASE_URL", "postgres://app@h/d"), owner]).unwrap();
    assert_eq!(both.database_owner_url.unwrap().reveal(), "postgres://owner@h/d");
    let alone = read(&[owner]).unwrap_err();
    assert!(
        alone.contains("database.owner_url: requires database.url"),
        "{alone}"
    );
}

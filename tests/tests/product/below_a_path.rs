//! An archive below a path of its host, behind a reverse proxy.

use std::collections::BTreeMap;

use blackbox::fixtures::{penguins, push_penguins};
use blackbox::proxy::Proxy;
use blackbox::{Client, Fetched, Server, World};
use serde_json::{Value, json};
use url::Url;

use super::sign_in::{BOB, Orcid, back, departed, find, query};

const PATH: &str = "/labs/archive";
const HTML: (&str, &str) = ("accept", "text/html,*/*;q=0.8");

/// A server that knows the address of the proxy in front of it.
fn serve(world: &World, proxy: &Proxy, more: &[(&str, &str)]) -> Server {
    let mut all = vec![("HALLMARK_BASE_URL", proxy.url.as_str())];
    all.extend(more);
    let server = world.serve_with("a", &all);
    proxy.lead_to(&server);
    server
}

fn publish(server: &Server) {
    let admin = server.admin();
    admin.post("/conventions", &penguins()).expect(201);
    let run = admin.open("palmer-penguins", 100);
    push_penguins(&admin, &run).expect(200);
    admin.finish(&run);
}

/// A reader in front of the proxy, who knows only what the server sends.
struct Reader {
    host: String,
    client: Client,
}

impl Reader {
    fn of(proxy: &Proxy) -> Self {
        let host = proxy.url.strip_suffix(PATH).unwrap().to_owned();
        let client = Client::new(&host, None);
        Self { host, client }
    }

    /// Where a link on a page leads, if it is an address of this host.
    #[track_caller]
    fn target(&self, page: &str, link: &str) -> Option<String> {
        let page = Url::parse(&format!("{}{page}", self.host)).unwrap();
        let mut target = page.join(link).unwrap();
        target.set_fragment(None);
        let path = target.as_str().strip_prefix(&self.host)?.to_owned();
        let inside = path
            .strip_prefix(PATH)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        assert!(inside, "{link} of {page} leaves {PATH}");
        Some(path)
    }

    #[track_caller]
    fn fetch(&self, path: &str) -> Fetched {
        self.client.fetch("GET", path, &[HTML], "").unwrap()
    }

    #[track_caller]
    fn json(&self, path: &str) -> Value {
        let answer = self.client.fetch("GET", path, &[], "").unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.bytes).unwrap()
    }

    /// No text names an address of the host outside of the path.
    #[track_caller]
    fn names_nothing_outside(&self, what: &str, text: &str) {
        let inside = format!("{}{PATH}", self.host);
        for (at, _) in text.match_indices(&self.host) {
            let shown: String = text[at..].chars().take(90).collect();
            assert!(shown.starts_with(&inside), "{what} names {shown}");
        }
    }
}

/// What a browser would ask for.
fn links(html: &str) -> Vec<String> {
    ["href=\"", "src=\"", "action=\""]
        .iter()
        .flat_map(|begin| html.split(begin).skip(1))
        .map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"))
        .filter(|link| !link.starts_with('#'))
        .collect()
}

/// What kind of page is at this path.
fn kind(path: &str) -> &'static str {
    let part = |text: &str| path.contains(text);
    match () {
        () if part("/docs") => "docs",
        () if part("cursor=") => "next page",
        () if part("/api/v1/") => "document",
        () if part("/rows/") => "trace",
        () if part("/data/records/") => "record",
        () => "other",
    }
}

/// Every text of a JSON document.
fn texts<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => all.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, all)),
        _ => {}
    }
}

// proves EDG-7, DAT-1: every page can be reached, and every link on it leads on, whether the proxy strips the path or not.
#[test]
fn every_link_of_every_page_keeps_the_path() {
    for strips in [true, false] {
        let (world, proxy) = (World::start(), Proxy::start(PATH, strips));
        let server = serve(&world, &proxy, &[]);
        publish(&server);
        let reader = Reader::of(&proxy);
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        let mut waiting = vec![PATH.to_owned()];
        while let Some(path) = waiting.pop() {
            let kind = kind(&path);
            // Each kind of page often enough; there are hundreds of records and rows, which are alike.
            let alike = seen.values().filter(|seen| **seen == kind).count();
            let enough = if kind == "other" { 30 } else { 8 };
            if alike >= enough || path.contains("/events") || seen.contains_key(&path) {
                continue;
            }
            seen.insert(path.clone(), kind);
            let answer = reader.fetch(&path);
            assert_eq!(answer.status, 200, "{path}");
            let content_type = answer.header("content-type").to_owned();
            if content_type.starts_with("text/html") && kind != "docs" {
                let html = answer.text();
                reader.names_nothing_outside(&path, &html);
                let found = links(&html);
                assert!(found.len() > 5, "{path}");
                waiting.extend(found.iter().filter_map(|link| reader.target(&path, link)));
            } else if content_type.starts_with("text/markdown") {
                reader.names_nothing_outside(&path, &answer.text());
            } else if content_type.starts_with("application/json") {
                let document: Value = serde_json::from_slice(&answer.bytes).unwrap();
                let mut all = Vec::new();
                texts(&document, &mut all);
                for text in all {
                    reader.names_nothing_outside(&path, text);
                    assert!(
                        !text.starts_with("/api/") && !text.starts_with("/data/"),
                        "{text} in {path}"
                    );
                }
            }
        }
        for part in [
            "/style.css",
            "/docs",
            "/SKILL.md",
            "/data/records/",
            "/rows/",
            "cursor=",
            "/openapi.json",
        ] {
            assert!(
                seen.keys().any(|path| path.contains(part)),
                "{part} was not found in {seen:?}"
            );
        }
        let missing = reader.fetch(&format!("{PATH}/data/no-such/records"));
        assert_eq!(missing.status, 404);
        let found = links(&missing.text());
        assert!(
            found.iter().filter_map(|link| reader.target(PATH, link)).count() > 4,
            "{found:?}"
        );
        assert_eq!(
            proxy.outside(),
            [""; 0],
            "the proxy was asked for something that is not the archive's"
        );
    }
}

// proves EDG-7: documents for programs and agents, redirects and exports carry the path.
#[test]
fn programs_find_the_archive_below_its_path() {
    let (world, proxy) = (World::start(), Proxy::start(PATH, true));
    let server = serve(&world, &proxy, &[]);
    publish(&server);
    let reader = Reader::of(&proxy);
    let root = reader.json(PATH);
    for key in ["skill_url", "reference_base", "data_url", "openapi_url"] {
        let address = root[key].as_str().unwrap();
        let path = reader.target(PATH, address).unwrap();
        if key != "reference_base" {
            assert_eq!(reader.fetch(&path).status, 200, "{address}");
        }
    }
    let stats = reader.json(&format!("{PATH}/api/v1/stats"));
    assert_eq!(stats["data_url"], format!("{PATH}/api/v1/data"));

    // A client that is made of the document, and Swagger UI, resolve paths against its servers (OpenAPI 3.0.3, 4.7.5).
    let document = format!("{PATH}/openapi.json");
    let api = reader.json(&document);
    assert_eq!(api["servers"], json!([{"url": PATH}]));
    let docs = reader.fetch(&format!("{PATH}/docs")).text();
    let shown = docs.replace([' ', '\n'], "");
    assert!(
        shown.contains(&format!("\"servers\":[{{\"url\":\"{PATH}\"}}]")),
        "Swagger UI has no servers"
    );
    let mut tried = 0;
    for (path, operations) in api["paths"].as_object().unwrap() {
        if operations.get("get").is_some() && !path.contains('{') && !path.contains("/auth/") {
            let server = reader
                .target(&document, api["servers"][0]["url"].as_str().unwrap())
                .unwrap();
            let answer = reader.fetch(&format!("{server}{path}"));
            assert!([200, 401].contains(&answer.status), "{path}: {}", answer.status);
            tried += 1;
        }
    }
    assert!(tried > 8, "{tried}");

    let slashed = reader.fetch(&format!("{PATH}/api/v1/data/?limit=1"));
    assert_eq!(slashed.status, 307);
    assert_eq!(slashed.header("location"), format!("{PATH}/api/v1/data?limit=1"));

    let records = reader.json(&format!("{PATH}/api/v1/data/palmer-penguins/records?limit=1"));
    let record = format!(
        "{PATH}/api/v1/data/records/{}",
        records["rows"][0]["id"].as_str().unwrap()
    );
    for format in ["prov-json", "ro-crate", "openlineage"] {
        let export = reader.fetch(&format!("{record}?format={format}"));
        assert_eq!(export.status, 200, "{format}");
        assert!(export.text().contains(&proxy.url), "{format}");
        reader.names_nothing_outside(format, &export.text());
    }
    assert_eq!(proxy.outside(), [""; 0]);
}

// proves EDG-7, AUT-1: people sign in below a path, in a browser and for a device.
#[test]
fn people_sign_in_below_the_path() {
    let (world, proxy, orcid) = (World::start(), Proxy::start(PATH, true), Orcid::serve());
    let settings = [
        ("OSA_AUTH__PROVIDERS__ORCID__CLIENT_ID", "APP-1"),
        ("OSA_AUTH__PROVIDERS__ORCID__CLIENT_SECRET", "hush"),
        ("HALLMARK_AUTH__ORCID__BASE_URL", orcid.url()),
    ];
    let server = serve(&world, &proxy, &settings);
    let browser = Client::new(&proxy.url, None);
    let begun = browser.get("/auth/login?provider=orcid");
    let cookie = begun.set_cookie.clone().unwrap();
    assert!(
        cookie.contains(&format!("; Path={PATH}/api/v1/auth;")),
        "{cookie}"
    );
    let asked = query(begun.location.as_deref().unwrap());
    assert_eq!(
        find(&asked, "redirect_uri"),
        format!("{}/api/v1/auth/callback", proxy.url)
    );
    let away = departed(&orcid, &begun);
    let code = format!("good-{BOB}");
    let landed = back(
        &browser,
        &[("code", &code), ("state", &away.state)],
        Some(&away.cookie),
    );
    let home = landed.location.unwrap();
    assert!(home.starts_with(&format!("{}/#auth=", proxy.url)), "{home}");
    let failed = back(&browser, &[("code", &code), ("state", "x")], None);
    let page = failed.location.unwrap();
    assert!(page.starts_with(&format!("{}/auth/error?", proxy.url)), "{page}");

    let codes = browser.post("/auth/device", &json!({})).expect(200);
    let verify = format!("{}/api/v1/auth/device/verify?code=", proxy.url);
    assert!(
        codes["verification_uri"].as_str().unwrap().starts_with(&verify),
        "{codes}"
    );
    let shown = codes["user_code"].as_str().unwrap();
    let page = browser.get(&format!("/auth/device/verify?code={shown}"));
    assert_eq!(links(&page.text), [format!("{PATH}/api/v1/auth/device/verify")]);
    let cookie = page.set_cookie.unwrap();
    assert!(
        cookie.contains(&format!("; Path={PATH}/api/v1/auth;")),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    let token = cookie.split_once('=').unwrap().1;
    let send = |typed: &str, cookie: Option<&str>| {
        let form = "application/x-www-form-urlencoded";
        let body = format!("user_code={typed}&form_token={token}");
        browser
            .send_with(
                "POST",
                "/auth/device/verify",
                Some(form),
                cookie.map(|cookie| ("cookie", cookie)),
                body.as_bytes(),
            )
            .unwrap()
    };
    for refused in [send(shown, None), send("BBBB-BBBB", Some(cookie))] {
        let again = refused.location.unwrap();
        assert!(
            again.starts_with(&format!("{PATH}/api/v1/auth/device/verify?")),
            "{again}"
        );
    }
    let away = departed(&orcid, &send(shown, Some(cookie)));
    let denied = back(
        &browser,
        &[("error", "access_denied"), ("state", &away.state)],
        Some(&away.cookie),
    );
    let page = denied.location.unwrap();
    assert!(
        page.starts_with(&format!("{PATH}/api/v1/auth/device/error?")),
        "{page}"
    );
    let away = departed(&orcid, &send(shown, Some(cookie)));
    let landed = back(
        &browser,
        &[("code", &code), ("state", &away.state)],
        Some(&away.cookie),
    );
    assert_eq!(
        landed.location,
        Some(format!("{PATH}/api/v1/auth/device/complete"))
    );
    assert_eq!(proxy.outside(), [""; 0]);

    // The page for failed sign-ins is the frontend's, which may lie below a path as well.
    server.kill();
    let portal = [("OSA_FRONTEND__URL", "https://app.example.org/portal/")];
    let server = serve(&world, &proxy, &[&settings[..], &portal[..]].concat());
    let failed = back(&server.anonymous(), &[("code", &code), ("state", "x")], None);
    let page = failed.location.unwrap();
    assert!(
        page.starts_with("https://app.example.org/portal/auth/error?"),
        "{page}"
    );
}

// proves EDG-7: where the path begins like one of the archive's own, the proxy's stripping is not undone.
#[test]
fn a_path_like_one_of_the_archives_own_is_not_removed_twice() {
    let (world, proxy) = (World::start(), Proxy::start("/data", true));
    let server = serve(&world, &proxy, &[]);
    publish(&server);
    let reader = Client::new(&proxy.url, None);
    for path in [
        "/",
        "/data/palmer-penguins/records",
        "/api/v1/data/palmer-penguins/records",
        "/style.css",
    ] {
        assert_eq!(
            reader.fetch("GET", path, &[HTML], "").unwrap().status,
            200,
            "{path}"
        );
    }
    let page = reader
        .fetch("GET", "/data/palmer-penguins/records", &[HTML], "")
        .unwrap()
        .text();
    assert!(
        links(&page).iter().all(|link| link.starts_with("/data/")),
        "{page}"
    );
}

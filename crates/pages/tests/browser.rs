//! The pages in a browser: Chromium without a window, behind the content security policy that the server sends.
//! Where there is no Chromium, the test says so and passes.
#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is their verdict")]

#[path = "../samples/mod.rs"]
mod samples;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const POLICY: &str = "default-src 'none'; style-src 'self'";
const PHONE: u64 = 360;
const DESK: u64 = 1280;
const TRACE: &str = "/data/earthquakes@1.0.0/quake_energy/rows/2";
const TABLE: &str = "/data/earthquakes@1.0.0/quake_energy";

/// Opens every path in a frame and writes down what the browser made of it. It is not part of the pages, because no script may run in them.
const PROBE: &str = r#"<!doctype html><title>probe</title><pre id="result"></pre><script>
const seen = [];
const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
async function look(path, width) {
  const frame = document.createElement("iframe");
  frame.style = `border: 0; height: 900px; width: ${width}px`;
  frame.src = path;
  const loaded = new Promise(done => frame.onload = done);
  document.body.append(frame);
  await loaded;
  const doc = frame.contentDocument, root = doc.documentElement;
  const boxes = [...doc.querySelectorAll("svg.trace .box > rect")].map(r => r.getBoundingClientRect());
  const svg = doc.querySelector("svg.trace")?.getBoundingClientRect();
  const wide = [...doc.querySelectorAll("svg.trace .box")].flatMap(box => [...box.querySelectorAll("text")]
    .filter(text => text.getBoundingClientRect().right > box.querySelector("rect").getBoundingClientRect().right - 4)
    .map(text => text.textContent));
  seen.push({
    path, width,
    font: frame.contentWindow.getComputedStyle(doc.querySelector("h1")).fontFamily,
    background: frame.contentWindow.getComputedStyle(doc.body).backgroundColor,
    overflow: root.scrollWidth - root.clientWidth,
    h1: doc.querySelector("h1").innerText,
    rows: doc.querySelectorAll("table.rows tbody tr").length,
    links: [...doc.querySelectorAll("a[href]")].map(a => a.href.replace(location.origin, "")),
    scripts: doc.scripts.length,
    svg: svg ? [svg.width, svg.height] : null,
    boxes: boxes.length,
    meeting: boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => meet(a, b))).length,
    wide,
  });
  frame.remove();
}
onload = async () => {
  for (const [path, width] of PATHS) await look(path, width);
  document.getElementById("result").textContent = JSON.stringify(seen);
};
</script>"#;

struct Served {
    media: &'static str,
    body: String,
    policy: bool,
}

type Site = BTreeMap<String, Served>;

fn answer(site: &Site, stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    let mut out = stream;
    let Some(page) = site.get(path) else {
        return out.write_all(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let policy = if page.policy {
        format!("Content-Security-Policy: {POLICY}\r\n")
    } else {
        String::new()
    };
    let (media, length) = (page.media, page.body.len());
    let head = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n{policy}X-Content-Type-Options: nosniff\r\n\r\n"
    );
    out.write_all(head.as_bytes())?;
    out.write_all(page.body.as_bytes())
}

/// Serves the site until the test ends, and says where.
fn serve(site: Site) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let site = Arc::new(site);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let site = Arc::clone(&site);
            std::thread::spawn(move || answer(&site, &stream));
        }
    });
    address
}

struct Browser {
    name: &'static str,
    dir: tempfile::TempDir,
}

impl Browser {
    fn found() -> Option<Self> {
        let works = |name: &&str| {
            let mut command = Command::new(name);
            command
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let name = NAMES.into_iter().find(|name| works(name))?;
        let dir = tempfile::tempdir().unwrap();
        Some(Self { name, dir })
    }

    /// Opens an address; gives what was printed, and what was logged.
    fn open(&self, args: &[String], url: &str) -> (String, String) {
        let file = |name: &str| self.dir.path().join(name);
        let mut child = Command::new(self.name)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--no-first-run",
            ])
            .args(["--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0"])
            .arg(format!("--user-data-dir={}", file("profile").display()))
            .args(args)
            .arg(url)
            .stdout(File::create(file("out")).unwrap())
            .stderr(File::create(file("err")).unwrap())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(90);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                panic!("the browser did not end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let read = |name| String::from_utf8_lossy(&std::fs::read(file(name)).unwrap()).into_owned();
        (read("out"), read("err"))
    }

    fn screenshot(&self, url: &str, width: u32, height: u32, to: &str) -> Vec<u8> {
        let file = self.dir.path().join(to);
        let args = [
            format!("--window-size={width},{height}"),
            format!("--screenshot={}", file.display()),
        ];
        self.open(&args, url);
        std::fs::read(&file).unwrap()
    }
}

/// What the pages said in the console: a refused style or script would be there.
fn console(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("CONSOLE")).collect()
}

fn site() -> Site {
    let mut site = Site::new();
    for (path, media, body) in samples::all() {
        site.insert(
            path,
            Served {
                media,
                body,
                policy: media == pages::HTML,
            },
        );
    }
    let html = |body: String, policy| Served {
        media: pages::HTML,
        body,
        policy,
    };
    let front = site.get("/").map(|page| page.body.clone()).unwrap_or_default();
    site.insert(
        "/bare".to_owned(),
        html(front.replace(pages::paths::STYLE.route(), "/none.css"), true),
    );
    let bad = "<!doctype html><title>x</title><p style='color: red'>x<script>1</script>";
    site.insert("/bad".to_owned(), html(bad.to_owned(), true));
    let paths: Vec<_> = site
        .iter()
        .filter(|(path, page)| page.media == pages::HTML && *path != "/bad" && *path != "/bare")
        .collect();
    let asked: Vec<_> = paths
        .iter()
        .flat_map(|(path, _)| [PHONE, DESK].map(|width| (path.as_str(), width)))
        .collect();
    let probe = PROBE.replace("PATHS", &serde_json::to_string(&asked).unwrap());
    site.insert("/probe".to_owned(), html(probe, false));
    site
}

fn size_of_png(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// Where `PAGES_SHOTS` names a directory, the screenshots are stored there.
fn keep(name: &str, png: &[u8]) {
    if let Some(dir) = std::env::var_os("PAGES_SHOTS") {
        std::fs::write(Path::new(&dir).join(name), png).unwrap();
    }
}

fn check_seen(page: &Value) {
    let path = page["path"].as_str().unwrap();
    let width = page["width"].as_u64().unwrap();
    assert_eq!(
        page["background"], "rgb(252, 251, 248)",
        "{path}: the stylesheet was not applied"
    );
    assert!(page["font"].as_str().unwrap().contains("DejaVu Serif"), "{path}");
    assert_eq!(page["overflow"], 0, "{path} is wider than a screen of {width}");
    assert_eq!(page["scripts"], 0, "{path}");
    assert_eq!(page["meeting"], 0, "{path}: boxes overlap");
    if path.contains("trace") || path.contains("/rows/") {
        let size = |at: usize| page["svg"][at].as_f64().unwrap();
        assert!(size(0) > 500.0 && size(1) > 300.0, "{path}: {}", page["svg"]);
        assert!(page["boxes"].as_u64().unwrap() >= 4, "{path}");
    }
    if !path.starts_with("/hostile") && !path.starts_with("/huge") {
        assert_eq!(
            page["wide"],
            Value::Array(Vec::new()),
            "{path}: a text leaves its box"
        );
        assert!(!page["h1"].as_str().unwrap().is_empty(), "{path}");
    }
    for link in page["links"].as_array().unwrap().iter().filter_map(Value::as_str) {
        let ours =
            ["/", "#"].iter().any(|start| link.starts_with(start)) || link.starts_with(&format!("{path}#"));
        assert!(
            ours || link.starts_with("http://") || link.starts_with("https://"),
            "{path}: {link}"
        );
    }
}

// proves DAT-1, PRV-6: the pages are shown as meant, wide and narrow, under the policy, and their links lead on.
#[test]
fn a_browser_shows_the_pages() {
    let Some(browser) = Browser::found() else {
        test_needs::left_out("Chromium");
        return;
    };
    let site = site();
    let paths = site.keys().cloned().collect::<Vec<_>>();
    let base = serve(site);

    // That the log tells of what the policy refuses is seen on a page that breaks it.
    let dump = ["--dump-dom".to_owned()];
    let (_, log) = browser.open(&dump, &format!("{base}/bad"));
    assert!(
        console(&log)
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{log}"
    );

    let waiting = ["--dump-dom".to_owned(), "--virtual-time-budget=60000".to_owned()];
    let (dom, log) = browser.open(&waiting, &format!("{base}/probe"));
    assert!(console(&log).is_empty(), "{:?}", console(&log));
    let dom = scraper::Html::parse_document(&dom);
    let result = scraper::Selector::parse("#result").unwrap();
    let text: String = dom.select(&result).flat_map(|e| e.text()).collect();
    let seen: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(seen.len() > 100, "{}", seen.len());
    seen.iter().for_each(check_seen);

    let page = |path: &str| seen.iter().find(|page| page["path"] == path).unwrap();
    assert_eq!(page(TABLE)["rows"], 6);
    assert_eq!(page(TABLE)["h1"], "quake_energy of Earthquakes");
    assert_eq!(page(TRACE)["boxes"], 11);
    // What the samples link to among themselves is there.
    for (from, to) in [
        ("/", TABLE),
        (TABLE, TRACE),
        (TABLE, "/data/records/us7000abcd"),
        (TRACE, TABLE),
    ] {
        let links = page(from)["links"].as_array().unwrap();
        assert!(links.iter().any(|link| link == to), "{from} → {to}");
        assert!(paths.iter().any(|path| path == to), "{to}");
    }

    for (name, path) in [
        ("front", "/"),
        ("table", TABLE),
        ("trace", TRACE),
        ("record", "/data/records/us7000abcd"),
    ] {
        for (width, height) in [(500, 1200), (1280, 1600)] {
            let png = browser.screenshot(&format!("{base}{path}"), width, height, "shot.png");
            assert_eq!(size_of_png(&png), (width, height), "{path}");
            keep(&format!("{name}-{width}.png"), &png);
        }
    }
    let bare = browser.screenshot(&format!("{base}/bare"), 1280, 1600, "shot.png");
    let styled = browser.screenshot(&format!("{base}/"), 1280, 1600, "shot.png");
    assert_ne!(bare, styled, "the stylesheet changes nothing");
}

//! Requests that are refused before their body was read: the client reads why, however late its body comes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use blackbox::World;

/// Time between a head and its body, in which a response that does not wait for the body was sent.
const LATE: Duration = Duration::from_millis(300);

/// A connection on which requests are written by hand.
struct Raw(BufReader<TcpStream>);

impl Raw {
    fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(BufReader::new(stream))
    }

    fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Reads one response; gives its status and its headers.
    fn answer(&mut self) -> (u16, String) {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line);
            assert!(read.is_ok_and(|read| read > 0), "the response ends: {head:?}");
            if line == "\r\n" {
                break;
            }
            head.push_str(&line.to_ascii_lowercase());
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (head[9..12].parse().unwrap(), head)
    }
}

// proves ISO-5, WC-1
#[test]
fn who_sends_its_body_late_reads_why_it_is_refused_and_asks_again_on_its_connection() {
    let world = World::start();
    let server = world.serve_with("a", &[("HALLMARK_HTTP__REQUESTS_PER_MINUTE", "5")]);
    let address = server.url.strip_prefix("http://").unwrap();
    let host = "Host: x\r\nContent-Length: 6\r\n";
    let push = "POST /api/v1/ingestions/none/records HTTP/1.1\r\nContent-Type: text/csv\r\n";
    let mut raw = Raw::to(address);
    for (head, status) in [
        // By the layers, by the framework, by a handler, and by what counts requests.
        (format!("{push}Content-Encoding: br\r\n{host}\r\n"), 415),
        (format!("{push}Content-Encoding: gzip\r\n{host}\r\n"), 401),
        (format!("DELETE /api/v1/none HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("PUT /api/v1/hooks HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("{push}{host}\r\n"), 401),
        (format!("{push}{host}\r\n"), 429),
        (
            format!(
                "OPTIONS /api/v1/none HTTP/1.1\r\nOrigin: https://x\r\nAccess-Control-Request-Method: PUT\r\n{host}\r\n"
            ),
            429,
        ),
    ] {
        raw.write(&head);
        std::thread::sleep(LATE);
        raw.write("body\r\n");
        assert_eq!(raw.answer().0, status, "{head}");
    }
}

// proves ISO-5, WC-1
#[test]
fn who_is_refused_with_its_connection_reads_why_though_its_request_goes_on() {
    let world = World::start();
    let server = world.serve("a");
    let address = server.url.strip_prefix("http://").unwrap();
    let large = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n",
        "a".repeat(200_000)
    );
    for (head, status) in [
        // Without a host; with two lengths; with a head that is no head, and one that is too large.
        ("POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nbad header\r\n\r\n",
            400,
        ),
        (&large, 431),
    ] {
        let mut raw = Raw::to(address);
        raw.write(head);
        // Long enough for the connection to end under the rest, if it does so.
        for _ in 0..4 {
            std::thread::sleep(LATE / 4);
            raw.write(&"b".repeat(10_000));
        }
        assert_eq!(raw.answer().0, status, "{head:.80}");
    }
}

// proves ISO-5
#[test]
fn who_waits_to_be_asked_for_its_body_is_not_asked_when_it_is_refused() {
    let world = World::start();
    let server = world.serve("a");
    let mut raw = Raw::to(server.url.strip_prefix("http://").unwrap());
    raw.write(
        "POST /api/v1/ingestions/none/records HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n\
         Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n",
    );
    let begun = std::time::Instant::now();
    assert_eq!(raw.answer().0, 401);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

//! HTTP/1.1 by hand over a socket of one's own: only so is it known whether a request was sent, whether an answer came, and when.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any wait that the server itself bounds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing was sent, so it has no effect.
    Unsent,
    /// What was sent may be done, now or later.
    Unanswered,
}

impl Request {
    fn bytes(&self, token: &str) -> Vec<u8> {
        let body = if self.body.is_null() {
            String::new()
        } else {
            self.body.to_string()
        };
        format!(
            "{} /api/v1{} HTTP/1.1\r\nHost: storm\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.method,
            self.path,
            body.len()
        )
        .into_bytes()
    }

    /// Sends it and waits for the whole answer: its status and body.
    pub(crate) fn send(&self, to: SocketAddr, token: &str) -> Result<(u16, Value), Broken> {
        let mut stream = TcpStream::connect(to).map_err(|_| Broken::Unsent)?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        let read = stream
            .write_all(&self.bytes(token))
            .and_then(|()| stream.read_to_end(&mut answer));
        if let Err(error) = &read {
            let late = matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            );
            assert!(
                !late,
                "{} {} was not answered within {PATIENCE:?}",
                self.method, self.path
            );
        }
        read.ok().and_then(|_| parsed(&answer)).ok_or(Broken::Unanswered)
    }

    /// Sends the first `part` of it in 256ths, waits, and goes away without reading.
    pub(crate) fn vanish(
        &self,
        to: SocketAddr,
        token: &str,
        part: usize,
        wait: Duration,
    ) -> Result<(), Broken> {
        let mut stream = TcpStream::connect(to).map_err(|_| Broken::Unsent)?;
        let bytes = self.bytes(token);
        let sent = stream.write_all(&bytes[..bytes.len() * part / 256]);
        std::thread::sleep(wait);
        let _ = sent.and_then(|()| stream.shutdown(Shutdown::Both));
        Err(Broken::Unanswered)
    }
}

/// Status and body of an answer that came whole; a server that is killed may leave half of one.
fn parsed(answer: &[u8]) -> Option<(u16, Value)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
    let status = head.get(9..12)?.parse().ok()?;
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?
        .parse()
        .ok()?;
    let body = &answer[end + 4..];
    (body.len() == length).then(|| (status, serde_json::from_slice(body).unwrap()))
}

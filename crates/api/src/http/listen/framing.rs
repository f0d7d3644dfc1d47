//! How the requests of a connection are framed, read along with the HTTP library.
//!
//! A request with both `Content-Length` and `Transfer-Encoding` may mean one thing to us and another to a proxy before
//! us (RFC 9112 6.3, request smuggling). hyper (1.12) accepts it and removes `Content-Length`, so that no handler sees
//! what was sent. Therefore its bytes are followed here: head, body, head. Nothing is changed, and nothing is decided
//! but this one question.

/// Maximum number of bytes of a line that are looked at. A longer line with one of our headers counts as ambiguous.
const MAX_LINE: usize = 1024;
/// How the requests of a connection with HTTP/2 begin, which has frames of its own.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0";

/// What a connection is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a request; empty lines are skipped, as hyper does.
    Between,
    /// In a head.
    Head,
    /// In a body with this many bytes left.
    Sized(u64),
    /// In the line with the size of a chunk.
    ChunkSize,
    /// In a chunk with this many bytes left.
    Chunk(u64),
    /// Between a chunk and the next size.
    ChunkEnd,
    /// After the last chunk.
    Trailer,
    /// Not followed any more: a request that ends its connection.
    Over,
    /// Not followed any more: HTTP/2.
    Frames,
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    place: Place,
    line: Vec<u8>,
    /// Whether the line is longer than what is kept of it.
    long: bool,
    length: Option<u64>,
    chunked: bool,
    ambiguous: bool,
}

impl Framing {
    pub(super) const fn new() -> Self {
        Self {
            place: Place::Between,
            line: Vec::new(),
            long: false,
            length: None,
            chunked: false,
            ambiguous: false,
        }
    }

    /// Returns whether a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        self.place == Place::Head
    }

    /// Returns whether a request has begun whose end did not arrive, or is uncertain.
    pub(super) fn in_request(&self) -> bool {
        !matches!(self.place, Place::Between | Place::Frames)
    }

    /// Reads the next bytes. Calls `head` for each head that ends in them, with whether its length is ambiguous.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut head: impl FnMut(bool)) {
        while !bytes.is_empty() {
            match self.place {
                Place::Over | Place::Frames => return,
                Place::Sized(left) => {
                    let (taken, rest) = skip(bytes, left);
                    bytes = rest;
                    self.place = match left - taken {
                        0 => Place::Between,
                        left => Place::Sized(left),
                    };
                }
                Place::Chunk(left) => {
                    let (taken, rest) = skip(bytes, left);
                    bytes = rest;
                    self.place = match left - taken {
                        0 => Place::ChunkEnd,
                        left => Place::Chunk(left),
                    };
                }
                _ => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (part, rest) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 1..]));
                    bytes = rest;
                    self.keep(part);
                    if end.is_some() {
                        let mut line = std::mem::take(&mut self.line);
                        if line.last() == Some(&b'\r') {
                            line.pop();
                        }
                        self.place = self.after(&line, &mut head);
                        self.long = false;
                        // Its room is used again.
                        line.clear();
                        self.line = line;
                    } else if self.place == Place::Between && self.line.iter().any(|byte| *byte != b'\r') {
                        self.place = Place::Head;
                    }
                }
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.long |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// Returns the place after a whole line.
    fn after(&mut self, line: &[u8], head: &mut impl FnMut(bool)) -> Place {
        match self.place {
            // RFC 9112 2.2: an empty line before a request is ignored; after a body it ends the trailer.
            Place::Between | Place::Trailer if line.is_empty() => Place::Between,
            Place::Between | Place::Head if line == HTTP_2 => Place::Frames,
            Place::Between => Place::Head,
            Place::Head if line.is_empty() => {
                let (length, chunked) = (self.length.take(), std::mem::take(&mut self.chunked));
                let ambiguous = std::mem::take(&mut self.ambiguous) || (chunked && length.is_some());
                head(ambiguous);
                match (ambiguous, chunked, length) {
                    (true, ..) => Place::Over,
                    (_, true, _) => Place::ChunkSize,
                    (_, _, Some(length)) if length > 0 => Place::Sized(length),
                    _ => Place::Between,
                }
            }
            Place::Head => {
                self.header(line);
                Place::Head
            }
            Place::ChunkSize => match chunk_size(line) {
                Some(0) => Place::Trailer,
                Some(size) => Place::Chunk(size),
                // hyper refuses it, too.
                None => Place::Over,
            },
            Place::ChunkEnd => Place::ChunkSize,
            place => place,
        }
    }

    fn header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
            self.ambiguous |= self.long;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value.trim_ascii()).ok();
            // hyper refuses what is not a number, unless another header makes it ignore it.
            self.length = Some(number.and_then(|text| text.parse().ok()).unwrap_or_default());
            self.ambiguous |= self.long;
        }
    }
}

/// Returns how many of these bytes belong to the next `left`, and the bytes after them.
fn skip(bytes: &[u8], left: u64) -> (u64, &[u8]) {
    let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    // A slice has less than 2^64 bytes.
    (u64::try_from(taken).unwrap_or(left), &bytes[taken..])
}

/// Returns the size that begins a chunk (RFC 9112 7.1), without its extensions.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let text = std::str::from_utf8(&line[..digits]).ok()?;
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the heads that are found, however the bytes are cut.
    fn heads(text: &str) -> Vec<bool> {
        let mut found: Option<Vec<bool>> = None;
        for size in [1, 2, 3, 7, 64, 100_000] {
            let (mut framing, mut heads) = (Framing::new(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                framing.read(piece, |ambiguous| heads.push(ambiguous));
            }
            assert!(found.is_none_or(|found| found == heads), "{size}: {heads:?}");
            found = Some(heads);
        }
        found.unwrap()
    }

    // proves ISO-5
    #[test]
    fn a_request_with_two_lengths_is_found_after_any_other_requests() {
        let plain = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        // Bodies that look like heads.
        let evil = "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sized = format!(
            "POST / HTTP/1.1\r\ncontent-length:  {} \r\n\r\n{evil}",
            evil.len()
        );
        let chunked = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{evil}\r\n0\r\nA: b\r\n\r\n",
            evil.len()
        );
        for before in [
            String::new(),
            plain.to_owned(),
            format!("\r\n{plain}"),
            sized.clone(),
            chunked.clone(),
            format!("{chunked}{sized}{plain}"),
        ] {
            let found = heads(&format!("{before}{evil}"));
            assert_eq!(found.last(), Some(&true), "{before:?}");
            assert!(
                found.iter().rev().skip(1).all(|ambiguous| !ambiguous),
                "{before:?}"
            );
        }
        assert_eq!(heads(&format!("{sized}{chunked}{plain}")), [false; 3]);
    }

    // proves ISO-5
    #[test]
    fn the_order_and_the_case_of_the_headers_make_no_difference() {
        for (head, ambiguous) in [
            ("Transfer-Encoding: chunked\r\nContent-Length: 5", true),
            ("content-length: 5\r\nTRANSFER-ENCODING: chunked", true),
            ("content-length: 5\nTRANSFER-ENCODING: chunked", true),
            ("Content-Length: 0\r\nTransfer-Encoding: identity", true),
            ("Transfer-Encoding: chunked\r\nContent-Length: x", true),
            ("Content-Length: 5\r\nContent-Length: 5", false),
            ("X-Content-Length: 5\r\nTransfer-Encoding: chunked", false),
        ] {
            assert_eq!(
                heads(&format!("POST / HTTP/1.1\r\n{head}\r\n\r\n")),
                [ambiguous],
                "{head}"
            );
        }
        let long = " ".repeat(2 * MAX_LINE);
        assert_eq!(
            heads(&format!("POST / HTTP/1.1\r\nContent-Length:{long}5\r\n\r\n")),
            [true]
        );
    }

    #[test]
    fn http_2_is_not_followed() {
        assert!(heads("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n").is_empty());
    }

    #[test]
    fn a_head_is_open_from_its_first_byte_to_its_end() {
        let mut framing = Framing::new();
        for (bytes, open) in [
            ("\r\n", false),
            ("G", true),
            ("ET / HTTP/1.1\r\n", true),
            ("\r\n", false),
        ] {
            framing.read(bytes.as_bytes(), |_| ());
            assert_eq!(framing.in_head(), open, "{bytes:?}");
        }
    }
}

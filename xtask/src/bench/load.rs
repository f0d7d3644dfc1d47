//! A load generator: connections that each send a request, wait for its answer, and send the next.
//!
//! A thread per connection and plain sockets: what it costs is a small part of what a server does for a request, also in a debug build.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// How long it runs, and over how many connections.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
}

impl Load {
    /// Requests per second. `request` gives the nth request of a connection; every answer must have `status`.
    pub(crate) fn run(
        self,
        address: &str,
        status: u16,
        request: impl Fn(usize, usize) -> String + Sync,
    ) -> Result<f64> {
        let begun = Instant::now();
        let counts: Vec<Result<usize>> = std::thread::scope(|scope| {
            let request = &request;
            let running: Vec<_> = (0..self.connections)
                .map(|connection| scope.spawn(move || self.one(address, status, |n| request(connection, n))))
                .collect();
            running
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(anyhow::anyhow!("a connection panicked")))
                })
                .collect()
        });
        let took = begun.elapsed();
        let done = counts.into_iter().sum::<Result<usize>>()?;
        Ok(f64::from(u32::try_from(done)?) / took.as_secs_f64())
    }

    fn one(self, address: &str, status: u16, request: impl Fn(usize) -> String) -> Result<usize> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (mut buffer, mut done) = (vec![0; 1024 * 1024], 0);
        let begun = Instant::now();
        while begun.elapsed() < self.time {
            stream.write_all(request(done).as_bytes())?;
            let told = answer(&mut stream, &mut buffer)?;
            ensure!(
                told.get(9..12) == Some(status.to_string().as_bytes()),
                "not answered with {status}: {}",
                String::from_utf8_lossy(told)
            );
            done += 1;
        }
        Ok(done)
    }
}

/// Sends a request, waits for its answer, pauses for as long as people do not notice, and so on for `time`; gives the
/// median and the 99th percentile of the waiting, in milliseconds.
pub(crate) fn latencies(
    address: &str,
    time: Duration,
    status: u16,
    request: impl Fn(usize) -> String,
) -> Result<(f64, f64)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut buffer, mut took) = (vec![0; 1024 * 1024], Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < time {
        let sent = Instant::now();
        stream.write_all(request(took.len()).as_bytes())?;
        let told = answer(&mut stream, &mut buffer)?;
        took.push(sent.elapsed().as_secs_f64() * 1e3);
        ensure!(
            told.get(9..12) == Some(status.to_string().as_bytes()),
            "not answered with {status}: {}",
            String::from_utf8_lossy(told)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    took.sort_by(f64::total_cmp);
    let at = |part: usize| took.get(took.len() * part / 100).copied().context("no answers");
    Ok((at(50)?, at(99)?))
}

/// One whole answer.
fn answer<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let (mut read, mut whole) = (0, None);
    while whole.is_none_or(|whole| read < whole) {
        let more = stream.read(&mut buffer[read..])?;
        ensure!(more > 0, "the connection was closed, or the answer is too large");
        read += more;
        if whole.is_none()
            && let Some(end) = buffer[..read].windows(4).position(|four| four == b"\r\n\r\n")
        {
            let head = std::str::from_utf8(&buffer[..end])?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then_some(value)
            });
            whole = Some(end + 4 + length.context("no content-length")?.parse::<usize>()?);
        }
    }
    Ok(&buffer[..read])
}

//! Lines on standard error and standard output.
//!
//! Invariant: no output stops the server, or holds it up for longer than [`PATIENCE`]. Who can break it: a full disk or
//! a pipe whose reader left (the write fails), a pipe or a terminal whose reader stands still (the write would wait).
//! Such a line is dropped and counted, and lines are written again as soon as there is room. No code of this crate prints
//! in another way: `println!` panics where it cannot write.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long a line waits for a reader that stands still. The lines after it do not wait, until one is written.
const PATIENCE: Duration = Duration::from_millis(100);
/// How much can be written without waiting to a pipe that is ready: `PIPE_BUF` of Linux.
const PIECE: usize = 4096;

/// The log, and the last words of a command that failed.
pub(crate) static STDERR: Lines = Lines::new(Stream::Error);
/// The line with the address of a server.
pub(crate) static STDOUT: Lines = Lines::new(Stream::Output);

/// Returns how many lines were dropped.
pub(crate) fn dropped() -> [(&'static str, u64); 2] {
    let of = |lines: &Lines| lines.dropped.load(Ordering::Relaxed);
    [("stderr", of(&STDERR)), ("stdout", of(&STDOUT))]
}

#[derive(Clone, Copy)]
enum Stream {
    Error,
    Output,
}

/// A stream that is written line by line.
pub(crate) struct Lines {
    stream: Stream,
    state: Mutex<State>,
    dropped: AtomicU64,
}

struct State {
    /// The last line was written in part.
    is_torn: bool,
    /// The last line waited in vain.
    is_stalled: bool,
}

impl State {
    const fn new() -> Self {
        Self {
            is_torn: false,
            is_stalled: false,
        }
    }

    fn put(&mut self, out: BorrowedFd<'_>, line: &[u8]) -> io::Result<()> {
        let patience = if self.is_stalled { Duration::ZERO } else { PATIENCE };
        let until = Instant::now() + patience;
        if self.is_torn {
            self.write(out, b"\n", until)?;
        }
        self.write(out, line, until)
    }

    fn write(&mut self, out: BorrowedFd<'_>, bytes: &[u8], until: Instant) -> io::Result<()> {
        let mut written = 0;
        let ended = write_all(out, bytes, until, &mut written);
        if written > 0 {
            self.is_torn = ended.is_err();
        }
        self.is_stalled = ended
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        ended
    }
}

fn write_all(out: BorrowedFd<'_>, bytes: &[u8], until: Instant, written: &mut usize) -> io::Result<()> {
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        wait(out, until)?;
        match rustix::io::write(out, &rest[..rest.len().min(PIECE)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(Errno::INTR) => {}
            // Another process made it non-blocking, and took the room.
            Err(Errno::AGAIN) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until something can be written, or the write fails at once.
fn wait(out: BorrowedFd<'_>, until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::from_borrowed_fd(out, PollFlags::OUT)], Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::WouldBlock.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Lines {
    const fn new(stream: Stream) -> Self {
        Self {
            stream,
            state: Mutex::new(State::new()),
            dropped: AtomicU64::new(0),
        }
    }

    /// Writes a line, which ends with a line feed; or drops and counts it.
    pub(crate) fn put(&self, line: &str) {
        self.put_bytes(line.as_bytes());
    }

    fn put_bytes(&self, line: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match self.stream {
            Stream::Error => state.put(io::stderr().as_fd(), line),
            Stream::Output => state.put(io::stdout().as_fd(), line),
        };
        if written.is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A writer for the log that never fails. Each call of `write` is one line.
pub(crate) struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        STDERR.put_bytes(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reader of standard output left, as `head` does: the command ends, and nothing is wrong.
#[derive(Debug)]
pub(crate) struct ReaderLeft;

impl fmt::Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of standard output left")
    }
}

impl std::error::Error for ReaderLeft {}

/// Prints the output of a command, and waits for its reader. The error is [`ReaderLeft`] if there is none any more.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderLeft.into()),
        other => other.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_reader_that_stands_still_delays_one_line_and_gets_whole_lines_later() {
        let (mut reader, writer) = io::pipe().unwrap();
        let line = [&[b'x'; 9_999][..], b"\n"].concat();
        let mut state = State::new();
        let (mut put, mut dropped) = (0, 0);
        let begun = Instant::now();
        while dropped < 50 {
            match state.put(writer.as_fd(), &line) {
                Ok(()) => put += 1,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    dropped += 1;
                }
            }
        }
        assert!(put > 0 && begun.elapsed() < PATIENCE * 5, "{:?}", begun.elapsed());
        let mut room = vec![0; 30_000];
        reader.read_exact(&mut room).unwrap();
        state.put(writer.as_fd(), b"after it\n").unwrap();
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("\nafter it\n"), "a line of its own");
    }

    #[test]
    fn a_reader_that_left_and_a_full_device_are_errors_and_no_panic() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut state = State::new();
        for _ in 0..2 {
            let error = state.put(writer.as_fd(), b"line\n").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let error = state.put(full.as_fd(), b"line\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!state.is_torn && !state.is_stalled);
    }
}

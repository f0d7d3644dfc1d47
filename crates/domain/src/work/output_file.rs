//! The output files of hooks, read piece by piece: what a hook writes is as large as it likes.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::work::rows::Content;

/// A longer line is not read into memory whole.
pub(crate) const MAX_HELD_LINE: usize = 256 * 1024;
/// How many bytes are read at once.
const PIECE: usize = 64 * 1024;

/// The content of an output file; a missing file is empty.
#[derive(Clone, Debug)]
pub struct OutputFile(Arc<dyn Content>);

impl OutputFile {
    /// Wraps content that can be read at any place.
    pub fn new(content: Arc<dyn Content>) -> Self {
        Self(content)
    }

    /// Returns its size, in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// Reads bytes as [`Content::read_at`] does.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Returns whether it is empty or has white space only.
    pub fn is_blank(&self) -> io::Result<bool> {
        for piece in self.pieces() {
            if !piece?.iter().all(u8::is_ascii_whitespace) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads it piece by piece. After an error there are no more.
    pub fn pieces(&self) -> impl Iterator<Item = io::Result<Vec<u8>>> + Send + use<> {
        let content = Arc::clone(&self.0);
        let (mut at, mut over) = (0, false);
        std::iter::from_fn(move || {
            if over {
                return None;
            }
            let mut piece = vec![0; PIECE];
            match content.read_at(at, &mut piece) {
                Ok(0) => {
                    over = true;
                    None
                }
                Ok(read) => {
                    at += read as u64;
                    piece.truncate(read);
                    Some(Ok(piece))
                }
                Err(error) => {
                    over = true;
                    Some(Err(error))
                }
            }
        })
    }

    /// Reads it into memory whole: for tests, and for files that are known to be small.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        for piece in self.pieces() {
            all.append(&mut piece?);
        }
        Ok(all)
    }

    /// Reads its lines.
    pub(crate) fn lines(&self) -> Lines<'_> {
        Lines {
            content: &*self.0,
            at: 0,
            buffer: Vec::new(),
            begin: 0,
            number: 0,
        }
    }
}

impl Default for OutputFile {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl From<Vec<u8>> for OutputFile {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl PartialEq for OutputFile {
    /// Compares the content. A file that cannot be read equals none.
    fn eq(&self, other: &Self) -> bool {
        matches!((self.to_vec(), other.to_vec()), (Ok(one), Ok(two)) if one == two)
    }
}

/// A line that was found.
pub(crate) struct Found {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Where [`Lines::text`] finds it. `None` if it is too long to be held: then it is read with [`Lines::peek`], and
    /// left with [`Lines::skip_line`].
    pub(crate) held: Option<Range<usize>>,
}

/// The lines of a file, of which at most [`MAX_HELD_LINE`] bytes and a piece are in memory.
pub(crate) struct Lines<'a> {
    content: &'a dyn Content,
    at: u64,
    buffer: Vec<u8>,
    /// Where in the buffer the unread part begins.
    begin: usize,
    number: u64,
}

impl Lines<'_> {
    /// Finds the next line that is not blank.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.begin..];
            let found = unread[searched..].iter().position(|byte| *byte == b'\n');
            let length = unread.len();
            // How much is buffered behind the bound must not decide whether a line is held.
            let line_or_more = found.map_or(length, |at| searched + at);
            let (line, after) = if line_or_more > MAX_HELD_LINE {
                self.number += 1;
                return Ok(Some(Found {
                    number: self.number,
                    held: None,
                }));
            } else if found.is_some() {
                (line_or_more, line_or_more + 1)
            } else if self.fill()? {
                searched = length;
                continue;
            } else if length == 0 {
                return Ok(None);
            } else {
                (length, length)
            };
            self.number += 1;
            let held = self.begin..self.begin + line;
            self.begin += after;
            searched = 0;
            if !self.text(&held).iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Found {
                    number: self.number,
                    held: Some(held),
                }));
            }
        }
    }

    /// Returns the bytes of the line that was found last.
    pub(crate) fn text(&self, held: &Range<usize>) -> &[u8] {
        self.buffer.get(held.clone()).unwrap_or_default()
    }

    /// Returns the next byte of the current line; `None` at its end.
    pub(crate) fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.begin == self.buffer.len() && !self.fill()? {
            return Ok(None);
        }
        Ok(self.buffer.get(self.begin).copied().filter(|byte| *byte != b'\n'))
    }

    /// Goes on behind a byte that [`Lines::peek`] returned.
    pub(crate) fn step(&mut self) {
        self.begin += 1;
    }

    /// Goes to the next line.
    pub(crate) fn skip_line(&mut self) -> io::Result<()> {
        while self.peek()?.is_some() {
            self.step();
        }
        if self.begin < self.buffer.len() {
            self.step();
        }
        Ok(())
    }

    /// Reads on. Returns `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let have = self.buffer.len();
        self.buffer.resize(have + PIECE, 0);
        let read = self.content.read_at(self.at, &mut self.buffer[have..])?;
        self.buffer.truncate(have + read);
        self.at += read as u64;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Endless content of one byte, which counts what is read of it.
    #[derive(Debug)]
    struct Endless(u8, Mutex<u64>);

    impl Content for Endless {
        fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(self.0);
            *self.1.lock().unwrap() += buffer.len() as u64;
            Ok(buffer.len())
        }
        fn size(&self) -> u64 {
            u64::MAX
        }
    }

    fn all(file: &OutputFile) -> Vec<(u64, Option<String>)> {
        let mut lines = file.lines();
        let mut all = Vec::new();
        while let Some(found) = lines.next().unwrap() {
            match &found.held {
                Some(held) => {
                    let text = String::from_utf8(lines.text(held).to_vec()).unwrap();
                    all.push((found.number, Some(text)));
                }
                None => {
                    all.push((found.number, None));
                    lines.skip_line().unwrap();
                }
            }
        }
        all
    }

    #[test]
    fn lines_have_their_numbers_and_long_ones_are_not_held() {
        let held = |text: &str| Some(text.to_owned());
        for end in ["", "\n"] {
            let file = OutputFile::from(format!("a\n\n \r\nb{end}").into_bytes());
            assert_eq!(all(&file), [(1, held("a")), (4, held("b"))]);
        }
        for longer in [1, 2, PIECE / 2, PIECE + 1] {
            let (longest, long) = ("x".repeat(MAX_HELD_LINE), "x".repeat(MAX_HELD_LINE + longer));
            let file = OutputFile::from(format!("a\n{long}\n{longest}\n{long}").into_bytes());
            assert_eq!(
                all(&file),
                [(1, held("a")), (2, None), (3, held(&longest)), (4, None)]
            );
        }
        assert!(all(&OutputFile::default()).is_empty());
    }

    // proves ISO-3
    #[test]
    fn a_line_without_an_end_is_found_out_after_a_bounded_part_of_it() {
        let content = Arc::new(Endless(b'x', Mutex::new(0)));
        let file = OutputFile::new(content.clone());
        let found = file.lines().next().unwrap().unwrap();
        assert_eq!((found.number, found.held), (1, None));
        assert!(*content.1.lock().unwrap() <= (MAX_HELD_LINE + 2 * PIECE) as u64);
    }

    #[test]
    fn blank_is_what_has_white_space_only() {
        let file = |text: &str| OutputFile::from(text.as_bytes().to_vec());
        assert!(file("").is_blank().unwrap() && file(" \n\t").is_blank().unwrap());
        assert!(!file(" \n{").is_blank().unwrap());
        assert_eq!(file("ab").to_vec().unwrap(), b"ab");
    }
}

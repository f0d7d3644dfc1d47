//! The last part of a hook's printed output, in bounded memory.

/// Keeps the last bytes of a stream and counts the others.
#[derive(Debug)]
pub struct LogTail {
    most: usize,
    tail: Vec<u8>,
    dropped: u64,
}

impl LogTail {
    /// Creates a tail that keeps `most` bytes.
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            tail: Vec::new(),
            dropped: 0,
        }
    }

    /// Appends the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        // Shifting only at twice the size makes the cost of a byte constant.
        if self.tail.len() > self.most.saturating_mul(2) {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let over = self.tail.len().saturating_sub(self.most);
        self.tail.drain(..over);
        self.dropped += over as u64;
    }

    /// Returns the last bytes, after a line with the number of dropped bytes, if any were dropped.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.shorten();
        if self.dropped == 0 {
            return self.tail;
        }
        let mut all = format!("[{} earlier bytes are not kept]\n", self.dropped).into_bytes();
        all.append(&mut self.tail);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_returned_and_the_others_counted() {
        let mut tail = LogTail::new(4);
        for part in [&b"abc"[..], b"", b"defghijkl", b"mn"] {
            tail.push(part);
        }
        assert_eq!(tail.into_bytes(), b"[10 earlier bytes are not kept]\nklmn");
        let mut short = LogTail::new(4);
        short.push(b"abcd");
        assert_eq!(short.into_bytes(), b"abcd");
    }
}

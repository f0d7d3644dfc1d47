//! The memory that JSON takes when it is read, estimated before it is read: a text of a few MiB can become a tree of
//! hundreds.

/// What an object with few members takes, in bytes: a leaf of a B-tree has room for eleven.
pub const OBJECT: usize = 640;
/// What a list with few items takes, in bytes.
pub const LIST: usize = 160;
/// What another item or member takes, in bytes.
pub const ITEM: usize = 64;

/// Weighs JSON Lines piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weigher {
    inside: bool,
    escaped: bool,
    line: usize,
}

impl Weigher {
    /// Takes the next piece. Returns the weight of all lines in it, the begun one that it continues included.
    pub fn add(&mut self, piece: &[u8]) -> usize {
        let mut ended = 0_usize;
        for byte in piece {
            if *byte == b'\n' {
                ended = ended.saturating_add(self.line);
                *self = Self::default();
                continue;
            }
            let more = if self.inside {
                self.inside = self.escaped || *byte != b'"';
                self.escaped = !self.escaped && *byte == b'\\';
                1
            } else {
                match byte {
                    b'"' => {
                        self.inside = true;
                        1
                    }
                    b'{' => OBJECT,
                    b'[' => LIST,
                    b',' => ITEM,
                    _ => 1,
                }
            };
            self.line = self.line.saturating_add(more);
        }
        ended.saturating_add(self.line)
    }
}

/// Returns the weight of one JSON text: about the memory, in bytes, of the tree that it becomes.
pub fn weight(text: &[u8]) -> usize {
    // Outside of strings a line break is white space.
    text.split(|byte| *byte == b'\n')
        .fold(0, |sum, line| Weigher::default().add(line).saturating_add(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-3
    #[test]
    fn structure_weighs_and_text_weighs_its_length() {
        assert_eq!(weight(b"[1,2]"), LIST + ITEM + 3);
        assert_eq!(weight(br#"{"a,[{\"":"\\"}"#), OBJECT + 14);
        assert_eq!(weight(b"[\n{},\n{}]"), LIST + 2 * (OBJECT + 1) + ITEM + 1);
    }

    #[test]
    fn pieces_weigh_what_the_whole_weighs() {
        let text = br#"{"a":"x\"y,","b":[1,2,{}]}"#;
        for cut in 0..text.len() {
            let mut weigher = Weigher::default();
            weigher.add(&text[..cut]);
            assert_eq!(weigher.add(&text[cut..]), weight(text), "{cut}");
        }
        let mut weigher = Weigher::default();
        assert_eq!(weigher.add(b"[1]\n[1]\n["), 3 * LIST + 4);
        assert_eq!(weigher.add(b"]\n"), LIST + 1);
        assert_eq!(weigher.add(b"\n"), 0);
    }
}

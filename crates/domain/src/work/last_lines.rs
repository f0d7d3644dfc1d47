//! The last lines that a hook printed, as part of the reason for its failure.

/// Maximum number of lines.
const MAX_LINES: usize = 20;
/// Maximum length, in characters.
const MAX_CHARS: usize = 2_000;
/// How much of the log's end is looked at, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Returns the last lines of a log, without empty lines and control characters. Empty if there are none.
pub fn last_lines(log: &[u8]) -> String {
    let end = String::from_utf8_lossy(&log[log.len().saturating_sub(MAX_BYTES)..]).into_owned();
    let readable = |line: &str| -> String {
        let spaced = line.trim_end().replace('\t', " ");
        spaced.chars().filter(|c| !c.is_control()).collect()
    };
    let mut lines: Vec<String> = end
        .lines()
        .rev()
        .map(readable)
        .filter(|line| !line.is_empty())
        .take(MAX_LINES)
        .collect();
    lines.reverse();
    let text = lines.join("\n");
    let over = text.chars().count().saturating_sub(MAX_CHARS);
    text.chars().skip(over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_without_control_characters() {
        assert_eq!(last_lines(b""), "");
        assert_eq!(last_lines(b"\n\r\n \n"), "");
        assert_eq!(
            last_lines(b"one\n\n\x1b[31mtw\0o\x1b[0m\r\n\tthree"),
            "one\n[31mtwo[0m\n three"
        );
        let many: String = (0..50).map(|n| format!("line {n}\n")).collect();
        let kept = last_lines(many.as_bytes());
        assert_eq!(kept.lines().count(), MAX_LINES);
        assert!(kept.starts_with("line 30\n") && kept.ends_with("line 49"));
    }

    #[test]
    fn long_lines_and_foreign_bytes_are_shortened_from_the_front() {
        let long = format!("{}end", "ü".repeat(100_000));
        let kept = last_lines(long.as_bytes());
        assert_eq!(kept.chars().count(), MAX_CHARS);
        assert!(kept.ends_with("üend"));
        assert_eq!(last_lines(b"a\xffb\n"), "a\u{fffd}b");
    }
}

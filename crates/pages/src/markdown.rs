//! Markdown that contains any text safely: escapes, code, tables and front matter.

use crate::text::{forbidden, one_line};

/// Escapes a text within a line: markup is escaped, and line ends become spaces.
pub(crate) fn inline(text: &str) -> String {
    let line = one_line(text);
    let mut out = String::with_capacity(line.len() + 8);
    for (at, c) in line.char_indices() {
        let first = at == 0;
        let markup = match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '$' | '#' => true,
            // A line that begins with one of these is a list or a rule.
            '+' | '-' | '=' | ':' => first,
            // The same holds for a number followed by one of these.
            '.' | ')' => line
                .get(..at)
                .is_some_and(|before| before.bytes().all(|b| b.is_ascii_digit())),
            _ => false,
        };
        if markup {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// Formats a name or an id as code, on one line.
pub(crate) fn code(text: &str) -> String {
    let line = one_line(text);
    if line.is_empty() {
        return "(empty)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&line) + 1);
    // A space that markdown removes again separates a backtick of the text from the delimiters.
    let pad = if line.starts_with('`') || line.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// Formats a text verbatim, between fences longer than any run of backticks in it.
pub(crate) fn fenced(language: &str, text: &str) -> String {
    let ticks = "`".repeat(longest_run(text).max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{ticks}{language}\n{text}{end}{ticks}\n")
}

/// Formats a table. Its cells are markdown already; bars in them are escaped, in code too.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(N));
    for row in rows {
        let cells = row.map(|cell| bars_escaped(&cell));
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out
}

/// Escapes every bar with an odd number of backslashes, so that it ends no cell. In a text `inline` did that already,
/// in code it did not.
fn bars_escaped(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len());
    let mut slashes = 0usize;
    for c in cell.chars() {
        if c == '|' && slashes.is_multiple_of(2) {
            out.push('\\');
        }
        slashes = if c == '\\' { slashes + 1 } else { 0 };
        out.push(c);
    }
    out
}

/// Formats a text in YAML, double-quoted: the one form that can hold any text.
pub(crate) fn yaml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Line ends and marks to YAML, though not to Rust; and controls, which YAML forbids.
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{c}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c if forbidden(c) && u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if forbidden(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves DAT-1: an author's example stays in its fence.
    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(fenced("sql", "select 1"), "```sql\nselect 1\n```\n");
        assert_eq!(fenced("", "````\n```\n"), "`````\n````\n```\n`````\n");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`a"), "`` `a ``");
    }

    // proves DAT-1: a table of a document keeps its columns.
    #[test]
    fn a_bar_never_ends_a_cell() {
        assert_eq!(bars_escaped(&inline("a|b\\|c")), "a\\|b\\\\\\|c");
        assert_eq!(bars_escaped("`a|b`"), "`a\\|b`");
        assert_eq!(inline("1. a\n# b"), "1\\. a \\# b");
    }
}

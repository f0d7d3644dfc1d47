//! Number format codes of spreadsheets (ECMA-376, 18.8.31), split into tokens.

/// A part of a format's section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Text that is shown as it is.
    Literal(char),
    /// A digit: `0`, `#` or `?`.
    Digit(char),
    /// The decimal point.
    Point,
    /// A comma, which groups digits or divides by 1000.
    Comma,
    /// A percent sign, which multiplies by 100.
    Percent,
    /// The exponent of the scientific notation.
    Exponent,
    /// A slash, which makes a fraction between digits.
    Slash,
    /// `General`.
    General,
    /// `@`, the text of the cell.
    Text,
    /// A letter of a date or a time of day, in lower case; `a` for AM/PM.
    Date(char),
    /// A letter in brackets: elapsed hours, minutes or seconds.
    Elapsed,
    /// A condition, or digits of a script; what it shows is not computed here.
    Unknown,
}

/// Splits a code into its sections.
pub(super) fn sections(code: &str) -> Vec<Vec<Token>> {
    let mut sections = vec![Vec::new()];
    let mut rest = code.chars();
    while let Some(c) = rest.next() {
        if c == ';' {
            sections.push(Vec::new());
            continue;
        }
        let Some(section) = sections.last_mut() else {
            break;
        };
        match c {
            '"' => section.extend(rest.by_ref().take_while(|c| *c != '"').map(Token::Literal)),
            '\\' => section.extend(rest.next().map(Token::Literal)),
            '_' => section.extend(rest.next().map(|_| Token::Literal(' '))),
            '*' => {
                rest.next();
            }
            '[' => bracket(
                &rest.by_ref().take_while(|c| *c != ']').collect::<String>(),
                section,
            ),
            '0' | '#' | '?' => section.push(Token::Digit(c)),
            '.' => section.push(Token::Point),
            ',' => section.push(Token::Comma),
            '%' => section.push(Token::Percent),
            '/' => section.push(Token::Slash),
            '@' => section.push(Token::Text),
            'e' | 'E' if matches!(rest.clone().next(), Some('+' | '-')) => {
                rest.next();
                section.push(Token::Exponent);
            }
            'g' | 'G' if begins(&rest, "eneral") => {
                rest.nth("eneral".len() - 1);
                section.push(Token::General);
            }
            'a' | 'A' if begins(&rest, "m/pm") => {
                rest.nth("m/pm".len() - 1);
                section.push(Token::Date('a'));
            }
            'a' | 'A' if begins(&rest, "/p") => {
                rest.nth("/p".len() - 1);
                section.push(Token::Date('a'));
            }
            'y' | 'm' | 'd' | 'h' | 's' | 'e' | 'g' | 'b' | 'Y' | 'M' | 'D' | 'H' | 'S' | 'E' | 'G' | 'B' => {
                section.push(Token::Date(c.to_ascii_lowercase()));
            }
            other => section.push(Token::Literal(other)),
        }
    }
    sections
}

/// Returns whether the next characters are these ASCII letters, in any case.
fn begins(rest: &std::str::Chars<'_>, letters: &str) -> bool {
    rest.as_str()
        .get(..letters.len())
        .is_some_and(|next| next.eq_ignore_ascii_case(letters))
}

/// Adds what the content of a pair of brackets shows.
fn bracket(content: &str, section: &mut Vec<Token>) {
    const COLOURS: [&str; 8] = [
        "black", "blue", "cyan", "green", "magenta", "red", "white", "yellow",
    ];
    let lower = content.to_ascii_lowercase();
    if let Some(currency) = content.strip_prefix('$') {
        // `[$€-407]`: a symbol, and a language.
        let symbol = currency.split('-').next().unwrap_or_default();
        section.extend(symbol.chars().map(Token::Literal));
    } else if ["h", "m", "s"]
        .iter()
        .any(|letter| !lower.is_empty() && lower.chars().all(|c| letter.starts_with(c)))
    {
        section.push(Token::Elapsed);
    } else if !COLOURS.contains(&lower.as_str()) && !lower.starts_with("color") {
        section.push(Token::Unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_split_into_sections_and_tokens() {
        use Token::{Date, Digit, Elapsed, Exponent, General, Literal, Percent, Point, Text, Unknown};
        for (code, tokens) in [
            ("General", vec![vec![General]]),
            ("0.#%", vec![vec![Digit('0'), Point, Digit('#'), Percent]]),
            (
                "0;[Red]-0",
                vec![vec![Digit('0')], vec![Literal('-'), Digit('0')]],
            ),
            (
                r#""a;b"\;@"#,
                vec![vec![Literal('a'), Literal(';'), Literal('b'), Literal(';'), Text]],
            ),
            (
                "[$€-407]_x*-0",
                vec![vec![Literal('€'), Literal(' '), Digit('0')]],
            ),
            (
                "[hh]:Y AM/PM",
                vec![vec![Elapsed, Literal(':'), Date('y'), Literal(' '), Date('a')]],
            ),
            ("0E+0", vec![vec![Digit('0'), Exponent, Digit('0')]]),
            ("[>5][DBNum1]", vec![vec![Unknown, Unknown]]),
            ("", vec![vec![]]),
            (
                "\"open",
                vec![vec![Literal('o'), Literal('p'), Literal('e'), Literal('n')]],
            ),
        ] {
            assert_eq!(sections(code), tokens, "{code}");
        }
    }
}

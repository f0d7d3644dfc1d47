//! Tests of decoding pushes.

use super::*;
use domain::ingest::csv::Dialect;
use domain::{FieldCardinality, FieldType};
use proptest::prelude::*;

fn fields() -> Vec<FieldDefinition> {
    let field = |name: &str, field_type| FieldDefinition {
        name: name.parse().unwrap(),
        field_type,
        required: false,
        cardinality: FieldCardinality::ExactlyOne,
        description: None,
        constraints: None,
        examples: vec![],
    };
    vec![field("text", FieldType::Text), field("mass", FieldType::Number)]
}

/// A line's number, and its source id or fault.
type Outcome = (u64, Result<String, String>);

fn decoded(format: PushFormat, pieces: &[&[u8]]) -> Result<Vec<DecodedLine>, Invalid> {
    let mut decoder = PushDecoder::new(format, &fields());
    let mut lines = Vec::new();
    for piece in pieces {
        lines.extend(decoder.feed(piece)?);
    }
    lines.extend(decoder.finish()?);
    Ok(lines)
}

fn read(format: PushFormat, pieces: &[&[u8]]) -> Result<Vec<Outcome>, Invalid> {
    let outcome = |line: Result<PushedRecord, Refusal>| {
        line.map(|r| r.source_id.to_string())
            .map_err(|e| e.reason.to_string())
    };
    let lines = decoded(format, pieces)?;
    Ok(lines.into_iter().map(|(n, line)| (n, outcome(line))).collect())
}

/// The refused lines of a push, each with its number.
fn refusals(format: PushFormat, text: &str) -> Vec<(u64, Refusal)> {
    let lines = decoded(format, &[text.as_bytes()]).unwrap();
    lines
        .into_iter()
        .filter_map(|(n, line)| Some((n, line.err()?)))
        .collect()
}

fn csv() -> PushFormat {
    PushFormat::Csv(CsvOptions::default())
}

// proves ISO-3
#[test]
fn a_heavy_line_is_weighed_before_it_is_decoded() {
    let mut decoder = PushDecoder::new(PushFormat::JsonLines, &fields());
    let half = "{},".repeat(50_000);
    let (first, second) = (
        format!("{{\"id\":\"a\",\"metadata\":{{\"text\":[{half}"),
        format!("{half}1]}}}}"),
    );
    let light = decoder.weigh(Some(&b"{\"id\":\"b\",\"metadata\":{}}\n"[..]));
    assert!(light < 2000, "{light}");
    assert!(
        decoder.feed(b"{\"id\":\"b\",\"metadata\":{}}\n").unwrap()[0]
            .1
            .is_ok()
    );
    let begun = decoder.weigh(Some(first.as_bytes()));
    assert!(decoder.feed(first.as_bytes()).unwrap().is_empty());
    let whole = decoder.weigh(Some(second.as_bytes()));
    assert!(
        begun > 30_000_000 && whole > 2 * begun - 10_000,
        "{begun} {whole}"
    );
    assert!(decoder.feed(second.as_bytes()).unwrap().is_empty());
    assert_eq!(decoder.weigh(None), whole);
    let refused = decoder
        .finish()
        .unwrap()
        .remove(0)
        .1
        .unwrap_err()
        .reason
        .to_string();
    assert!(refused.contains("bytes of memory"), "{refused}");
    // A line that is too long is not read at all.
    let long = vec![b'{'; MAX_LINE_BYTES + 1];
    decoder.weigh(Some(&long[..]));
    decoder.feed(&long).unwrap();
    assert_eq!(decoder.weigh(Some(&b"{{{{"[..])), 0);
}

#[test]
fn csv_rows_are_numbered_by_the_line_on_which_they_begin() {
    let file = b"\xef\xbb\xbfid,Text,Mass\r\na,\"two\r\nlines\",1\r\n\r\nb,x,heavy\r\nc,\"q\"\"q\",2";
    let lines = read(csv(), &[file]).unwrap();
    assert_eq!(lines.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2, 5, 6]);
    assert_eq!(lines[0].1, Ok("a".into()));
    assert_eq!(
        lines[1].1,
        Err("metadata.mass: must be a number, not \"heavy\"".into())
    );
    assert_eq!(lines[2].1, Ok("c".into()));
}

#[test]
fn rows_and_lines_that_are_too_long_are_faults_and_the_rest_goes_on() {
    let long = "x".repeat(MAX_LINE_BYTES + 10);
    let lines = read(csv(), &[b"id,text\n", format!("a,{long}\n").as_bytes(), b"b,y\n"]).unwrap();
    assert!(
        lines[0].1.as_ref().is_err_and(|e| e.contains("longer")),
        "{:?}",
        lines[0].0
    );
    assert_eq!(lines[1], (3, Ok("b".into())));
    let lines = read(
        PushFormat::JsonLines,
        &[long.as_bytes(), b"\n{\"id\":\"b\",\"metadata\":{}}"],
    )
    .unwrap();
    assert!(lines[0].1.as_ref().is_err_and(|e| e.contains("longer")));
    assert_eq!(lines[1], (2, Ok("b".into())));
}

#[test]
fn a_header_that_cannot_be_used_ends_the_push() {
    assert!(
        read(csv(), &[b"id,colour\na,b\n"])
            .unwrap_err()
            .to_string()
            .contains("header.colour")
    );
    assert!(read(csv(), &[b""]).unwrap_err().to_string().contains("no header"));
    assert!(read(csv(), &[b"id,\xff\n"]).is_err());
}

// proves EDG-1
#[test]
fn a_stray_quote_is_refused_where_it_is_and_swallows_no_other_row() {
    let head = "id,mass,text\na,1,Deer Lake\n";
    let ids = |lines: &[Outcome]| -> Vec<String> {
        lines
            .iter()
            .map(|(n, line)| line.clone().unwrap_or_else(|_| format!("-{n}")))
            .collect()
    };
    // Nothing closes the quote.
    let file = format!("{head}b,2,\"Hole N the Rock\nc,3,Adkins Pond\nd,4,Landenberg\n");
    let lines = read(csv(), &[file.as_bytes()]).unwrap();
    assert_eq!(ids(&lines), ["a", "-3", "c", "d"]);
    let why = lines[1].1.clone().unwrap_err();
    assert_eq!(
        why,
        "column 3 (text): has an opening quote (line 3) that nothing closes before the end of the file"
    );
    // Two stray quotes that pair up over rows.
    let file = format!("{head}b,2,\"Draisdorf\nc,3,Mitte\nd,4,Teiche\" west\ne,5,Ufer\n");
    let lines = read(csv(), &[file.as_bytes()]).unwrap();
    assert_eq!(ids(&lines), ["a", "-3", "c", "d", "e"]);
    assert!(
        lines[1]
            .1
            .clone()
            .unwrap_err()
            .contains("(line 5; the cell was opened by a quote in line 3)"),
        "{lines:?}"
    );
    // They pair up so that all of it is a record by its quotes: both readings are possible.
    let file = format!("{head}b,2,\"Draisdorf\nc,3,Mitte\nd,4,Teiche\"\ne,5,Ufer\n");
    let lines = read(csv(), &[file.as_bytes()]).unwrap();
    assert_eq!(ids(&lines), ["a", "-3", "e"]);
    assert!(
        lines[1]
            .1
            .clone()
            .unwrap_err()
            .starts_with("lines 3 to 5 are one record"),
        "{lines:?}"
    );
    // A text of several lines is one reading.
    let file = format!("{head}b,2,\"one\ntwo, three\nfour\"\ne,5,Ufer\n");
    assert_eq!(ids(&read(csv(), &[file.as_bytes()]).unwrap()), ["a", "b", "e"]);
    for (cell, kept) in [
        ("\"Tubby\" creek", false),
        (" \"Tubby\"", false),
        ("\"Tubby\" ", false),
        ("Hole N\" the Rock", true),
        ("\"say \"\"Tubby\"\"\"", true),
    ] {
        let lines = read(csv(), &[format!("{head}b,2,{cell}\nc,3,x\n").as_bytes()]).unwrap();
        assert_eq!(lines[1].1.is_ok(), kept, "{cell}: {lines:?}");
        assert_eq!(lines[2], (4, Ok("c".into())), "{cell}");
    }
}

// proves EDG-3
#[test]
fn a_refused_line_is_known_again_and_another_one_is_not_taken_for_it() {
    let head = "id,mass,text\n";
    let digests = |format: PushFormat, text: &str| -> Vec<[u8; 32]> {
        refusals(format, text)
            .into_iter()
            .map(|(_, r)| r.digest)
            .collect()
    };
    // A number, a missing column, a stray quote that nothing closes, a NUL.
    let bad = "a,x,1\nb,2\nc,3,\"open\nd,4,\0\n";
    let first = digests(csv(), &format!("{head}{bad}"));
    assert_eq!(first.len(), 4);
    // The same lines, in a file that goes on differently.
    let again = digests(csv(), &format!("{head}{bad}e,5,fine\nf,x,6\n"));
    assert_eq!(again[..4], first);
    assert_eq!(again.len(), 5);
    let other = digests(
        csv(),
        &format!("{head}{}", bad.replace('x', "y").replace("open", "Open")),
    );
    assert_ne!(other[0], first[0]);
    assert_eq!(other[1], first[1]);
    assert_ne!(other[2], first[2]);

    let json = |text: &str| digests(PushFormat::JsonLines, text);
    assert_eq!(json("{}\n[]\n"), json("{}\n[]"));
    assert_ne!(json("{}\n"), json("[]\n"));
    let named = refusals(
        PushFormat::JsonLines,
        "{\"id\":\"a\",\"metadata\":{\"mass\":\"x\"}}",
    );
    assert_eq!(named[0].1.source_id.as_deref(), Some("a"));
    let named = refusals(csv(), &format!("{head}{bad}"));
    let ids: Vec<_> = named.iter().map(|(_, r)| r.source_id.as_deref()).collect();
    assert_eq!(ids, [Some("a"), None, None, None]);
}

// proves EDG-1
#[test]
fn any_line_end_counts_lines_and_a_stray_one_is_refused() {
    let cr = read(csv(), &[b"id,text,mass\ra,x,1\r\rb,\"y\rz\",heavy\rc,z,2"]).unwrap();
    assert_eq!(cr.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [2, 4, 6]);
    assert!(cr[1].1.is_err() && cr[2].1.is_ok());
    let mixed = read(csv(), &[b"id,text,mass\na,x\ry,1\nb,z,2\n"]).unwrap();
    assert!(
        mixed[0]
            .1
            .as_ref()
            .is_err_and(|e| e.contains("column 2 (text): contains a carriage return")),
        "{mixed:?}"
    );
    assert_eq!(mixed[1], (3, Ok("b".into())));
}

// proves EDG-1
#[test]
fn tabs_separate_without_quotes_and_another_delimiter_is_named_in_the_refusal() {
    let tsv = PushFormat::Csv(CsvOptions {
        dialect: Dialect::TSV,
        ..CsvOptions::default()
    });
    let lines = read(
        tsv,
        &[b"id\tText\na\t\"Old Ford\" Refuge, east\r\nb\tHole N\" the Rock\r\n"],
    )
    .unwrap();
    assert_eq!(lines, [(2, Ok("a".into())), (3, Ok("b".into()))]);
    let error = read(csv(), &[b"id\ttext\tmass\na\tb\t1\n"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 tabs and no comma"), "{error}");
    let error = read(csv(), &[b"\xff\xfei\0d\0"]).unwrap_err().to_string();
    assert!(error.contains("UTF-16"), "{error}");
}

// From its start, each of these lines opens a quote; after the line before, it closes one and opens the next.
#[test]
fn a_file_full_of_stray_quotes_is_not_read_again_from_each_line() {
    const LINES: usize = 200_000;
    let mut rows = delimited::Delimited::new(Dialect::CSV);
    let mut found = rows.feed(b"id,text\n").unwrap();
    for _ in 0..LINES / 1000 {
        found.extend(rows.feed(&b"a\",\"\n".repeat(1000)).unwrap());
    }
    found.extend(rows.finish().unwrap());
    assert!(found.iter().skip(1).all(|row| row.cells.is_err()));
    // Some are refused one by one, and then, when enough has been read again, many at once. No line is left out.
    assert!(found.len() < LINES / 10, "{}", found.len());
    let mut next = 2;
    for row in &found[1..] {
        assert_eq!(row.line, next);
        next = row.last_line + 1;
    }
    assert!(found.iter().any(|row| row.last_line > row.line));
}

fn by_csv_core(mut text: &[u8]) -> Vec<Vec<String>> {
    let (mut reader, mut rows) = (csv_core::Reader::new(), Vec::new());
    let (mut out, mut ends) = (vec![0; 4096], vec![0; 16]);
    loop {
        let (result, read, _, ended) = reader.read_record(text, &mut out, &mut ends);
        text = &text[read..];
        match result {
            csv_core::ReadRecordResult::Record => {
                let begins = std::iter::once(&0).chain(&ends);
                let cells = begins.zip(&ends[..ended]);
                rows.push(
                    cells
                        .map(|(a, b)| String::from_utf8(out[*a..*b].to_vec()).unwrap())
                        .collect(),
                );
            }
            csv_core::ReadRecordResult::End => return rows,
            _ => {}
        }
    }
}

proptest! {
    // csv-core reads well-formed text as RFC 4180 says; so do we.
    #[test]
    fn well_formed_text_is_read_as_csv_core_reads_it(rows in proptest::collection::vec(proptest::collection::vec("[a-c \"\n,é]{0,6}", 3), 1..6), crlf in any::<bool>()) {
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        let line_end = if crlf { "\r\n" } else { "\n" };
        let text: String = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",") + line_end).collect();
        let mut ours = delimited::Delimited::new(Dialect::CSV);
        let mut found = ours.feed(text.as_bytes()).unwrap();
        found.extend(ours.finish().unwrap());
        let found: Vec<Vec<String>> = found.into_iter().map(|row| row.cells.unwrap()).collect();
        prop_assert_eq!(&found, &rows);
        prop_assert_eq!(found, by_csv_core(text.as_bytes()));
    }

    #[test]
    fn how_the_bytes_are_cut_into_pieces_makes_no_difference(file in "(\u{feff})?(id,text,mass\r?\n|id,text,mass\r)?([a-c\",\r\n0-9]{0,60})", cut in 1_usize..7) {
        for format in [csv(), PushFormat::JsonLines] {
            let whole = decoded(format.clone(), &[file.as_bytes()]);
            let pieces: Vec<&[u8]> = file.as_bytes().chunks(cut).collect();
            prop_assert_eq!(whole, decoded(format, &pieces));
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in [csv(), PushFormat::JsonLines] {
            let _ = read(format, &[b"id,text\n", &bytes]);
        }
    }
}

use std::io::{Cursor, Write as _};

use rust_xlsxwriter::{ExcelDateTime, Format, FormatScript, Formula, Workbook, Worksheet, XlsxError};

use super::*;

mod left_out;

fn book(fill: impl FnOnce(&mut Worksheet) -> Result<(), XlsxError>) -> Vec<u8> {
    let mut book = Workbook::new();
    fill(book.add_worksheet()).unwrap();
    book.save_to_buffer().unwrap()
}

/// Packs parts into a ZIP archive.
fn packed(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(*name, options).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A workbook of one sheet as other programs write it: its settings, and what is in `worksheet`.
fn raw(settings: &str, worksheet: &str) -> Vec<u8> {
    let worksheet = format!("<x:worksheet xmlns:x=\"urn:x\">{worksheet}</x:worksheet>");
    packed(&[
        (
            "xl/workbook.xml",
            &format!("<workbook>{settings}<sheets><sheet name=\"s\" r:id=\"a\"/></sheets></workbook>"),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            "<Relationships><Relationship Id=\"a\" Type=\"x/worksheet\" Target=\"/xl/S.xml\"/></Relationships>",
        ),
        ("xl/s.xml", &worksheet),
    ])
}

/// A workbook whose data row has these cells.
fn cells(cells: &str) -> Vec<u8> {
    raw("", &format!("<sheetData><row r=\"3\">{cells}</row></sheetData>"))
}

fn text(text: &str) -> SheetValue {
    SheetValue::Text(text.to_owned())
}

fn number(raw: &str) -> SheetValue {
    SheetValue::Number(raw.to_owned())
}

/// The values of the data row, from its first cell.
fn values(bytes: &[u8]) -> Vec<SheetValue> {
    let sheet = read(bytes).unwrap();
    sheet
        .columns
        .into_iter()
        .map(|column| column.data.value)
        .collect()
}

fn warnings(bytes: &[u8]) -> Vec<String> {
    read(bytes).unwrap().warnings
}

fn remarks(bytes: &[u8]) -> Vec<String> {
    let sheet = read(bytes).unwrap();
    sheet
        .columns
        .into_iter()
        .flat_map(|column| column.data.remarks)
        .collect()
}

/// Asserts that exactly one of the texts is there, and that it contains these parts.
#[track_caller]
fn told(texts: &[String], parts: &[&str]) {
    assert_eq!(texts.len(), 1, "{texts:?}");
    for part in parts {
        assert!(texts[0].contains(part), "{part}: {texts:?}");
    }
}

// proves PIP-1
#[test]
fn headers_and_the_third_row_are_read_with_their_formats() {
    let bytes = book(|sheet| {
        sheet.write(0, 0, "label")?;
        sheet.write(1, 0, "what it is called")?;
        sheet.write(2, 0, "a")?;
        sheet.write(0, 1, "born")?;
        let format = Format::new().set_num_format("yyyy-mm-dd");
        let at = ExcelDateTime::from_ymd(2020, 2, 29)?;
        sheet.write_with_format(2, 1, &at, &format)?;
        sheet.write(0, 2, "share")?;
        let format = Format::new().set_num_format_index(9);
        sheet.write_with_format(2, 2, 0.5, &format)?;
        sheet.write(2, 3, true)?;
        Ok(())
    });
    let sheet = read(&bytes).unwrap();
    assert_eq!((sheet.date_1904, sheet.warnings.len()), (false, 0));
    let header = |index: usize| &sheet.columns[index].header.value;
    assert_eq!(
        [header(0), header(1), header(2), header(3)],
        [&text("label"), &text("born"), &text("share"), &SheetValue::Empty]
    );
    let data: Vec<(String, SheetValue, &str)> = sheet
        .columns
        .iter()
        .map(|column| {
            let SheetCell {
                place, value, format, ..
            } = &column.data;
            (place.to_string(), value.clone(), format.as_str())
        })
        .collect();
    assert_eq!(
        data,
        [
            ("A3".to_owned(), text("a"), "General"),
            ("B3".to_owned(), number("43890"), "yyyy-mm-dd"),
            ("C3".to_owned(), number("0.5"), "0%"),
            ("D3".to_owned(), SheetValue::Boolean(true), "General"),
        ]
    );
}

// proves EDG-1
#[test]
fn a_formula_gives_its_value_and_is_told_if_it_has_none() {
    for uncomputed in [
        "<c r=\"A3\"><f>SUM(1,2)</f></c>",
        "<c r=\"A3\"><f>SUM(1,2)</f><v/></c>",
        "<c r=\"A3\"><f t=\"shared\" si=\"0\"/><v></v></c>",
        "<c r=\"A3\" t=\"str\"><f>A1</f></c>",
    ] {
        assert_eq!(
            values(&cells(uncomputed)),
            [SheetValue::Uncomputed],
            "{uncomputed}"
        );
    }
    let computed = cells(
        "<c r=\"A3\"><f>SUM(1,2)</f><v>3</v></c><c r=\"B3\" t=\"str\"><f>A1</f><v>a_x0001_&amp;b</v></c>\
         <c r=\"C3\" t=\"b\"><f>A1</f><v>1</v></c><c r=\"D3\" t=\"str\"><f>A1</f><v></v></c>",
    );
    assert_eq!(
        values(&computed),
        [
            number("3"),
            text("a\u{1}&b"),
            SheetValue::Boolean(true),
            SheetValue::Empty
        ]
    );
    assert_eq!(remarks(&computed), [""; 0]);
    // A library writes a zero, or the value that its caller names, and asks the next program to compute.
    let left = book(|sheet| {
        sheet.write(2, 0, Formula::new("=1+2"))?;
        sheet.write(2, 1, Formula::new("=1+2").set_result("3"))?;
        Ok(())
    });
    assert_eq!(values(&left), [SheetValue::Uncomputed, number("3")]);
    told(&remarks(&left), &["still to be computed"]);
    let unfinished = raw(
        "<calcPr calcCompleted=\"0\"/>",
        "<sheetData><row r=\"3\"><c><f>1</f><v>7</v></c></row></sheetData>",
    );
    told(&remarks(&unfinished), &["still to be computed"]);
}

// proves EDG-1, EDG-3
#[test]
fn a_cell_that_cannot_be_read_leaves_the_others() {
    let bytes = cells(
        "<c r=\"A3\" t=\"e\"><v>#SPILL!</v></c><c r=\"B3\" t=\"n\"><v>INF</v></c><c r=\"C3\" t=\"s\"><v>7</v></c>\
         <c r=\"D3\" t=\"b\"><v>2</v></c><c r=\"E3\" t=\"z\"><v>2</v></c><c r=\"F3\" t=\"d\"><v>2020-02-29</v></c>\
         <c r=\"G3\" t=\"inlineStr\"><is><t>_xD800_</t></is></c><c r=\"H3\"><v>&#51;<!-- c -->7</v></c>",
    );
    let values = values(&bytes);
    assert_eq!(values[0], SheetValue::Error("#SPILL!".to_owned()));
    assert_eq!(values[1], number("INF"));
    for (index, why) in [
        (2, "refers to a text that the workbook does not have"),
        (3, "is marked as true or false and holds \"2\""),
        (4, "has the unknown type \"z\""),
        (6, "has half of a character"),
    ] {
        assert_eq!(values[index], SheetValue::Unreadable(why.to_owned()));
    }
    assert_eq!(values[5], SheetValue::Iso("2020-02-29".to_owned()));
    assert_eq!(values[7], number("37"));
}

// proves EDG-1
#[test]
fn both_date_systems_are_known() {
    let cell = "<sheetData><row r=\"3\"><c><v>1</v></c></row></sheetData>";
    for (settings, date_1904) in [
        ("", false),
        ("<workbookPr/>", false),
        ("<workbookPr date1904=\"0\"/>", false),
        ("<workbookPr date1904=\"1\"/>", true),
        (
            "<workbookPr date1904=\"true\"/><extLst><ext><workbookPr date1904=\"0\"/></ext></extLst>",
            true,
        ),
    ] {
        assert_eq!(
            read(&raw(settings, cell)).unwrap().date_1904,
            date_1904,
            "{settings}"
        );
    }
}

// proves EDG-1
#[test]
fn runs_of_text_are_joined_and_what_they_lose_is_told() {
    let (plain, raised) = (
        Format::new(),
        Format::new().set_font_script(FormatScript::Superscript),
    );
    let bytes = book(|sheet| {
        sheet.write_rich_string(2, 0, &[(&plain, "10"), (&raised, "5"), (&plain, " m ")])?;
        sheet.write_rich_string(2, 1, &[(&plain, " a"), (&Format::new().set_bold(), "b ")])?;
        Ok(())
    });
    assert_eq!(values(&bytes), [text("105 m "), text(" ab ")]);
    told(&remarks(&bytes), &["raised or lowered"]);
    let crossed = book(|sheet| {
        sheet
            .write_with_format(2, 0, "no", &Format::new().set_font_strikethrough())
            .map(drop)
    });
    told(&remarks(&crossed), &["crossed out"]);
    let phonetic = cells(
        "<c t=\"inlineStr\"><is><t xml:space=\"preserve\"> a</t><rPh><t>b</t></rPh></is></c>\
         <c t=\"inlineStr\"><is><t>_x0000_<![CDATA[<]]>&lt;_x005F_x0041_</t></is></c>",
    );
    assert_eq!(values(&phonetic), [text(" a"), text("\0<<_x0041_")]);
}

#[test]
fn cells_without_references_count_from_the_left_and_all_columns_are_read() {
    let sheet = read(&cells("<c><v>1</v></c><c r=\"C3\"><v>2</v></c><c><v>3</v></c>")).unwrap();
    let places: Vec<String> = sheet.columns.iter().map(|c| c.data.place.to_string()).collect();
    assert_eq!(places, ["A3", "C3", "D3"]);
    let far = book(|sheet| sheet.write(2, 16_383, 1).map(drop));
    assert_eq!(read(&far).unwrap().columns[0].data.place.to_string(), "XFD3");
}

#[test]
fn what_contradicts_itself_is_refused() {
    for bad in [
        "<c r=\"A3\"><v>1</v></c><c r=\"A3\"><v>2</v></c>",
        "<c r=\"A4\"><v>1</v></c>",
        "<c r=\"XFE3\"><v>1</v></c>",
        "<c r=\"A3\"><v>1</c>",
        "<c r=\"A3\"><v>&unknown;</v></c>",
    ] {
        assert!(read(&cells(bad)).is_err(), "{bad}");
    }
    let twice = [("xl/workbook.xml", "<a/>"), ("XL/Workbook.xml", "<a/>")];
    assert!(read(&packed(&twice)).is_err());
    let old = read(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1...").unwrap_err();
    assert!(old.to_string().contains("password"));
}

#[test]
fn a_text_that_many_cells_share_is_not_copied_for_each() {
    let long = "x".repeat(30_000);
    let bytes = book(|sheet| {
        for column in 0..200 {
            sheet.write(0, column, &long)?;
        }
        Ok(())
    });
    let message = read(&bytes).unwrap_err().to_string();
    assert!(message.contains("bytes of text"), "{message}");
}

#[test]
fn what_is_no_workbook_and_what_unpacks_to_too_much_is_refused() {
    for bad in [&b""[..], b"no workbook", b"PK\x03\x04", &book(|_| Ok(()))[..100]] {
        assert!(read(bad).is_err());
    }
    let zeros = "\0".repeat(70 * 1024 * 1024);
    let bytes = packed(&[("xl/workbook.xml", &zeros)]);
    assert!(bytes.len() < 1024 * 1024);
    let message = read(&bytes).unwrap_err().to_string();
    assert!(message.contains("unpacks to more"), "{message}");
}

// proves ISO-3
#[test]
fn small_files_that_are_large_in_memory_are_refused() {
    let inline = |runs: &str| cells(&format!("<c t=\"inlineStr\"><is>{runs}</is></c>"));
    let styles = |part: &str| {
        packed(&[
            (
                "xl/workbook.xml",
                "<workbook><sheets><sheet name=\"s\" r:id=\"a\"/></sheets></workbook>",
            ),
            (
                "xl/_rels/workbook.xml.rels",
                "<Relationships><Relationship Id=\"a\" Type=\"x/worksheet\" Target=\"s.xml\"/><Relationship Id=\"b\" Type=\"x/styles\" Target=\"t.xml\"/></Relationships>",
            ),
            ("xl/s.xml", "<worksheet/>"),
            ("xl/t.xml", &format!("<styleSheet>{part}</styleSheet>")),
        ])
    };
    let long = "x".repeat(3 << 20);
    let run = format!("<r><t>{}</t></r>", "x".repeat(100_000));
    let deep = format!("{}{}", "<a>".repeat(2000), "</a>".repeat(2000));
    for (bytes, why) in [
        (inline(&format!("<t>{long}</t>")), "a text of more than"),
        (inline(&run.repeat(11)), "has a text of more than"),
        (
            inline(&format!("<phonetic a=\"{long}\"/>")),
            "a tag or a text of more than",
        ),
        (inline(&deep), "nested deeper"),
        (
            styles(&format!("<fonts>{}</fonts>", "<f/>".repeat(70_001))),
            "more than 70000",
        ),
        (
            styles(&format!("<cellXfs>{}</cellXfs>", "<xf/>".repeat(70_001))),
            "more than 70000",
        ),
    ] {
        assert!(bytes.len() < 100_000, "{why}: {}", bytes.len());
        let message = read(&bytes).unwrap_err().to_string();
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(values(&inline(&run.repeat(3))).len(), 1);
}

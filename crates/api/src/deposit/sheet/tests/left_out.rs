use rust_xlsxwriter::{Format, Formula, Note, Shape, Workbook};

use super::*;

// proves EDG-1
#[test]
fn rows_after_the_third_are_told() {
    let bytes = book(|sheet| {
        sheet.write(2, 0, "a")?;
        sheet.write(3, 0, "b")?;
        sheet.write(4, 0, 5)?;
        sheet.write_blank(6, 0, &Format::new().set_bold())?;
        sheet.write(8, 0, Formula::new("=1+2"))?;
        sheet.write(1_048_575, 16_383, "far away")?;
        Ok(())
    });
    told(&warnings(&bytes), &["4 to 5, 9, 1048576"]);
    let many = book(|sheet| {
        sheet.write(2, 0, "a")?;
        for row in (4..60).step_by(2) {
            sheet.write(row, 0, 1)?;
        }
        Ok(())
    });
    told(&warnings(&many), &["23 and more"]);
    let empty_text = raw(
        "",
        "<sheetData><row r=\"3\"><c><v>1</v></c></row><row><c t=\"str\"><f>IF(1,\"\")</f><v></v></c></row></sheetData>",
    );
    assert_eq!(warnings(&empty_text), [""; 0]);
}

// proves EDG-1
#[test]
fn an_empty_third_row_and_data_in_the_second_are_told() {
    told(
        &warnings(&book(|sheet| sheet.write(0, 0, "label").map(drop))),
        &["row 3", "is empty"],
    );
    let second = book(|sheet| {
        sheet.write(1, 0, "a description")?;
        sheet.write(1, 1, 5)?;
        sheet.write(2, 1, 6)?;
        Ok(())
    });
    told(&warnings(&second), &["row 2", ": B2"]);
}

// proves EDG-1
#[test]
fn other_sheets_and_what_is_attached_are_told() {
    let mut book = Workbook::new();
    let first = book.add_worksheet();
    first.write(2, 0, "a").unwrap();
    first.insert_note(2, 0, &Note::new("beware")).unwrap();
    first.insert_shape(5, 5, &Shape::textbox().set_text("b")).unwrap();
    book.add_worksheet();
    book.add_worksheet()
        .set_name("more")
        .unwrap()
        .write(0, 0, 1)
        .unwrap();
    let hidden = book.add_worksheet().set_name("note").unwrap();
    hidden
        .set_hidden(true)
        .insert_note(0, 0, &Note::new("c"))
        .unwrap();
    let warnings = warnings(&book.save_to_buffer().unwrap());
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("\"Sheet1\"") && warnings[0].ends_with(": \"more\", \"note\""));
    assert!(warnings[1].contains("comments") && warnings[1].ends_with(": A3"));
    assert!(warnings[2].contains("pictures"));
}

// proves EDG-1
#[test]
fn merged_cells_are_told() {
    let plain = Format::new();
    let merged = book(|sheet| {
        sheet.merge_range(0, 0, 0, 1, "label", &plain)?;
        sheet.merge_range(2, 0, 2, 1, "a", &plain)?;
        sheet.merge_range(1, 2, 2, 2, "b", &plain)?;
        // Without content, or for one column and row alone.
        sheet.merge_range(0, 4, 0, 5, "", &plain)?;
        sheet.merge_range(0, 6, 1, 6, "c", &plain)?;
        sheet.merge_range(2, 6, 5, 6, "d", &plain)?;
        sheet.merge_range(1, 7, 1, 8, "e", &plain)?;
        Ok(())
    });
    let found = warnings(&merged);
    assert_eq!(found.len(), 3, "{found:?}");
    for (warning, start) in found.iter().zip(["A1:B1 are", "A3:B3 are", "C2:C3 are"]) {
        assert!(warning.starts_with(start), "{found:?}");
    }
    let covered = raw(
        "",
        "<sheetData><row r=\"3\"><c r=\"A3\"><v>1</v></c><c r=\"B3\"><v>2</v></c></row></sheetData>\
         <mergeCells><mergeCell ref=\"A3:B3\"/></mergeCells>",
    );
    told(&remarks(&covered), &["below the merged cells A3:B3"]);
}

// proves EDG-1
#[test]
fn hidden_rows_columns_and_sheets_are_read_and_told() {
    let hidden = book(|sheet| {
        sheet.write(0, 1, "mass")?;
        sheet.write(2, 1, 1)?;
        sheet.write(2, 3, 2)?;
        sheet.set_column_hidden(1)?.set_column_width(3, 0)?;
        sheet.set_row_hidden(2)?;
        Ok(())
    });
    told(&warnings(&hidden), &["row 3 is hidden"]);
    let found = remarks(&hidden);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("hidden column B") && found[1].contains("hidden column D"));
    let mut book = Workbook::new();
    book.add_worksheet().set_hidden(true).write(2, 0, 1).unwrap();
    book.add_worksheet().set_active(true);
    told(
        &warnings(&book.save_to_buffer().unwrap()),
        &["\"Sheet1\" is hidden"],
    );
}

// proves EDG-1
#[test]
fn a_link_that_leads_elsewhere_is_told() {
    let bytes = book(|sheet| {
        sheet.write_url(2, 0, "https://a.example/x")?;
        sheet.write_url_with_text(2, 1, "https://b.example/x", "our site")?;
        Ok(())
    });
    told(&remarks(&bytes), &["https://b.example/x", "not read"]);
}

//! Writes the three exports of a sample lineage into a directory: `cargo run -p lineage --example sample -- DIR`.
//! `xtask/validators/validate.sh` then asks other people's validators what they think of them.

mod lineage;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use ::lineage::Lineage;

fn main() -> Result<(), Box<dyn Error>> {
    let directory: PathBuf = std::env::args_os().nth(1).ok_or("usage: sample DIR")?.into();
    let sample = lineage::sample()?;
    let mut bare = sample.clone();
    // What an anonymous reader might get of something that was hardly kept: references, and nothing behind them.
    bare.license = None;
    bare.records.clear();
    bare.runs.clear();
    bare.releases.clear();
    bare.tasks.clear();
    bare.agents.clear();
    let mut empty = bare.clone();
    empty.row_sets.clear();
    // Texts that try to be something else.
    let mut hostile = Lineage {
        base_url: "https://a b\"<>\\^`{|}?x#[y".to_owned(),
        title: "\u{0}\u{7}\u{202e}</script> {\"@id\": \"./\"}".to_owned(),
        license: Some("https://a b\"<>\\^`{|}[%zz".to_owned()),
        ..sample.clone()
    };
    for release in &mut hostile.releases {
        "::/@\n".clone_into(&mut release.image);
        "https://user:hush@h.example/a b\"%zz#<\\>".clone_into(&mut release.source_ref);
    }
    let all = [
        ("sample", &sample),
        ("bare", &bare),
        ("empty", &empty),
        ("hostile", &hostile),
    ];
    for (name, lineage) in all {
        let krate = directory.join(name);
        fs::create_dir_all(&krate)?;
        fs::write(
            directory.join(format!("{name}.prov.json")),
            format!("{:#}\n", ::lineage::prov_json(lineage)),
        )?;
        fs::write(
            krate.join("ro-crate-metadata.json"),
            format!("{:#}\n", ::lineage::ro_crate(lineage)),
        )?;
        let lines: String = ::lineage::openlineage(lineage)
            .iter()
            .map(|event| format!("{event}\n"))
            .collect();
        fs::write(directory.join(format!("{name}.openlineage.ndjson")), lines)?;
    }
    println!(
        "wrote three exports each of {} lineages to {}",
        all.len(),
        directory.display()
    );
    Ok(())
}

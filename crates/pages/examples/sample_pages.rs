//! Writes every sample page and document into a directory: `cargo run -p pages --example sample_pages -- DIR`.

#[path = "../samples/mod.rs"]
mod samples;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let Some(to) = std::env::args_os().nth(1) else {
        return Err(std::io::Error::other("name the directory to write into"));
    };
    for (path, media, text) in samples::all() {
        let name = match (path.as_str(), media) {
            ("/", _) => "index.html".to_owned(),
            (path, pages::HTML) => format!("{}.html", path.trim_start_matches('/')),
            (path, _) => path.trim_start_matches('/').to_owned(),
        };
        let file = Path::new(&to).join(name);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&file, text)?;
        println!("{}", file.display());
    }
    Ok(())
}

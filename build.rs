//! Compresses the templates of `config/templates`, which become the built-in ones of the program.
//!
//! It writes `built_in.rs`, a list of names and compressed texts, for `src/source/built_in.rs`.
//!
//! Invariant: every template of the directory is in the list, and none of its test cases.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

const TEMPLATES: &str = "config/templates";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={TEMPLATES}");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let mut list = "[\n".to_owned();
    for name in names()? {
        let text = fs::read(Path::new(TEMPLATES).join(&name))?;
        let file = Path::new(&out).join(format!("{name}.lz4"));
        fs::write(&file, lz4_flex::block::compress_prepend_size(&text))?;
        writeln!(list, "    ({name:?}, include_bytes!({:?}).as_slice()),", file.display()).map_err(io::Error::other)?;
    }
    list.push(']');
    fs::write(Path::new(&out).join("built_in.rs"), list)
}

/// File names of the templates, sorted.
fn names() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(TEMPLATES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") && !name.ends_with(".test.yaml") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

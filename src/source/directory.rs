//! Templates in the files of a directory.
//!
//! Reads `*.yaml`, `*.yml` and `*.json`, not recursively, and leaves out names that start with `..`: in a mounted ConfigMap
//! those are the generations behind the names. Left out too are `*.test.yaml` and the like: cases that stand beside their template.
//! Invariant: a file that cannot be read hides no other.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::inject::{LoadProblem, SourceText};

/// A file holds many templates of at most 256 KiB, but a template file is no heap of data.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Texts {
    /// By name of the file.
    pub texts: Vec<SourceText>,
    /// Files that cannot be read.
    pub problems: Vec<LoadProblem>,
}

/// Reads all template files of a directory. Fails when the directory itself cannot be read.
pub fn read(directory: &Path) -> io::Result<Texts> {
    let mut texts = Texts::default();
    for path in files(directory)? {
        let origin = path.display().to_string();
        match read_file(&path) {
            Ok(text) => texts.texts.push(SourceText { origin, text }),
            Err(error) => texts.problems.push(unreadable(origin, &error)),
        }
    }
    Ok(texts)
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if is_template_file(&path) {
            files.push(path);
        }
    }
    // The order of a directory differs from machine to machine.
    files.sort();
    Ok(files)
}

fn is_template_file(path: &Path) -> bool {
    let is_hidden_generation = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
    let ending = |path: &Path| path.extension().and_then(|extension| extension.to_str()).map(str::to_owned);
    let has_extension = ending(path).is_some_and(|found| EXTENSIONS.contains(&found.as_str()));
    let is_case = path.file_stem().is_some_and(|stem| ending(Path::new(stem)).as_deref() == Some("test"));
    // A link is followed: the files of a mounted ConfigMap are links. One that leads nowhere is kept, to be reported.
    has_extension && !is_case && !is_hidden_generation && !path.is_dir()
}

fn read_file(path: &Path) -> io::Result<String> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

fn unreadable(origin: String, error: &io::Error) -> LoadProblem {
    LoadProblem {
        origin,
        line: 0,
        column: 0,
        template: None,
        path: String::new(),
        message: format!("cannot read the file: {error}"),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &Texts) -> Vec<&str> {
        texts.texts.iter().filter_map(|text| text.origin.rsplit('/').next()).collect()
    }

    #[test]
    fn template_files_in_order_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in
            ["b.yaml", "a.yml", "c.json", "d.txt", "..e.yaml", "README", ".f.yaml", "a.test.yaml", "b.test.json"]
        {
            std::fs::write(directory.path().join(name), name).expect("a file");
        }
        std::fs::create_dir(directory.path().join("g.yaml")).expect("a directory");
        let texts = read(directory.path()).expect("the directory can be read");
        assert_eq!(names(&texts), [".f.yaml", "a.yml", "b.yaml", "c.json"]);
        assert_eq!(texts.texts[1].text, "a.yml");
        assert!(texts.problems.is_empty());
    }

    #[test]
    fn the_links_of_a_mounted_config_map_are_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let generation = directory.path().join("..2026");
        std::fs::create_dir(&generation).expect("a directory");
        std::fs::write(generation.join("a.yaml"), "text").expect("a file");
        std::os::unix::fs::symlink("..2026", directory.path().join("..data")).expect("a link");
        std::os::unix::fs::symlink("..data/a.yaml", directory.path().join("a.yaml")).expect("a link");
        let texts = read(directory.path()).expect("the directory can be read");
        assert_eq!(names(&texts), ["a.yaml"]);
        assert_eq!(texts.texts[0].text, "text");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_problem_that_names_it() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("bad.yaml"), [0xff, 0xfe]).expect("a file");
        std::os::unix::fs::symlink("nowhere", directory.path().join("dangling.yaml")).expect("a link");
        std::fs::write(directory.path().join("good.yaml"), "text").expect("a file");
        let texts = read(directory.path()).expect("the directory can be read");
        assert_eq!(names(&texts), ["good.yaml"]);
        let problems: Vec<String> = texts.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("/bad.yaml: cannot read the file: "), "{problems:?}");
        assert!(problems[1].contains("/dangling.yaml: cannot read the file: "), "{problems:?}");
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(read(&directory.path().join("missing")).is_err());
    }

    #[test]
    fn a_file_has_a_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = File::create(directory.path().join("large.yaml")).expect("a file");
        file.set_len(MAX_FILE_BYTES + 1).expect("a sparse file");
        let texts = read(directory.path()).expect("the directory can be read");
        assert!(texts.texts.is_empty() && texts.problems[0].message.contains("larger than"), "{texts:?}");
    }
}

//! Templates in the files of a directory.
//!
//! Reads `*.yaml`, `*.yml` and `*.json`, not recursively, and leaves out names that start with
//! `..`: in a mounted ConfigMap those are the generations behind the names. Left out too are
//! `*.test.yaml` and the like, cases that stand beside their template, `*.schema.json`, and what an
//! editor or an archive leaves beside a file under its ending (`.#a.yaml`, `._a.yaml`).
//! Invariants: a file that cannot be read hides no other; of a mounted ConfigMap all files are of
//! one generation.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::inject::text::{message, words};
use crate::inject::{LoadProblem, SourceText};
use crate::reload::regular_file::{self, Stamp};

/// A file holds many templates of at most 256 KiB, but a template file is no heap of data.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Four times as many as there can be templates: whoever names a directory with more has named the
/// wrong one.
const MAX_ENTRIES: usize = 20_000;
/// Generations of a mounted ConfigMap, locks of Emacs (links that lead nowhere), and what macOS
/// puts into archives.
const NO_TEMPLATES: [&[u8]; 3] = [b"..", b".#", b"._"];
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// The end of the name of a JSON Schema, which an editor reads beside the templates.
const SCHEMA: &[u8] = b".schema.json";
/// The link by which a mounted ConfigMap or Secret changes all its files at once.
const GENERATION: &str = "..data";

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// By name of the file.
    pub texts: Vec<SourceText>,
    /// Files that cannot be read.
    pub problems: Vec<LoadProblem>,
}

/// Reads all template files of a directory. Fails when the directory itself cannot be read.
pub(crate) fn read(directory: &Path) -> io::Result<Texts> {
    let mut texts = Texts::default();
    for file in Listing::of(directory)?.files() {
        match file.read() {
            Ok(text) => texts.texts.push(text),
            Err(problem) => texts.problems.push(*problem),
        }
    }
    Ok(texts)
}

/// The template files of a directory at one moment, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing(BTreeMap<PathBuf, Entry>);

/// What stands under the name of a template file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    /// Where it really is, links to a generation resolved.
    path: PathBuf,
    kind: EntryKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum EntryKind {
    Directory,
    /// Whatever else it may be: reading it tells.
    File(Result<Stamp, ErrorKind>),
}

/// One file to be read.
pub(crate) struct TemplateFile<'l> {
    origin: String,
    path: &'l Path,
}

impl Listing {
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        let mut found = BTreeMap::new();
        // Where a link leads is looked up once: when it moves meanwhile, all files are still of one
        // generation.
        let real = directory.canonicalize()?;
        let generation = real.join(GENERATION);
        let generation = generation.is_symlink().then(|| generation.canonicalize()).transpose()?;
        if let Some(generation) = &generation {
            for name in template_names(generation)? {
                found.insert(directory.join(&name), Entry::at(generation.join(&name)));
            }
        }
        for name in template_names(&real)? {
            let path = real.join(&name);
            if generation.is_none() || !leads_into_generation(&path) {
                found.insert(directory.join(&name), Entry::at(path));
            }
        }
        Ok(Self(found))
    }

    /// The names whose files are not what they were in `before`.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<String> {
        let is_changed = |(shown, found): &(&PathBuf, &Entry)| before.0.get(*shown) != Some(*found);
        self.0.iter().filter(is_changed).map(|(shown, _)| shown.display().to_string()).collect()
    }

    /// By name; the order of a directory differs from machine to machine.
    pub(crate) fn files(&self) -> impl Iterator<Item = TemplateFile<'_>> {
        let files = self.0.iter().filter(|(_, found)| found.kind != EntryKind::Directory);
        files.map(|(shown, found)| TemplateFile { origin: shown.display().to_string(), path: &found.path })
    }

    /// Directories that are called like files. A container runtime makes them in place of a mount
    /// that is missing.
    pub(crate) fn directories(&self) -> impl Iterator<Item = String> {
        let directories = self.0.iter().filter(|(_, found)| found.kind == EntryKind::Directory);
        directories.map(|(shown, _)| shown.display().to_string())
    }

    /// Differs when any file has changed, as far as that can be told without reading.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (shown, found) in &self.0 {
            (shown, found).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Entry {
    fn at(path: PathBuf) -> Self {
        // Links are followed. One that leads nowhere is kept, to be reported.
        let kind = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => EntryKind::Directory,
            Ok(metadata) => EntryKind::File(Ok(Stamp::of(&metadata))),
            Err(error) => EntryKind::File(Err(error.kind())),
        };
        Self { path, kind }
    }
}

impl TemplateFile<'_> {
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn read(self) -> Result<SourceText, Box<LoadProblem>> {
        match regular_file::read_text(self.path, MAX_FILE_BYTES) {
            Ok(text) => Ok(SourceText { origin: self.origin, text }),
            Err(error) => Err(Box::new(unreadable(&self.origin, &error))),
        }
    }
}

fn template_names(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for (index, entry) in std::fs::read_dir(directory)?.enumerate() {
        if index >= MAX_ENTRIES {
            let message = format!("it has more than {MAX_ENTRIES} entries, expected templates alone");
            return Err(io::Error::new(ErrorKind::QuotaExceeded, message));
        }
        let name = PathBuf::from(entry?.file_name());
        if is_template_name(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_template_name(name: &Path) -> bool {
    let is_left_out = NO_TEMPLATES.iter().any(|start| name.as_os_str().as_encoded_bytes().starts_with(start));
    let ending = |path: &Path| path.extension().and_then(OsStr::to_str).map(str::to_owned);
    let has_extension = ending(name).is_some_and(|found| EXTENSIONS.contains(&found.as_str()));
    let is_case = name.file_stem().is_some_and(|stem| ending(Path::new(stem)).as_deref() == Some("test"));
    let is_schema = name.as_os_str().as_encoded_bytes().ends_with(SCHEMA);
    has_extension && !is_case && !is_schema && !is_left_out
}

fn leads_into_generation(path: &Path) -> bool {
    path.read_link().is_ok_and(|target| target.starts_with(GENERATION))
}

/// A file, or what stands in its place, of which there is no text.
pub(crate) fn unreadable(origin: &str, error: &io::Error) -> LoadProblem {
    LoadProblem::of_source(origin, message!["cannot read the file: ", words(error)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn names(texts: &Texts) -> Vec<&str> {
        texts.texts.iter().filter_map(|text| text.origin.rsplit('/').next()).collect()
    }

    #[test]
    fn template_files_in_order_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let others = [
            "d.txt",
            "..e.yaml",
            "README",
            "a.test.yaml",
            "b.test.json",
            "a.schema.json",
            ".#a.yaml",
            "._a.yaml",
            "#a.yaml#",
        ];
        for name in ["b.yaml", "a.yml", "c.json", ".f.yaml"].into_iter().chain(others) {
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

    /// The link moves between two reads: what is read afterwards is still what was listed.
    #[test]
    fn all_files_are_of_one_generation() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for generation in ["..1", "..2"] {
            std::fs::create_dir(path(generation)).expect("a directory");
            for name in ["a.yaml", "b.yaml"] {
                std::fs::write(path(generation).join(name), generation).expect("a file");
            }
        }
        std::os::unix::fs::symlink("..1", path("..data")).expect("a link");
        for name in ["a.yaml", "b.yaml", "removed.yaml"] {
            std::os::unix::fs::symlink(Path::new("..data").join(name), path(name)).expect("a link");
        }
        std::fs::write(path("own.yaml"), "own").expect("a file");
        let listing = Listing::of(directory.path()).expect("the directory can be read");
        std::os::unix::fs::symlink("..2", path("..data_tmp")).expect("a link");
        std::fs::rename(path("..data_tmp"), path("..data")).expect("the swap");
        let texts: Vec<String> = listing.files().map(|file| file.read().expect("a text").text).collect();
        assert_eq!(texts, ["..1", "..1", "own"]);
        let next = Listing::of(directory.path()).expect("the directory can be read");
        assert_ne!(listing.fingerprint(), next.fingerprint());
        let texts: Vec<String> = next.files().map(|file| file.read().expect("a text").text).collect();
        assert_eq!(texts, ["..2", "..2", "own"]);
    }

    #[test]
    fn a_directory_has_a_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        for number in 0..=MAX_ENTRIES {
            File::create(directory.path().join(number.to_string())).expect("a file");
        }
        let error = read(directory.path()).expect_err("too many");
        assert!(error.to_string().contains("more than 20000 entries"), "{error}");
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
        assert!(texts.texts.is_empty() && texts.problems[0].message.to_string().contains("larger than"), "{texts:?}");
    }
}

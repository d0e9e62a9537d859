//! Finds and reads files of cases, their templates and their pods.
//!
//! Invariant: every file is stamped before it is read, so that no change is missed; each is read once a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::excerpt_check;
use super::format::{Case, CaseFile, Expect, Verdict};
use super::shape;
use crate::cli::documents::{self, InputFile};
use crate::cli::errors::ABSENT;
use crate::cli::terminal::printable;
use crate::inject::text::quote;
use crate::inject::{CompiledSource, SourceText, TemplateSet};

/// What the names of files of cases end in.
const ENDINGS: [&str; 3] = [".test.yaml", ".test.yml", ".test.json"];

/// Whether a file of this name has cases.
pub(super) fn is_named_as_cases(path: &Path) -> bool {
    ENDINGS.iter().any(|ending| path.to_string_lossy().ends_with(ending))
}

/// A file of cases with its place.
pub(super) struct ReadFile {
    pub path: PathBuf,
    /// The text with the places of its parts.
    pub input: InputFile,
    pub cases: Vec<ReadCase>,
}

/// A case with its place in the file.
pub(super) struct ReadCase {
    /// Its name, or its position if it has none.
    pub name: String,
    /// `file:line`
    pub place: String,
    /// Position among the tests of the file.
    pub index: usize,
    /// What it says, or what is wrong with it.
    pub content: Result<CaseContent, String>,
}

/// A case that can be run.
pub(super) struct CaseContent {
    pub case: Case,
    pub verdict: Verdict,
    pub warnings: Vec<String>,
    /// The pod or workload.
    pub object: Value,
    /// The template files, those of the file first.
    pub templates: Vec<PathBuf>,
}

/// The files of cases of a path.
#[derive(Default)]
pub(super) struct FoundFiles {
    pub files: Vec<PathBuf>,
    /// Directories that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// When a file was changed last, and its size; `None` if it is not there.
pub(super) type Stamp = Option<(Option<SystemTime>, u64)>;

/// The stamp of a file as it is now.
pub(super) fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok(), metadata.len()))
}

/// The files of one run.
#[derive(Default)]
pub(super) struct Reader {
    compiled: BTreeMap<PathBuf, Result<Arc<CompiledSource>, String>>,
    /// Every file that was read or looked for, as it was before that.
    pub watched: BTreeMap<PathBuf, Stamp>,
}

/// The files of cases of a path: the file itself, or those of a directory.
pub(super) fn find(path: &Path, is_recursive: bool) -> Result<FoundFiles, String> {
    let shown = printable(&path.display().to_string());
    if !path.is_dir() {
        let is_case = is_named_as_cases(path);
        return match path.is_file() {
            true if is_case => Ok(FoundFiles { files: vec![without_dot(path)], unreadable: Vec::new() }),
            true => Err(format!("{shown}: the names of files of cases end in {}", ENDINGS.join(", "))),
            false if path.exists() => Err(format!("{shown}: is no regular file")),
            false => Err(format!("{shown}: {ABSENT}")),
        };
    }
    let mut found = FoundFiles::default();
    directory(path, is_recursive, &mut found);
    found.files.sort();
    found.unreadable.sort();
    if found.files.is_empty() && found.unreadable.is_empty() {
        let below = if is_recursive { "" } else { "; -R looks into the directories below it too" };
        return Err(format!("{shown}: the directory has no file *.test.yaml{below}"));
    }
    Ok(found)
}

/// Directories that cannot be read do not hide the others.
fn directory(path: &Path, is_recursive: bool, found: &mut FoundFiles) {
    let read = std::fs::read_dir(path).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            // A link to a directory could lead back.
            if entry.file_type()?.is_dir() {
                if is_recursive {
                    directory(&path, true, found);
                }
            } else if ENDINGS.iter().any(|ending| name.ends_with(ending))
                && !name.starts_with('.')
                && !is_special(&path)
            {
                found.files.push(without_dot(&path));
            }
        }
        Ok(())
    });
    if let Err(error) = read {
        found.unreadable.push((path.to_owned(), format!("{}: cannot be read: {error}", path.display())));
    }
}

/// Whether there is something else than a file of this name: to read a pipe or a device may never end.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// `./x` is what was not asked for.
fn without_dot(path: &Path) -> PathBuf {
    path.strip_prefix(".").map_or_else(|_| path.to_owned(), Path::to_path_buf)
}

impl Reader {
    /// Reads one file of cases; all that is wrong with it is listed. A case that is wrong is among the others.
    pub(super) fn file(&mut self, path: &Path) -> Result<ReadFile, Vec<String>> {
        self.watch(path);
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| vec![format!("{shown}: cannot be read: {error}")])?;
        let input = documents::input_file(shown.clone(), bytes, "outrigger.dev")
            .map_err(|problems| problems.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
        let [document] = input.documents.as_slice() else {
            return Err(vec![format!(
                "{shown}: expected one document with the key tests, found {}",
                input.documents.len()
            )]);
        };
        let file: CaseFile =
            read(&shape::FILE, &document.value).map_err(|problem| vec![format!("{shown}: {problem}")])?;
        if file.tests.is_empty() {
            return Err(vec![format!("{shown}: tests is empty, expected at least one case")]);
        }
        let mut cases: Vec<ReadCase> = Vec::new();
        for (index, value) in file.tests.iter().enumerate() {
            let place = format!("{shown}:{}", document.line(&format!("/tests/{index}")));
            let own = value.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
            let name = own.map_or_else(|| format!("case {}", index + 1), str::to_owned);
            let content = match cases.iter().find(|other| other.name == name) {
                Some(other) => Err(format!("the name {} is that of {} as well", quote(&name), other.place)),
                None => self.case(path, &file.templates, value),
            };
            cases.push(ReadCase { name, place, index, content });
        }
        Ok(ReadFile { path: path.to_owned(), input, cases })
    }

    fn case(&mut self, file: &Path, templates: &[String], value: &Value) -> Result<CaseContent, String> {
        let case: Case = read(&shape::CASE, value)?;
        let expect = Expect::deserialize(&case.expect).map_err(|error| format!("expect: {error}"))?;
        let (verdict, warnings) = expect.verdict()?;
        let beside = file.parent().unwrap_or(Path::new(""));
        let object = match (&case.pod, &case.pod_file) {
            (Some(pod), None) => pod.clone(),
            (None, Some(name)) => self.object(&beside.join(name))?,
            _ => return Err("expected exactly one of pod and podFile".to_owned()),
        };
        if let Verdict::Includes(excerpt) = &verdict {
            excerpt_check::check(excerpt, &object)?;
        }
        let named = templates.iter().chain(&case.templates).map(|name| beside.join(name));
        let mut paths: Vec<PathBuf> =
            if templates.is_empty() { self.own_template(file).into_iter().collect() } else { Vec::new() };
        paths.extend(named);
        if paths.is_empty() {
            return Err(format!("no template: {} names none, and none lies beside it", file.display()));
        }
        Ok(CaseContent { case, verdict, warnings, object, templates: paths })
    }

    fn object(&mut self, path: &Path) -> Result<Value, String> {
        self.watch(path);
        if is_special(path) {
            return Err(format!("podFile {}: is no regular file", path.display()));
        }
        // `-` is a file here: what stdin has is no part of a case.
        let of_directory = Path::new(".").join(path);
        let path = if path.as_os_str() == "-" { of_directory.as_path() } else { path };
        let values = documents::values(path).map_err(|problems| problems.to_string())?;
        match <[Value; 1]>::try_from(values) {
            Ok([value]) => Ok(value),
            Err(values) => Err(format!("podFile {}: expected one object, found {}", path.display(), values.len())),
        }
    }

    /// The templates of these files; all must load.
    pub(super) fn templates(&mut self, paths: &[PathBuf]) -> Result<TemplateSet, String> {
        let sources: Result<Vec<Arc<CompiledSource>>, String> = paths.iter().map(|path| self.compiled(path)).collect();
        let loaded = TemplateSet::assemble(&sources?, &TemplateSet::default());
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        if problems.is_empty() { Ok(loaded.templates) } else { Err(problems.join("\n")) }
    }

    fn compiled(&mut self, path: &Path) -> Result<Arc<CompiledSource>, String> {
        self.watch(path);
        let compile = || {
            let origin = path.display().to_string();
            if is_special(path) {
                return Err(format!("template {origin}: is no regular file"));
            }
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("template {origin}: cannot be read: {error}"))?;
            Ok(Arc::new(CompiledSource::compile(&SourceText { origin, text })))
        };
        self.compiled.entry(path.to_owned()).or_insert_with(compile).clone()
    }

    /// The template of the same name without `.test`, if there is one.
    fn own_template(&mut self, file: &Path) -> Option<PathBuf> {
        let text = file.to_string_lossy();
        let stem = ENDINGS.iter().find_map(|ending| text.strip_suffix(ending))?;
        let names = ["yaml", "yml", "json"].map(|extension| PathBuf::from(format!("{stem}.{extension}")));
        names.into_iter().find(|path| {
            self.watch(path);
            path.is_file()
        })
    }

    /// Whether this is one of the files that were read.
    pub(super) fn has_read(&self, path: &Path) -> bool {
        let mut read = self.watched.iter().filter(|(_, stamp)| stamp.is_some());
        path.canonicalize().is_ok_and(|path| read.any(|(read, _)| read.canonicalize().is_ok_and(|read| read == path)))
    }

    /// Keeps the state of a file before it is read, so that no change after that is missed.
    fn watch(&mut self, path: &Path) {
        self.watched.entry(path.to_owned()).or_insert_with(|| stamp(path));
    }
}

/// A value of the format; the error names what is wrong in it.
fn read<T: DeserializeOwned>(keys: &shape::Keys, value: &Value) -> Result<T, String> {
    shape::check(keys, value, "")?;
    T::deserialize(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &str = "tests:\n- {name: a, pod: {}, expect: {skipped: []}}\n";

    fn workspace() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("a.test.yaml"), CASES).expect("a file");
        directory
    }

    /// Whether a file differs from what it was when it was read.
    fn is_changed(reader: &Reader) -> bool {
        reader.watched.iter().any(|(path, before)| stamp(path) != *before)
    }

    #[test]
    fn a_change_after_a_file_was_read_is_noticed() {
        let directory = workspace();
        let mut reader = Reader::default();
        let file = directory.path().join("a.test.yaml");
        reader.file(&file).map_err(drop).expect("cases");
        assert!(!is_changed(&reader));
        std::fs::write(&file, format!("{CASES}# more\n")).expect("a file");
        // Whoever reads it once more gets the state before the first time.
        reader.watch(&file);
        assert!(is_changed(&reader));
    }

    #[test]
    fn a_pod_file_named_with_a_dash_is_a_file_of_the_directory() {
        let directory = workspace();
        let file = directory.path().join("a.test.yaml");
        std::fs::write(&file, CASES.replace("pod: {}", "podFile: '-'")).expect("a file");
        std::fs::write(directory.path().join("-"), "{kind: Pod}").expect("a file");
        std::fs::write(directory.path().join("a.yaml"), "").expect("a file");
        let read = Reader::default().file(&file).map_err(drop).expect("cases");
        assert_eq!(read.cases[0].content.as_ref().expect("a case").object["kind"], "Pod");
        // Beside the file in the current directory there is none; what stdin has is not asked for.
        let problem = Reader::default().object(Path::new("-")).expect_err("no file");
        assert!(problem.starts_with("./-: "), "{problem}");
    }

    #[test]
    fn files_that_were_read_are_known_by_any_path() {
        let directory = workspace();
        std::fs::write(directory.path().join("a.yaml"), "").expect("a file");
        let mut reader = Reader::default();
        reader.file(&directory.path().join("a.test.yaml")).map_err(drop).expect("cases");
        assert!(reader.has_read(&directory.path().join("./a.test.yaml")));
        assert!(reader.has_read(&directory.path().join("a.yaml")));
        assert!(!reader.has_read(&directory.path().join("a.yml")));
    }

    #[test]
    fn a_template_that_appears_beside_the_cases_is_noticed() {
        let directory = workspace();
        let mut reader = Reader::default();
        let read = reader.file(&directory.path().join("a.test.yaml")).map_err(drop).expect("cases");
        let problem = read.cases[0].content.as_ref().err().expect("no template");
        assert!(problem.starts_with("no template: "), "{problem}");
        std::fs::write(directory.path().join("a.yml"), "").expect("a file");
        assert!(is_changed(&reader));
    }

    #[test]
    fn a_directory_that_cannot_be_read_hides_no_others() {
        let directory = workspace();
        // Its path is longer than the system takes, so that not even root can read it.
        let mut deep = rustix::fs::open(directory.path(), rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty());
        for _ in 0..20 {
            let (parent, name) = (deep.expect("a directory"), "d".repeat(250));
            rustix::fs::mkdirat(&parent, &name, rustix::fs::Mode::RWXU).expect("a directory");
            deep = rustix::fs::openat(&parent, &name, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty());
        }
        let found = find(directory.path(), true).expect("files");
        assert_eq!((found.files.len(), found.unreadable.len()), (1, 1));
        assert!(found.unreadable[0].1.contains(": cannot be read: "), "{:?}", found.unreadable);
    }
}

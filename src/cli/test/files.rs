//! Finds and reads files of cases, their templates and their pods.
//!
//! Invariant: every file that was read is known, so that it can be watched; each is read once a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::format::{Case, CaseFile, Expect, Verdict};
use crate::cli::documents::{self, InputFile};
use crate::cli::errors::{ABSENT, unreadable};
use crate::inject::{CompiledSource, SourceText, TemplateSet};

/// What the names of files of cases end in.
const ENDINGS: [&str; 3] = [".test.yaml", ".test.yml", ".test.json"];

/// A file of cases with its place.
pub(super) struct ReadFile {
    pub path: PathBuf,
    /// The text with the places of its parts.
    pub input: InputFile,
    pub cases: Vec<ReadCase>,
}

/// A case with its place in the file.
pub(super) struct ReadCase {
    pub case: Case,
    pub verdict: Verdict,
    pub warnings: Vec<String>,
    /// The pod or workload.
    pub object: Value,
    /// `file:line`
    pub place: String,
    /// Position among the tests of the file.
    pub index: usize,
    /// The template files, those of the file first.
    pub templates: Vec<PathBuf>,
}

/// The files of one run.
#[derive(Default)]
pub(super) struct Reader {
    compiled: BTreeMap<PathBuf, Result<Arc<CompiledSource>, String>>,
    /// Every file that was read or looked for.
    pub watched: BTreeSet<PathBuf>,
}

/// The files of cases of a path: the file itself, or those of a directory.
pub(super) fn find(path: &Path, is_recursive: bool) -> Result<Vec<PathBuf>, String> {
    let shown = path.display();
    if !path.is_dir() {
        let is_case = ENDINGS.iter().any(|ending| path.to_string_lossy().ends_with(ending));
        return match path.is_file() {
            true if is_case => Ok(vec![path.to_owned()]),
            true => Err(format!("{shown}: the names of files of cases end in {}", ENDINGS.join(", "))),
            false => Err(format!("{shown}: {ABSENT}")),
        };
    }
    let mut found = Vec::new();
    directory(path, is_recursive, &mut found).map_err(|error| unreadable(&shown, &error))?;
    found.sort();
    if found.is_empty() {
        let below = if is_recursive { "" } else { "; -R looks into the directories below it too" };
        return Err(format!("{shown}: the directory has no file *.test.yaml{below}"));
    }
    Ok(found)
}

fn directory(path: &Path, is_recursive: bool, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        // A link to a directory could lead back.
        if entry.file_type()?.is_dir() {
            if is_recursive {
                directory(&path, true, found)?;
            }
        } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) && !name.starts_with('.') {
            // `./x` is what was not asked for.
            found.push(path.strip_prefix(".").map_or_else(|_| path.clone(), Path::to_path_buf));
        }
    }
    Ok(())
}

impl Reader {
    /// Reads one file of cases; all that is wrong with it is listed.
    pub(super) fn file(&mut self, path: &Path) -> Result<ReadFile, Vec<String>> {
        self.watched.insert(path.to_owned());
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
        let file: CaseFile = read(&document.value, "").map_err(|problem| vec![format!("{shown}: {problem}")])?;
        let (mut cases, mut problems) = (Vec::new(), Vec::new());
        for (index, value) in file.tests.iter().enumerate() {
            let line = document.line(&format!("/tests/{index}"));
            let place = format!("{shown}:{line}");
            match self.case(path, &file.templates, value) {
                Ok((case, verdict, warnings, object, templates)) => {
                    cases.push(ReadCase { case, verdict, warnings, object, place, index, templates });
                }
                Err(problem) => problems.push(format!("{place}: {problem}")),
            }
        }
        if file.tests.is_empty() {
            problems.push(format!("{shown}: tests is empty, expected at least one case"));
        }
        for (index, one) in cases.iter().enumerate() {
            if let Some(other) = cases[..index].iter().find(|other| other.case.name == one.case.name) {
                problems
                    .push(format!("{}: the name {:?} is that of {} as well", one.place, one.case.name, other.place));
            }
        }
        if problems.is_empty() { Ok(ReadFile { path: path.to_owned(), input, cases }) } else { Err(problems) }
    }

    #[allow(clippy::type_complexity, reason = "the parts of a case, which the caller puts together with its place")]
    fn case(
        &mut self,
        file: &Path,
        templates: &[String],
        value: &Value,
    ) -> Result<(Case, Verdict, Vec<String>, Value, Vec<PathBuf>), String> {
        let case: Case = read(value, "")?;
        let expect: Expect = read(&case.expect, "expect: ")?;
        let (verdict, warnings) = expect.verdict()?;
        let beside = file.parent().unwrap_or(Path::new(""));
        let object = match (&case.pod, &case.pod_file) {
            (Some(pod), None) => pod.clone(),
            (None, Some(name)) => self.object(&beside.join(name))?,
            _ => return Err("expected exactly one of pod and podFile".to_owned()),
        };
        let named = templates.iter().chain(&case.templates).map(|name| beside.join(name));
        let mut paths: Vec<PathBuf> =
            if templates.is_empty() { own_template(file).into_iter().collect() } else { Vec::new() };
        paths.extend(named);
        if paths.is_empty() {
            return Err(format!("no template: {} names none, and none lies beside it", file.display()));
        }
        Ok((case, verdict, warnings, object, paths))
    }

    fn object(&mut self, path: &Path) -> Result<Value, String> {
        self.watched.insert(path.to_owned());
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
        self.watched.insert(path.to_owned());
        let compile = || {
            let origin = path.display().to_string();
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("template {origin}: cannot be read: {error}"))?;
            Ok(Arc::new(CompiledSource::compile(&SourceText { origin, text })))
        };
        self.compiled.entry(path.to_owned()).or_insert_with(compile).clone()
    }
}

/// The template of the same name without `.test`, if there is one.
fn own_template(file: &Path) -> Option<PathBuf> {
    let text = file.to_string_lossy();
    let stem = ENDINGS.iter().find_map(|ending| text.strip_suffix(ending))?;
    let names = ["yaml", "yml", "json"].map(|extension| PathBuf::from(format!("{stem}.{extension}")));
    names.into_iter().find(|path| path.is_file())
}

/// A value of the format; the error names what is wrong in it.
fn read<T: DeserializeOwned>(value: &Value, place: &str) -> Result<T, String> {
    T::deserialize(value).map_err(|error| {
        let error = error.to_string();
        let quotes = if error.contains("expected a string") { "; put it in quotes" } else { "" };
        format!("{place}{error}{quotes}")
    })
}

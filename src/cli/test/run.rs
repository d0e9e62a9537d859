//! Runs the cases of files, and keeps what became of each.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::{CaseContent, ReadCase, ReadFile, Reader};
use super::format::{Case, When};
use super::judge::{self, Actual, Fault, Subject};
use crate::cli::values::ClusterVersion;
use crate::config::settings;
use crate::inject::{Injector, NativeSidecars, Settings};

/// What became of a case.
pub(super) struct Ran {
    pub name: String,
    /// `file:line`
    pub place: String,
    /// Position among the tests of the file.
    pub index: usize,
    pub faults: Vec<Fault>,
    /// What became of the object; none if the case could not be run.
    pub actual: Option<Actual>,
    pub duration: Duration,
}

/// What became of a file.
pub(super) struct RanFile {
    pub path: PathBuf,
    /// Present if the file could be read.
    pub read: Option<ReadFile>,
    /// Why it could not.
    pub problems: Vec<String>,
    pub cases: Vec<Ran>,
    /// Cases that a filter leaves out.
    pub left_out: usize,
}

/// Runs the cases of these files whose names contain the filter.
pub(super) fn all(reader: &mut Reader, paths: &[PathBuf], filter: Option<&str>) -> Vec<RanFile> {
    paths.iter().map(|path| file(reader, path, filter)).collect()
}

fn file(reader: &mut Reader, path: &Path, filter: Option<&str>) -> RanFile {
    match reader.file(path) {
        Ok(read) => {
            let is_chosen = |case: &&ReadCase| filter.is_none_or(|filter| case.name.contains(filter));
            let cases: Vec<Ran> = read.cases.iter().filter(is_chosen).map(|case| run(reader, case)).collect();
            let left_out = read.cases.len() - cases.len();
            RanFile { path: path.to_owned(), read: Some(read), problems: Vec::new(), cases, left_out }
        }
        Err(problems) => RanFile::unread(path.to_owned(), problems),
    }
}

impl RanFile {
    /// A file or directory that cannot be read.
    pub(super) const fn unread(path: PathBuf, problems: Vec<String>) -> Self {
        Self { path, read: None, problems, cases: Vec::new(), left_out: 0 }
    }
}

fn run(reader: &mut Reader, case: &ReadCase) -> Ran {
    let begin = Instant::now();
    let ran = case.content.as_ref().map_err(Clone::clone).and_then(|content| {
        let actual = actual(reader, content)?;
        Ok((judge::faults(&actual, &content.verdict, &content.warnings), actual))
    });
    let (faults, actual) = match ran {
        Ok((faults, actual)) => (faults, Some(actual)),
        Err(problem) => (vec![Fault::Said(problem)], None),
    };
    let (name, place) = (case.name.clone(), case.place.clone());
    Ran { name, place, index: case.index, faults, actual, duration: begin.elapsed() }
}

fn actual(reader: &mut Reader, content: &CaseContent) -> Result<Actual, String> {
    let injector = Injector::new(reader.templates(&content.templates)?, settings_of(&content.case)?);
    Subject { injector: &injector, namespace: content.case.namespace.as_ref(), object: &content.object }.run()
}

fn settings_of(case: &Case) -> Result<Settings, String> {
    let version = case
        .cluster_version
        .as_ref()
        .map(|text| text.parse::<ClusterVersion>().map_err(|error| format!("clusterVersion {text:?}: {error}")));
    let version = version.transpose()?;
    let of_version = |version: &ClusterVersion| NativeSidecars::in_version(version.major, version.minor);
    Ok(Settings {
        native_sidecars: match case.native_sidecars {
            Some(When::Always) => NativeSidecars::Supported,
            Some(When::Never) => NativeSidecars::Unsupported,
            None => version.as_ref().map_or(NativeSidecars::Supported, of_version),
        },
        cluster_version: version.map_or_else(|| Settings::default().cluster_version, |version| version.to_string()),
        excluded_namespaces: settings::EXCLUDE_NAMESPACES.default.split(',').map(str::to_owned).collect(),
        ..Settings::default()
    })
}

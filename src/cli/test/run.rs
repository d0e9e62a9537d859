//! Runs the cases of files, and keeps what became of each.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::{ReadCase, ReadFile, Reader};
use super::format::When;
use super::judge::{self, Actual, Fault, Subject};
use crate::cli::values::ClusterVersion;
use crate::config::settings;
use crate::inject::{Injector, Namespace, NativeSidecars, Settings};

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
            let is_chosen = |case: &&ReadCase| filter.is_none_or(|filter| case.case.name.contains(filter));
            let cases: Vec<Ran> = read.cases.iter().filter(is_chosen).map(|case| run(reader, case)).collect();
            let left_out = read.cases.len() - cases.len();
            RanFile { path: path.to_owned(), read: Some(read), problems: Vec::new(), cases, left_out }
        }
        Err(problems) => RanFile { path: path.to_owned(), read: None, problems, cases: Vec::new(), left_out: 0 },
    }
}

fn run(reader: &mut Reader, case: &ReadCase) -> Ran {
    let begin = Instant::now();
    let (faults, actual) = match actual(reader, case) {
        Ok(actual) => (judge::faults(&actual, &case.verdict, &case.warnings), Some(actual)),
        Err(problem) => (vec![Fault::Said(problem)], None),
    };
    let (name, place) = (case.case.name.clone(), case.place.clone());
    Ran { name, place, index: case.index, faults, actual, duration: begin.elapsed() }
}

fn actual(reader: &mut Reader, case: &ReadCase) -> Result<Actual, String> {
    let injector = Injector::new(reader.templates(&case.templates)?, settings_of(case)?);
    Subject { injector: &injector, namespace: &namespace(case), object: &case.object }.run()
}

fn settings_of(case: &ReadCase) -> Result<Settings, String> {
    let version = case
        .case
        .cluster_version
        .as_ref()
        .map(|text| text.parse::<ClusterVersion>().map_err(|error| format!("clusterVersion {text:?}: {error}")));
    let version = version.transpose()?;
    let of_version = |version: &ClusterVersion| NativeSidecars::in_version(version.major, version.minor);
    Ok(Settings {
        native_sidecars: match case.case.native_sidecars {
            Some(When::Always) => NativeSidecars::Supported,
            Some(When::Never) => NativeSidecars::Unsupported,
            None => version.as_ref().map_or(NativeSidecars::Supported, of_version),
        },
        cluster_version: version.map_or_else(|| Settings::default().cluster_version, |version| version.to_string()),
        excluded_namespaces: settings::EXCLUDE_NAMESPACES.default.split(',').map(str::to_owned).collect(),
        ..Settings::default()
    })
}

fn namespace(case: &ReadCase) -> Namespace {
    let given = case.case.namespace.as_ref();
    let name = given.map_or("default", |namespace| &namespace.name).to_owned();
    let mut labels = given.map(|namespace| namespace.labels.clone()).unwrap_or_default();
    // The API server sets this label on every namespace.
    labels.insert(crate::inject::annotations::NAMESPACE_NAME.to_owned(), name.clone());
    Namespace { name, labels, annotations: given.map(|namespace| namespace.annotations.clone()).unwrap_or_default() }
}

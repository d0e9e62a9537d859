//! A case of the catalog: objects of a namespace, and shell commands that show what becomes of them.
//!
//! It only reads: nothing is sent to a cluster. README.md beside it describes the format.
//!
//! Invariant: a key that is not part of the format is an error.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// How long a step is repeated, unless it says so itself.
const WITHIN: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Case {
    /// The name of the file, without its ending.
    #[serde(skip)]
    pub name: String,
    /// The templates of the catalog that the case shows.
    pub templates: Vec<String>,
    /// The Pod Security level that the namespace enforces.
    #[serde(default = "restricted")]
    pub pod_security: String,
    #[serde(default)]
    pub part: Part,
    /// Applied before the first step, in their order.
    #[serde(default)]
    pub objects: Vec<Object>,
    pub steps: Vec<Step>,
}

/// Which runs include the case.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Every run: the case takes seconds, and its images are made of Debian's programs.
    Short,
    #[default]
    Long,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Object {
    File(FileObject),
    Inline(Value),
}

/// A file of the repository with one or more objects.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileObject {
    pub file: String,
}

/// A command, and what it must do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A fact that can be false.
    pub name: String,
    /// Text for bash.
    pub run: String,
    /// Texts that the output contains.
    #[serde(default, deserialize_with = "one_or_more")]
    pub prints: Vec<String>,
    /// Texts that the output lacks.
    #[serde(default, deserialize_with = "one_or_more")]
    pub lacks: Vec<String>,
    /// Whether the command must fail.
    #[serde(default)]
    pub fails: bool,
    /// How long the command is repeated until all of that holds.
    #[serde(default = "default_limit", deserialize_with = "seconds")]
    pub within: Duration,
    /// Whether the command runs only once.
    #[serde(default)]
    pub once: bool,
}

impl Step {
    /// What is not as the step demands; empty if the step holds.
    pub fn problems(&self, is_success: bool, output: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if is_success == self.fails {
            problems.push(format!("the command {}", if self.fails { "does not fail" } else { "fails" }));
        }
        let missing = self.prints.iter().filter(|text| !output.contains(text.as_str()));
        problems.extend(missing.map(|text| format!("the output lacks {text:?}")));
        let unwanted = self.lacks.iter().filter(|text| output.contains(text.as_str()));
        problems.extend(unwanted.map(|text| format!("the output contains {text:?}")));
        problems
    }
}

/// All cases by their names. Panics if a file breaks the format.
pub fn all() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/catalog");
    let entries = std::fs::read_dir(directory).expect("tests/e2e/catalog is a directory");
    let paths = entries.map(|entry| entry.expect("an entry of tests/e2e/catalog").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Case {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let case: Result<Case, _> = serde_saphyr::from_str(&text);
    let case = case.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Case { name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), ..case }
}

fn restricted() -> String {
    "restricted".to_owned()
}

fn default_limit() -> Duration {
    WITHIN
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        More(Vec<String>),
    }
    Ok(match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::More(texts) => texts,
    })
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = text.strip_suffix('s').and_then(|number| number.parse().ok());
    number
        .map(Duration::from_secs)
        .ok_or_else(|| serde::de::Error::custom(format!("{text:?}: expected seconds, as 60s")))
}

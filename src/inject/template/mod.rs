//! Templates: from text to compiled, checked, immutable values.

pub mod document;
pub mod selector;

use std::fmt;

/// Text that holds template documents, and where it comes from.
#[derive(Clone, Debug)]
pub struct SourceText {
    /// File name, ConfigMap key or object name, as problems name it.
    pub origin: String,
    pub text: String,
}

/// One thing that is wrong with a template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadProblem {
    pub origin: String,
    /// 1-based; 0 when the problem has no place in the text.
    pub line: usize,
    /// 1-based, in characters; 0 when the problem has no place in the text.
    pub column: usize,
    /// Name of the template, where it is known.
    pub template: Option<String>,
    /// Path of the field, such as `spec.sidecars[0].image`; empty for the document itself.
    pub path: String,
    pub message: String,
    /// What may have been meant, such as `did you mean "volumeMounts"?`.
    pub hint: Option<String>,
}

impl fmt::Display for LoadProblem {
    /// `log.yaml:12:7: spec.sidecars[0].volumMounts: unknown field; did you mean "volumeMounts"?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Result of [`TemplateSet::load`]: what works, and everything that does not.
pub struct Loaded {
    pub templates: TemplateSet,
    /// Errors; the templates concerned are in the set as broken ones.
    pub problems: Vec<LoadProblem>,
    /// What works but deserves a look, such as a container field that this build does not know.
    pub warnings: Vec<LoadProblem>,
}

/// All templates of one snapshot, indexed by name; immutable.
#[derive(Default)]
pub struct TemplateSet {}

impl TemplateSet {
    /// Parses, checks and compiles all documents of all sources. Never fails as a whole.
    pub fn load(sources: &[SourceText]) -> Loaded {
        let _ = sources;
        todo!()
    }

    /// Names of the templates that work, sorted.
    pub fn names(&self) -> Vec<&str> {
        todo!()
    }

    /// `(name, revision, origin, description)` of the templates that work, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = TemplateInfo<'_>> {
        std::iter::empty()
    }

    /// Number of templates that work.
    pub fn len(&self) -> usize {
        0
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of templates that are named but broken.
    pub fn broken(&self) -> usize {
        0
    }
}

/// What may be shown of a template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateInfo<'a> {
    pub name: &'a str,
    pub revision: &'a str,
    pub origin: &'a str,
    pub description: &'a str,
}

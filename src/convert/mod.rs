//! Converts configurations of other injectors into templates, and lists what cannot be carried over.
//!
//! It is pure: values and texts in, templates out. Reading files and printing belong to `cli`.
//!
//! Invariant: each field of the input is in a template, or in the list of what is lost, or says only
//! what kind of object the input is, or was written by the API server; `ledger` keeps the account.

mod comments;
mod detect;
mod draft;
mod go_action;
mod go_lines;
mod go_template;
mod istio;
mod istio_values;
mod ledger;
mod morvencao;
mod pod_preset;
mod ricoberger;
mod ricoberger_injectors;
mod ricoberger_variables;
mod sidecar_set;
mod sidecar_set_pod;
mod tumblr;
mod wrapped;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use draft::Draft;
use ledger::Ledger;

/// The configuration of another injector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceFormat {
    /// Istio's custom injection templates.
    Istio,
    /// A configuration file of tumblr's k8s-sidecar-injector.
    Tumblr,
    /// `sidecarconfig.yaml` of morvencao's kube-sidecar-injector.
    Morvencao,
    /// The configuration of ricoberger's sidecar-injector.
    Ricoberger,
    /// A SidecarSet of OpenKruise.
    SidecarSet,
    /// A PodPreset of `settings.k8s.io`.
    PodPreset,
}

impl SourceFormat {
    /// Its name for `--from`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Tumblr => "tumblr",
            Self::Morvencao => "morvencao",
            Self::Ricoberger => "ricoberger",
            Self::SidecarSet => "sidecarset",
            Self::PodPreset => "podpreset",
        }
    }
}

/// One document with the lines of its parts.
#[derive(Clone, Debug)]
pub struct SourceDocument {
    /// The file, as messages name it.
    pub file: String,
    /// What the document contains.
    pub value: Value,
    /// The lines of its parts.
    pub lines: PartLines,
}

/// Where the parts of a document stand, by JSON Pointer.
#[derive(Clone, Debug, Default)]
pub struct PartLines {
    /// 1-based; a part without one has the line of the part around it.
    pub lines: BTreeMap<String, usize>,
    /// Texts of which each line is one of the file: block scalars with `|`. All others stand on the line of
    /// their key.
    pub literals: BTreeSet<String>,
}

/// The documents of a text with the lines of their parts, or the first problem with its 1-based line.
pub type YamlText = Result<Vec<(Value, PartLines)>, (usize, String)>;

/// Reads YAML that stands inside a value.
pub type ReadYaml<'r> = &'r dyn Fn(&str) -> YamlText;

/// One template.
#[derive(Clone, Debug)]
pub struct ConvertedTemplate {
    /// The whole document.
    pub value: Value,
    /// `FILE:LINE` of what it was made of.
    pub from: String,
    /// The kind of configuration it was made of.
    pub format: SourceFormat,
    /// Where parts of the template come from: the path in the template, and what messages call it.
    places: Vec<(String, String)>,
}

impl ConvertedTemplate {
    /// The name of the template.
    pub fn name(&self) -> &str {
        self.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Where the part of the template at this path, such as `spec.sidecars[0].image`, comes from.
    pub fn source_of(&self, path: &str) -> String {
        let within = |place: &&(String, String)| path.starts_with(&place.0);
        match self.places.iter().filter(within).max_by_key(|(start, _)| start.len()) {
            Some((start, source)) => format!("{source}{}", &path[start.len()..]),
            None if path.is_empty() => self.from.clone(),
            None => format!("{}: {path}", self.from),
        }
    }
}

/// A field that no template carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The file of the field.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// Such as `spec.containers[0].upgradeStrategy`.
    pub path: String,
    /// Why it is not carried over.
    pub why: String,
    /// What to do instead.
    pub instead: String,
}

/// What to write on a pod or namespace instead of what the other injector reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// As the other injector reads it.
    pub before: String,
    /// As Outrigger reads it.
    pub after: String,
}

/// The result of a conversion.
#[derive(Debug, Default)]
pub struct Conversion {
    /// In the order of the input.
    pub templates: Vec<ConvertedTemplate>,
    /// Everything that no template carries, in the order of the input.
    pub lost: Vec<Lost>,
    /// How pods ask for the templates.
    pub hints: Vec<Hint>,
    /// What was found where: `FILE:LINE` and the format.
    pub found: Vec<(String, SourceFormat)>,
    /// Names that had to change: `FILE:LINE`, before, after.
    pub renamed: Vec<(String, String, String)>,
    /// What prevents the conversion.
    pub problems: Vec<String>,
}

/// Converts all documents; `from` is the format of all of them, or else each is recognised.
pub fn convert(documents: Vec<SourceDocument>, from: Option<SourceFormat>, read: ReadYaml<'_>) -> Conversion {
    let mut conversion = Conversion::default();
    let mut configurations = Vec::new();
    for document in documents {
        let (ledgers, around) = ledger::open(document);
        conversion.lost.extend(around);
        for ledger in ledgers {
            if let Err(problem) = expect_object_size(&ledger) {
                conversion.problems.push(problem);
                continue;
            }
            match wrapped::configurations(ledger, from, read) {
                Ok((found, lost)) => {
                    configurations.extend(found);
                    conversion.lost.extend(lost);
                }
                Err(problem) => conversion.problems.push(problem),
            }
        }
    }
    let tumblr = tumblr::Bases::of(&configurations);
    for (format, mut ledger) in configurations {
        conversion.found.push((ledger.place(""), format));
        let converted = match format {
            SourceFormat::Istio => istio::convert(&mut ledger, read),
            SourceFormat::Tumblr => tumblr::convert(&mut ledger, &tumblr),
            SourceFormat::Morvencao => morvencao::convert(&mut ledger),
            SourceFormat::Ricoberger => ricoberger::convert(&mut ledger),
            SourceFormat::SidecarSet => sidecar_set::convert(&mut ledger),
            SourceFormat::PodPreset => pod_preset::convert(&mut ledger),
        };
        match converted {
            Ok(Drafts { drafts, hints }) => {
                conversion.hints.extend(hints);
                for draft in drafts {
                    conversion.renamed.extend(draft.renamed.clone());
                    conversion.templates.push(draft.finish(format));
                }
            }
            Err(problem) => conversion.problems.push(problem),
        }
        conversion.lost.extend(ledger.finish());
    }
    conversion.hints.dedup();
    conversion
}

/// Most bytes of a configuration: what Kubernetes stores in one ConfigMap.
const SIZE_MAX: usize = 1 << 20;

fn expect_object_size(ledger: &Ledger) -> Result<(), String> {
    let size = ledger.value.to_string().len();
    if size <= SIZE_MAX {
        return Ok(());
    }
    let (size, most) = (size >> 10, SIZE_MAX >> 10);
    Err(format!("{}: {size} KiB are more than the {most} KiB that a configuration may have", ledger.place("")))
}

/// What one configuration gives.
#[derive(Default)]
struct Drafts {
    drafts: Vec<Draft>,
    hints: Vec<Hint>,
}

impl Hint {
    fn new(before: impl Into<String>, after: impl Into<String>) -> Self {
        Self { before: before.into(), after: after.into() }
    }
}

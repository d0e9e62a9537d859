//! Reads the text of a pod: first its head, then as much of the rest as the injection needs.
//!
//! 1. [`ScannedPod::scan`] goes through the text once. It reads the head: annotations and operating
//!    system. A pod that requests no template is not read further, so it is admitted at any size.
//! 2. [`Pod::read`] checks the size and builds a tree: the whole pod, or the part that the
//!    requested templates can read.
//!
//! A text that API servers do not write is not scanned; serde reads its head and the whole pod.
//!
//! Invariant: head and tree agree. They could differ in a text that repeats a key; then the whole
//! pod is parsed first, and the head is taken from the tree.

pub(crate) mod depth;
pub(crate) mod find;
pub(crate) mod managed_fields;
pub(crate) mod memory_estimate;
pub(crate) mod qos_class;
pub(crate) mod read_set;
pub(crate) mod usual;

mod document;
mod head;
mod json_string;
mod part;
mod scan;
mod structure_check;
mod whole;

pub(crate) use document::PodDocument;
pub(crate) use head::PodHead;
pub(crate) use scan::ScannedPod;

use super::error::{ErrorCode, InjectError, Problem};
use super::text::json::parser_message;
use super::text::{message, one_line, value};
use memchr::memmem;
use read_set::ReadSet;
use serde::Deserialize;

/// Image of a container that overrides a sidecar of the same name.
pub(crate) const AUTO: &str = "auto";

/// The text of a pod, and its head.
pub(super) struct Pod<'a> {
    text: &'a str,
    content: Content<'a>,
}

/// What is known of a pod.
enum Content<'a> {
    /// The text was scanned.
    Scanned(ScannedPod<'a>),
    /// Only the head was read.
    Head(PodHead<'a>),
    /// The head was taken from the whole pod.
    Whole(PodHead<'static>, PodDocument),
}

impl<'a> Pod<'a> {
    /// Reads the head. `scanned` is the pod if its text was scanned before. `inject_key` is the
    /// annotation with which a pod requests templates. Only a text that contains it is searched for
    /// repeated keys; in any other text, the first annotations count.
    pub(super) fn open(text: &'a str, scanned: Option<ScannedPod<'a>>, inject_key: &str) -> Result<Self, PodError> {
        let content = match scanned.or_else(|| ScannedPod::of(text)) {
            Some(scanned) => Content::Scanned(scanned),
            None => Content::parse(text, inject_key)?,
        };
        Ok(Self { text, content })
    }

    pub(super) fn head(&self) -> &PodHead<'a> {
        match &self.content {
            Content::Scanned(scanned) => &scanned.head,
            Content::Head(head) | Content::Whole(head, _) => head,
        }
    }

    /// Keys of the pod's labels. The head does without them, so they are read now.
    pub(super) fn label_keys(&self) -> Vec<String> {
        match &self.content {
            Content::Whole(_, document) => document.label_keys().map(str::to_owned).collect(),
            _ => PodHead::label_keys(self.text),
        }
    }

    /// Builds the tree of the fields of these read sets. Parses the whole pod without read sets, and
    /// where the fields may not be enough.
    pub(super) fn read(self, read_sets: Option<&[&ReadSet]>) -> Result<PodDocument, PodError> {
        let scanned = match self.content {
            Content::Whole(_, document) => return Ok(document),
            Content::Scanned(scanned) => Some(scanned),
            Content::Head(_) => None,
        };
        memory_estimate::check(self.text)?;
        let part = scanned.zip(read_sets).and_then(|(scanned, read_sets)| PodDocument::part(&scanned, read_sets));
        part.map_or_else(|| PodDocument::whole(self.text), Ok)
    }
}

impl<'a> Content<'a> {
    fn parse(text: &'a str, inject_key: &str) -> Result<Self, PodError> {
        let head = PodHead::read(text);
        let has_request = || memmem::find(text.as_bytes(), inject_key.as_bytes()).is_some();
        let needs_whole = head.is_err() || (has_request() && may_repeat_a_key(text));
        let document = needs_whole.then(|| memory_estimate::check(text).and_then(|()| PodDocument::whole(text)));
        match (document, head) {
            (Some(Ok(document)), _) => Ok(Self::Whole(PodHead::of(&document), document)),
            // A pod that requests no template is admitted even if the rest of it is invalid.
            (_, Ok(head)) => Ok(Self::Head(head)),
            (Some(Err(error)), Err(_)) | (None, Err(error)) => Err(error),
        }
    }
}

/// Whether the text may repeat a key of the head, or write one with escapes. The API server does
/// neither.
fn may_repeat_a_key(text: &str) -> bool {
    let text = text.as_bytes();
    let is_repeated = |key: &[u8]| memmem::find_iter(text, key).nth(1).is_some();
    // `\u0061` is an `a`; the API server escapes no letters.
    let is_letter = |at: usize| matches!(text.get(at + 4), Some(b'6' | b'7'));
    is_repeated(br#""metadata""#) || is_repeated(br#""annotations""#) || memmem::find_iter(text, r"\u00").any(is_letter)
}

/// Why a text cannot be read as a pod.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    #[error("its values would take more than {} MiB of memory", memory_estimate::MAX_BYTES >> 20)]
    TooLarge,
    #[error("{}", parser_message(.0))]
    Json(#[from] serde_json::Error),
    /// All problems of the structure.
    #[error("{0}")]
    Structure(String),
}

impl From<PodError> for InjectError {
    fn from(error: PodError) -> Self {
        const LONGEST: usize = 200;
        let message = message!["the object is not a valid pod: ", value(one_line(&error.to_string(), LONGEST))];
        Self::from(vec![Problem::new(ErrorCode::PodInvalid, message)])
    }
}

/// Operating system of a pod, from `spec.os.name` or else the node selector `kubernetes.io/os`. The
/// default is Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum OperatingSystem {
    Linux,
    Windows,
}

impl OperatingSystem {
    fn of(os: Option<&str>, node_selector: Option<&str>) -> Self {
        match os.or(node_selector) {
            Some("windows") => Self::Windows,
            _ => Self::Linux,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
        }
    }
}

/// One of the lists of containers in a pod's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ContainerList {
    Containers,
    InitContainers,
}

impl ContainerList {
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
        }
    }
}

#[cfg(test)]
mod tests;

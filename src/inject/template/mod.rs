//! Loads templates from text, compiles and checks them, and renders them for pods.
//!
//! `spec` is the format as written, `document` reads text with the place of each field, `compile`
//! makes a template of it, stage by stage, `load` puts all sources together into a [`TemplateSet`],
//! and a template is rendered for a pod with a [`RenderContext`].

mod compile;
mod container_texts;
pub(crate) mod document;
mod editor_schema;
mod item;
pub(crate) mod parameters;
pub(crate) mod selector;
pub(crate) mod spec;

mod load;
#[cfg(feature = "runtime")]
mod locate;
mod problem;
mod read_set;
mod render;
mod render_context;
mod render_error;
mod revision;
mod scope;
mod set;
mod tree;
mod written_paths;

pub(crate) use compile::{CompiledCondition, Template};
pub use compile::{CompiledSource, KeptRevision, ObjectText};
pub use editor_schema::editor_schema;
pub use load::Loaded;
#[cfg(feature = "runtime")]
pub(crate) use locate::locate;
pub use problem::{LoadProblem, WarningKind};
pub(crate) use render::{RenderErrors, Rendering};
pub(crate) use render_context::RenderContext;
pub(crate) use render_error::{RenderCause, RenderError};
pub(crate) use revision::Revision;
pub use scope::TemplateScope;
pub(crate) use set::{Found, Slot, VisibleTemplates};
pub use set::{TemplateInterface, TemplateSet, TemplateState, TemplateStatus};

/// A text with template documents, and its origin.
#[derive(Clone, Debug)]
pub struct SourceText {
    /// File name, ConfigMap key or object name, as problems name it.
    pub origin: String,
    /// YAML or JSON, with any number of documents.
    pub text: String,
}

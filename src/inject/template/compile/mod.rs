//! Compiles the text of a source to templates in stages; each stage has a type, built from the
//! previous.
//!
//! 1. [`SourceText`](super::SourceText): a text and its origin.
//! 2. [`Document`]: one document as JSON with the line and column of
//!    each field.
//! 3. [`TemplateSpec`]: the spec of a document whose header, fields, types and enumerated values
//!    are valid (`structure`, `enum_check`).
//! 4. `Draft`: its parameters, `match` and expressions, compiled (`draft`, `part_trees`).
//! 5. [`Template`]: a draft that renders to a valid overlay with its defaults (`template`).
//! 6. [`LazyTemplate`]: a template that is kept as compressed text until a pod requests it
//!    (`lazy`), with the earlier revisions that its object keeps (`history`).
//!
//! [`CompiledSource`] has the templates or the problems of all documents of one text (`source`).
//! `load` combines sources into a set.
//!
//! Invariant: later stages still report independent problems after an earlier stage has failed, so
//! all problems of a document are listed at once.

mod companions;
mod draft;
mod enum_check;
mod lazy;
mod left_out;
mod new_fields;
mod part_trees;
mod qos;
mod source;
mod structure;
mod template;
mod warnings;

use super::TemplateScope;
use super::document::Document;
use super::spec::TemplateSpec;
use crate::inject::text::json::without_nulls;
use crate::inject::text::{FieldError, FieldPath, message};
use draft::Draft;

pub(crate) use draft::CompiledCondition;
pub(crate) use lazy::LazyTemplate;
pub use lazy::{KeptRevision, ObjectText};
pub use source::CompiledSource;
pub(crate) use template::Template;

pub(super) use source::CompiledDocument;
use warnings::Warning;

/// The result of compiling one document.
#[derive(Default)]
struct Compiled {
    /// Present only if there are no errors.
    template: Option<LazyTemplate>,
    errors: Vec<FieldError>,
    warnings: Vec<Warning>,
}

/// Takes a document through the stages 3 to 6.
fn compile(name: &str, scope: &TemplateScope, origin: &str, document: &Document) -> Compiled {
    let errors = structure::check_header(&document.value);
    if !errors.is_empty() {
        return Compiled { errors, ..Compiled::default() };
    }
    let (errors, mut warnings) = structure::check(name, &document.value);
    let value = without_nulls(&document.value);
    let raw = value.get("spec").cloned().unwrap_or_default();
    let template = match structure::read(value, &errors) {
        Ok(Some(spec)) => Template::compile(name, scope, origin, spec, &raw),
        Ok(None) => Err(Draft::problems(&raw)),
        Err(error) => Err(vec![error]),
    };
    let template = match template {
        // A misspelt part is the error that explains why there is none.
        template if !errors.is_empty() || !warnings::brings_nothing(&raw) => template,
        template => Err(template.err().into_iter().flatten().chain([nothing()]).collect()),
    };
    match template {
        Ok(template) => {
            warnings.extend(warnings::of(&template, &raw));
            Compiled { template: Some(LazyTemplate::new(template, &raw)), errors, warnings }
        }
        Err(more) => Compiled { template: None, errors: structure::with_more(errors, more), warnings },
    }
}

/// The error of a spec that brings nothing.
fn nothing() -> FieldError {
    let parts = "sidecars, initContainers, volumes, files, app, metadata and pod";
    FieldError::new(FieldPath::root().child("spec"), message!["the template brings nothing; expected one of ", parts])
}

//! A checked template that is kept as compressed text and compiled again when a pod first requests
//! it.
//!
//! A compiled template takes about forty times the memory of its compressed text, and a cluster
//! uses few of thousands of loaded templates.
//!
//! Invariant: a [`LazyTemplate`] has compiled without errors before, so it compiles again.

mod history;

use super::Template;
use crate::inject::expression;
use crate::inject::template::document::MAX_TEMPLATE_BYTES;
use crate::inject::template::spec::{InjectionMode, RolloutSpec, TemplateSpec};
use crate::inject::template::{Revision, TemplateScope};
use history::{ActiveRollout, EarlierRevision};
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, OnceLock};

pub use history::{KeptRevision, ObjectText};

/// Longest text of a spec as JSON: that of a whole document.
const MAX_TEXT: usize = MAX_TEMPLATE_BYTES;

/// A working template.
#[derive(Debug)]
pub(crate) struct LazyTemplate {
    pub name: String,
    pub revision: Revision,
    pub origin: String,
    pub description: String,
    pub mode: InjectionMode,
    /// Names of templates that a pod with this one must not have.
    pub excludes: Vec<String>,
    pub scope: TemplateScope,
    /// Whether a template of a namespace may take its place there.
    pub is_shadowable: bool,
    pub rollout: Option<RolloutSpec>,
    /// Names of the sidecars, as far as they do not depend on the pod.
    pub sidecars: Vec<String>,
    /// The newest first.
    earlier: Vec<EarlierRevision>,
    /// Which pods get an earlier revision, if some do.
    active_rollout: Option<ActiveRollout>,
    spec: CompressedJson,
    compiled: OnceLock<Option<Box<Template>>>,
}

impl LazyTemplate {
    /// Keeps `spec` and the details of `template`, which was compiled from it.
    pub(crate) fn new(template: Template, spec: &Value) -> Self {
        let sidecars = template.sidecar_names().map(str::to_owned).collect();
        let Template { name, revision, origin, scope, spec: kept, .. } = template;
        let TemplateSpec { description, injection: mode, excludes, shadowable, rollout, .. } = kept;
        Self {
            name,
            revision,
            origin,
            description,
            mode,
            excludes,
            scope,
            is_shadowable: shadowable,
            rollout,
            sidecars,
            earlier: Vec::new(),
            active_rollout: None,
            spec: CompressedJson::of(spec),
            compiled: OnceLock::new(),
        }
    }

    /// The spec, compressed.
    fn compressed(&self) -> Arc<[u8]> {
        self.spec.bytes()
    }

    /// The template, compiled at its first use; `None` would be a bug in Outrigger.
    pub(crate) fn template(&self) -> Option<&Template> {
        let compile = || expression::with_large_stack(|| self.compile()).ok().flatten();
        self.compiled.get_or_init(|| compile().map(Box::new)).as_deref()
    }

    /// The declarations of the parameters, read from the text: nothing is compiled for it.
    pub(crate) fn parameters(&self) -> Vec<Value> {
        #[derive(Default, Deserialize)]
        struct Declarations {
            #[serde(default)]
            parameters: Vec<Value>,
        }
        let declarations: Declarations =
            self.spec.text().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        declarations.parameters
    }

    /// The spec as written; `None` would be a bug in Outrigger.
    pub(crate) fn raw_spec(&self) -> Option<Value> {
        serde_json::from_slice(&self.spec.text()?).ok()
    }

    fn compile(&self) -> Option<Template> {
        let raw: Value = serde_json::from_slice(&self.spec.text()?).ok()?;
        let spec = TemplateSpec::deserialize(&raw).ok()?;
        Template::compile(&self.name, &self.scope, &self.origin, spec, &raw).ok()
    }
}

/// A JSON text, compressed with LZ4 to about half its length; it is read again in microseconds.
#[derive(Clone, Debug)]
struct CompressedJson(Arc<[u8]>);

impl CompressedJson {
    /// A text that was compressed by [`Self::of`], or by somebody else.
    const fn stored(bytes: Arc<[u8]>) -> Self {
        Self(bytes)
    }

    fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.0)
    }

    fn of(value: &Value) -> Self {
        let compressed = lz4_flex::block::compress_prepend_size(value.to_string().as_bytes());
        // A copy, because shrinking a buffer leaves it where it is if it is not much too large.
        Self(Arc::from(&*compressed))
    }

    /// The text; `None` if the bytes are not those of a template.
    fn text(&self) -> Option<Vec<u8>> {
        // The first bytes claim how long the text is, and so much memory is taken.
        let claimed = self.0.first_chunk().map(|length| u32::from_le_bytes(*length))?;
        if usize::try_from(claimed).ok()? > MAX_TEXT {
            return None;
        }
        lz4_flex::block::decompress_size_prepended(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(spec: &Value) -> Template {
        let parsed = TemplateSpec::deserialize(spec).expect("a spec");
        Template::compile("log", &TemplateScope::Cluster, "log.yaml", parsed, spec).expect("no problem")
    }

    #[test]
    fn a_template_compiled_again_equals_the_first() {
        let spec = json!({
            "description": "x".repeat(100_000),
            "parameters": [{"name": "image", "type": "string", "default": "a:1"}],
            "match": {"conditions": [{"expression": "params.image != ''"}]},
            "sidecars": [{"name": "log", "image": "${params.image}", "env": [{"name": "POD", "value": "${pod.metadata.name}"}]}],
        });
        let expected = format!("{:?}", compile(&spec));
        let checked = LazyTemplate::new(compile(&spec), &spec);
        assert!(checked.compiled.get().is_none());
        assert_eq!(checked.template().map(|template| format!("{template:?}")), Some(expected));
        assert_eq!(checked.template().map(|template| &template.revision), Some(&checked.revision));
        assert_eq!(checked.parameters(), [spec["parameters"][0].clone()]);
    }

    #[test]
    fn the_kept_text_of_a_usual_template_is_little_more_than_half_as_long() {
        let text = include_str!("../../../../../config/templates/log-collector.yaml");
        let spec = crate::inject::template::document::parse(text).remove(0).expect("a document").value["spec"].take();
        let (kept, text) = (CompressedJson::of(&spec), spec.to_string());
        assert_eq!(kept.text().as_deref(), Some(text.as_bytes()));
        assert!(kept.0.len() * 9 < text.len() * 5, "{} of {} bytes", kept.0.len(), text.len());
    }
}

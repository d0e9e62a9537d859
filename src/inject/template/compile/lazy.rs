//! A checked template that is kept as text and compiled again when a pod first requests it.
//!
//! A compiled template takes about twenty times the memory of its text, and a cluster uses few of
//! thousands of loaded templates.
//!
//! Invariant: a [`LazyTemplate`] has compiled without errors before, so it compiles again.

use super::Template;
use crate::inject::template::Revision;
use crate::inject::template::spec::{InjectionMode, TemplateSpec};
use serde::Deserialize;
use serde_json::Value;
use std::sync::OnceLock;

/// Longer templates stay compiled, so that no pod waits for their compilation.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// A working template.
#[derive(Debug)]
pub(crate) struct LazyTemplate {
    pub name: String,
    pub revision: Revision,
    pub origin: String,
    pub description: String,
    pub mode: InjectionMode,
    /// The spec as JSON.
    spec: Box<str>,
    compiled: OnceLock<Option<Box<Template>>>,
}

impl LazyTemplate {
    /// Keeps `spec` and the details of `template`, which was compiled from it.
    pub(crate) fn new(template: Template, spec: &Value) -> Self {
        let spec = spec.to_string().into_boxed_str();
        let (name, revision) = (template.name.clone(), template.revision.clone());
        let (origin, description) = (template.origin.clone(), template.spec.description.clone());
        let mode = template.spec.injection;
        let compiled = OnceLock::new();
        if spec.len() > MAX_TEXT_BYTES {
            compiled.get_or_init(|| Some(Box::new(template)));
        }
        Self { name, revision, origin, description, mode, spec, compiled }
    }

    /// The template, compiled at its first use; `None` would be a bug in Outrigger.
    pub(crate) fn template(&self) -> Option<&Template> {
        self.compiled.get_or_init(|| self.compile().map(Box::new)).as_deref()
    }

    /// The declarations of the parameters, read from the text: nothing is compiled for it.
    pub(crate) fn parameters(&self) -> Vec<Value> {
        #[derive(Deserialize)]
        struct Declarations {
            #[serde(default)]
            parameters: Vec<Value>,
        }
        serde_json::from_str(&self.spec).map_or_else(|_| Vec::new(), |Declarations { parameters }| parameters)
    }

    fn compile(&self) -> Option<Template> {
        let raw: Value = serde_json::from_str(&self.spec).ok()?;
        let spec = TemplateSpec::deserialize(&raw).ok()?;
        Template::compile(&self.name, &self.origin, spec, &raw).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(spec: &Value) -> Template {
        let parsed = TemplateSpec::deserialize(spec).expect("a spec");
        Template::compile("log", "log.yaml", parsed, spec).expect("no problem")
    }

    #[test]
    fn a_template_compiled_again_equals_the_first() {
        let spec = json!({
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
    fn a_long_template_stays_compiled() {
        let spec = json!({"description": "x".repeat(MAX_TEXT_BYTES), "sidecars": [{"name": "log", "image": "a:1"}]});
        assert!(LazyTemplate::new(compile(&spec), &spec).compiled.get().is_some());
    }
}

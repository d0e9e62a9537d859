//! A template that was compiled and found to render, kept as text until a pod asks for it.
//!
//! A compiled template takes some twenty times the memory of its text, and of thousands that are loaded a cluster uses few.
//! Invariant: what is here has been compiled without a problem, so it compiles again.

use super::Template;
use crate::inject::template::Revision;
use crate::inject::template::spec::{InjectionMode, TemplateSpec};
use serde::Deserialize;
use serde_json::Value;
use std::sync::OnceLock;

/// A template of a longer text stays compiled: a pod should not wait for that.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// A template that works.
#[derive(Debug)]
pub struct LazyTemplate {
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
    /// Keeps what is needed of `template`, which was compiled from `spec`.
    pub fn new(template: Template, spec: &Value) -> Self {
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

    /// The template, compiled when it is first asked for; `None` would be a fault of ours.
    pub fn template(&self) -> Option<&Template> {
        self.compiled.get_or_init(|| self.compile().map(Box::new)).as_deref()
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
    fn what_is_compiled_again_is_the_same() {
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
    }

    #[test]
    fn a_long_one_stays_compiled() {
        let spec = json!({"description": "x".repeat(MAX_TEXT_BYTES), "sidecars": [{"name": "log", "image": "a:1"}]});
        assert!(LazyTemplate::new(compile(&spec), &spec).compiled.get().is_some());
    }
}

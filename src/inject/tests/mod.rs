//! Tests of the whole engine, besides the golden cases.

use super::*;
use serde_json::{Value, json};
use std::sync::Arc;

mod app;
mod decide;
mod defaults;
mod explain;
mod files;
mod grace;
mod hostile;
mod keys;
mod objects;
mod redaction;
mod rendering;
mod status;

/// An injector with these templates, all of which load.
pub(super) fn injector(templates: &[Value]) -> Injector {
    injector_with(templates, Settings::default())
}

pub(super) fn injector_with(templates: &[Value], settings: Settings) -> Injector {
    let text = templates.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    let loaded = TemplateSet::load(&[SourceText { origin: "test.yaml".to_owned(), text }]);
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    Injector::new(loaded.templates, settings)
}

pub(super) fn template(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate", "metadata": {"name": name}, "spec": spec})
}

/// A template with a sidecar, a volume, a mount and a variable for the app.
pub(super) fn agent() -> Value {
    template(
        "agent",
        json!({
            "sidecars": [{"name": "agent", "image": "agent:1", "volumeMounts": [{"name": "agent-data", "mountPath": "/data"}]}],
            "volumes": [{"name": "agent-data", "emptyDir": {}}],
            "app": {
                "env": [{"name": "AGENT", "value": "on"}],
                "volumeMounts": [{"name": "agent-data", "mountPath": "/agent"}],
            },
        }),
    )
}

pub(super) fn inject(injector: &Injector, pod: &Value) -> Result<Outcome, InjectError> {
    injector.inject(&Request::create_pod("demo", &pod.to_string()))
}

/// The pod after the patch.
pub(super) fn patched(pod: &Value, injection: &Injection) -> Value {
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, &injection.patch().expect("a patch")).expect("the patch applies");
    pod
}

/// The outcome of an injection, with the pod after it.
pub(super) struct Injected {
    /// The pod after the patch.
    pub pod: Value,
    pub templates: Vec<String>,
    pub reasons: Vec<SkipReason>,
    pub warnings: Vec<String>,
}

pub(super) fn injected(injector: &Injector, pod: &Value) -> Injected {
    match inject(injector, pod) {
        Ok(Outcome::Injected(injection)) => {
            let pod = patched(pod, &injection);
            let Injection { templates, reasons, warnings, .. } = injection;
            Injected { pod, templates, reasons, warnings }
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused(injector: &Injector, pod: &Value) -> InjectError {
    match inject(injector, pod) {
        Err(error) => error,
        other => panic!("{other:?}"),
    }
}

/// A pod that requests these templates, with more annotations.
pub(super) fn pod(requested: &str, annotations: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    });
    pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!(requested);
    pod
}

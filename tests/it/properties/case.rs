//! One generated run: templates, a pod that requests them, its namespace and the cluster.
//!
//! The expected result is not computed here (`laws`).
//!
//! Invariant: a failing case prints as YAML that can be saved as a golden case.

use super::laws::names;
use super::pieces::{any_text, text_of};
use super::{pods, templates};
use outrigger::inject::{
    ErrorCode, InjectError, Injection, Injector, Namespace, NativeSidecars, Outcome, Request, Settings, SourceText,
    TemplateSet,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

pub const DOMAIN: &str = "outrigger.dev";
pub const INJECT: &str = "outrigger.dev/inject";
pub const STATUS: &str = "outrigger.dev/status";

/// All input of one decision.
#[derive(Clone)]
pub struct Case {
    pub templates: Vec<Value>,
    pub pod: Value,
    pub namespace: Option<Namespace>,
    pub native: NativeSidecars,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n# native sidecars {:?}, namespace {:?}\n# --- templates.yaml", self.native, self.namespace)?;
        f.write_str(&self.templates.iter().map(yaml).collect::<Vec<_>>().join("---\n"))?;
        writeln!(f, "# --- pod.yaml\n{}", yaml(&self.pod))
    }
}

/// A value as YAML.
pub fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}

impl Case {
    /// The annotation that sets the parameter of [`Self::with_parameter_everywhere`].
    pub const PARAMETER: &str = "helper.outrigger.dev/text";

    /// A pod that requests a template with one string parameter in many fields that allow any text.
    pub fn with_parameter_everywhere(mut pod: Value) -> Self {
        annotate(&mut pod, INJECT, "helper".to_owned());
        containers_mut(&mut pod).for_each(|container| container["image"] = json!("app:1"));
        let container = |name: &str| {
            json!({
                "name": name, "image": "helper:1", "command": ["run", "${params.text}"], "args": ["--x=${params.text}", "y"],
                "workingDir": "${params.text}", "env": [{"name": "HELPER", "value": "a ${params.text} b ${params.text}"}],
                "livenessProbe": {"exec": {"command": ["${params.text}"]}}, "zzFuture": {"a": ["${params.text}", {"b": "${params.text}"}]},
            })
        };
        let mut once = container("helper-2");
        once.as_object_mut().map(|fields| fields.remove("livenessProbe"));
        let template = json!({
            "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate", "metadata": {"name": "helper"},
            "spec": {
                "parameters": [{"name": "text", "type": "string", "default": ""}],
                "sidecars": [container("helper-1")], "initContainers": [once],
                "volumes": [{"name": "helper", "csi": {"driver": "helper", "volumeAttributes": {"a": "${params.text}"}}}],
                "app": {
                    "env": [{"name": "HELPER", "value": "${params.text}"}],
                    "volumeMounts": [{"name": "helper", "mountPath": "/helper"}],
                },
                "metadata": {"annotations": {"helper": "${params.text}"}},
                "pod": {"schedulerName": "${params.text}", "affinity": {"podAffinity": {"zzFuture": "${params.text}"}}},
            },
        });
        Self { templates: vec![template], pod, namespace: None, native: NativeSidecars::Supported }
    }

    /// The engine with these templates; all must load.
    pub fn injector(&self) -> Injector {
        let loaded = TemplateSet::load(&[SourceText { origin: "generated".to_owned(), text: self.template_text() }]);
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "the generator made a template that does not load: {problems:#?}\n{self:?}");
        Injector::new(loaded.templates, Settings { native_sidecars: self.native, ..Settings::default() })
    }

    /// The templates as one file.
    fn template_text(&self) -> String {
        self.templates.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
    }

    /// The result for this pod in the case's namespace, which must not depend on how much of the
    /// pod the engine reads.
    pub fn inject(&self, injector: &Injector, pod: &Value) -> Result<Outcome, InjectError> {
        let object = pod.to_string();
        let request = Request { namespace_object: self.namespace.as_ref(), ..Request::create_pod("demo", &object) };
        let outcome = injector.inject(&request);
        if pod.get("metadata").is_some() {
            let object = format!(r#"{{"metadata":null,{}"#, &object[1..]);
            let of_whole = injector.inject(&Request { object: &object, ..request });
            // What is no valid pod may be decided by its head alone.
            let is_same = if is_invalid(&of_whole) {
                !matches!(outcome, Ok(Outcome::Injected(_)))
            } else {
                shown(&outcome) == shown(&of_whole)
            };
            assert!(is_same, "read as a whole the pod gets {of_whole:?} instead of {outcome:?}\n{self:?}");
        }
        outcome
    }
}

fn is_invalid(outcome: &Result<Outcome, InjectError>) -> bool {
    outcome.as_ref().is_err_and(|error| error.codes() == [ErrorCode::PodInvalid])
}

/// The outcome, with the patch as text.
fn shown(outcome: &Result<Outcome, InjectError>) -> String {
    match outcome {
        Ok(Outcome::Injected(Injection { patch_json, templates, reasons, warnings, .. })) => {
            format!("{}\n{templates:?} {reasons:?} {warnings:?}", String::from_utf8_lossy(patch_json))
        }
        other => format!("{other:?}"),
    }
}

/// Any case.
pub fn cases() -> BoxedStrategy<Case> {
    let [alpha, beta, gamma] = templates::NAMES.map(templates::template);
    let further = |template| prop::option::weighted(0.4, template);
    let waits_in_vain = prop::bool::weighted(0.1);
    let native = prop_oneof![3 => Just(NativeSidecars::Supported), 1 => Just(NativeSidecars::Unsupported)];
    (alpha, further(beta), further(gamma), pods::pod(), pod_annotations(), namespace(), (native, waits_in_vain))
        .prop_map(|(alpha, beta, gamma, mut pod, says, namespace, (native, waits_in_vain))| {
            let templates: Vec<Value> = [Some(alpha), beta, gamma].into_iter().flatten().collect();
            if !waits_in_vain {
                drop_vain_overrides(&mut pod, &templates);
            }
            for (key, value) in says.annotations(&templates) {
                annotate(&mut pod, &key, value);
            }
            Case { templates, pod, namespace, native }
        })
        .boxed()
}

/// A container that waits for an unknown template would be refused; here it gets its own image.
fn drop_vain_overrides(pod: &mut Value, templates: &[Value]) {
    let lists =
        templates.iter().flat_map(|template| ["sidecars", "initContainers"].map(|list| &template["spec"][list]));
    let brought: Vec<String> = lists.flat_map(names).collect();
    for container in containers_mut(pod).filter(|container| container["image"] == "auto") {
        if !brought.contains(&text_of(container, "name")) {
            container["image"] = json!("app:1");
        }
    }
}

fn containers_mut(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = pod.get_mut("spec").and_then(Value::as_object_mut);
    let lists = spec.into_iter().flatten().filter(|(field, _)| *field == "containers" || *field == "initContainers");
    lists.filter_map(|(_, list)| list.as_array_mut()).flatten()
}

/// Sets an annotation, whatever the type of the metadata.
pub fn annotate(pod: &mut Value, key: &str, value: String) {
    pod["metadata"]["annotations"][key] = json!(value);
}

/// The annotations for Outrigger on the pod.
#[derive(Clone, Debug)]
struct PodAnnotations {
    requested: RequestedTemplates,
    containers: Option<&'static str>,
    parameters: BTreeMap<&'static str, String>,
    omits_required_parameter: bool,
    status: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum RequestedTemplates {
    All,
    Reversed,
    One,
    Nothing,
    Text(&'static str),
}

fn pod_annotations() -> BoxedStrategy<PodAnnotations> {
    let texts = select(vec!["", "false", "alpha, nowhere", " ,alpha,,alpha", "false, alpha"])
        .prop_map(RequestedTemplates::Text);
    let requested = prop_oneof![
        20 => Just(RequestedTemplates::All),
        3 => Just(RequestedTemplates::Reversed),
        3 => Just(RequestedTemplates::One),
        2 => Just(RequestedTemplates::Nothing),
        2 => texts,
    ];
    let status = prop_oneof![
        any_text(),
        Just(r#"{"version":1,"templates":[{"name":"alpha","revision":"0","containers":["gone"]}]}"#.to_owned()),
        Just(r#"{"version":2,"templates":[{"name":"alpha"}]}"#.to_owned()),
    ];
    let parts = (
        requested,
        prop::option::weighted(0.08, select(vec!["app", "web, app", "nobody"])),
        prop::collection::btree_map(select(&templates::PARAMETERS[..]), any_text(), 0..2),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.05, status),
    );
    parts
        .prop_map(|(requested, containers, any, omits_required_parameter, status)| {
            let parameters = any.into_iter().map(|(name, text)| (name, fitting(name, text))).collect();
            PodAnnotations { requested, containers, parameters, omits_required_parameter, status }
        })
        .boxed()
}

/// A text that the parameter usually accepts.
fn fitting(name: &str, text: String) -> String {
    match name {
        "level" => "debug".to_owned(),
        "count" => "-9223372036854775808".to_owned(),
        "flag" => "false".to_owned(),
        "ratio" => "1e-3".to_owned(),
        "size" => "1.5Gi".to_owned(),
        "wait" => "1m30s".to_owned(),
        "port" => "8443".to_owned(),
        "items" => "x, y".to_owned(),
        "pairs" => "a=x,b=y".to_owned(),
        "dir" if text.len() > 3 => format!("/{}", text.replace(':', "-")),
        _ => text,
    }
}

impl PodAnnotations {
    fn annotations(&self, templates: &[Value]) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> =
            self.asked(templates).map(|value| (INJECT.to_owned(), value)).into_iter().collect();
        all.extend(self.containers.map(|names| (format!("{DOMAIN}/containers"), names.to_owned())));
        all.extend(self.status.clone().map(|status| (STATUS.to_owned(), status)));
        for template in templates {
            let declared = template["spec"]["parameters"].as_array().into_iter().flatten();
            for name in declared.filter_map(|parameter| parameter["name"].as_str()) {
                let key = format!("{}.{DOMAIN}/{name}", template["metadata"]["name"].as_str().unwrap_or_default());
                let needed = name == "must" && !self.omits_required_parameter;
                let value = self.parameters.get(name).cloned().or_else(|| needed.then(|| "given".to_owned()));
                all.extend(value.map(|value| (key, value)));
            }
        }
        all
    }

    fn asked(&self, templates: &[Value]) -> Option<String> {
        let mut names: Vec<&str> =
            templates.iter().filter_map(|template| template["metadata"]["name"].as_str()).collect();
        match self.requested {
            RequestedTemplates::All => Some(names.join(",")),
            RequestedTemplates::Reversed => {
                names.reverse();
                Some(names.join(" , "))
            }
            RequestedTemplates::One => names.pop().map(str::to_owned),
            RequestedTemplates::Nothing => None,
            RequestedTemplates::Text(text) => Some(text.to_owned()),
        }
    }
}

fn namespace() -> BoxedStrategy<Option<Namespace>> {
    let label = prop::option::weighted(0.8, prop_oneof![12 => Just("enabled"), 1 => Just("disabled")]);
    let default = prop::option::weighted(0.5, Just("alpha"));
    let known = (label, default).prop_map(|(label, default)| Namespace {
        name: "demo".to_owned(),
        labels: label.map(|value| (format!("{DOMAIN}/injection"), value.to_owned())).into_iter().collect(),
        annotations: default.map(|value| (INJECT.to_owned(), value.to_owned())).into_iter().collect(),
    });
    prop::option::weighted(0.4, known).boxed()
}

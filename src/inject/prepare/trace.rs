//! Tells of each requested template what was looked at: its `match`, its parameters, what it brings.
//!
//! Invariant: what holds is asked of the functions that prepare the injection.

use super::app_containers::AppContainers;
use super::conditions::{ParameterState, check_condition};
use super::{Preparation, PrepareError};
use crate::inject::decision::{Decider, RequestedTemplate};
use crate::inject::error::Problem;
use crate::inject::expression::{Root, convert};
use crate::inject::merge::RenderedTemplate;
use crate::inject::outcome::trace::{
    Brought, Check, CodedSentence, ParameterSource, ParameterTrace, TemplateTrace, TemplateVerdict,
};
use crate::inject::overlay::{OverlayPart, PartTarget};
use crate::inject::template::selector::LabelSelector;
use crate::inject::template::{RenderContext, Template};
use crate::inject::text::json::text;
use crate::inject::text::{one_line, quote};
use serde_json::Value;

/// Longest value that is shown, in characters.
const SHOWN_MAX: usize = 200;

impl<'t> Preparation<'t, '_> {
    /// The traces of all requested templates. Their verdicts are not known yet.
    pub(in crate::inject) fn trace(
        &self,
        decider: &Decider<'_>,
        requested: &[RequestedTemplate<'t>],
    ) -> Vec<TemplateTrace> {
        let app = AppContainers::new(self, requested, &mut Vec::new());
        requested.iter().map(|requested| self.trace_one(decider, requested, &app)).collect()
    }

    fn trace_one(
        &self,
        decider: &Decider<'_>,
        requested: &RequestedTemplate<'t>,
        app: &AppContainers<'_>,
    ) -> TemplateTrace {
        let mut trace = TemplateTrace {
            name: requested.name.clone(),
            requested_by: requested.by.traced(),
            verdict: TemplateVerdict::NotInjected,
            revision: requested.found.template().map(|template| template.revision.to_string()),
            checks: Vec::new(),
            parameters: Vec::new(),
            left_out_items: Vec::new(),
            brings: Vec::new(),
            problems: Vec::new(),
        };
        if let Some(done) = self.status.iter().find(|entry| entry.name == requested.name) {
            let found = format!("the pod's status lists revision {}", done.revision.as_str());
            trace.checks.push(Check::of("not injected before", found, false));
            trace.verdict = TemplateVerdict::AlreadyInjected;
            return trace;
        }
        trace.checks = decider.existence_checks(requested);
        let Some(template) = requested.found.template() else { return trace };
        trace.checks.extend(self.selector_checks(template));
        if self.check_selectors(template).is_err() {
            return trace;
        }
        let selected = app.selected_by(template);
        let (params, state, problems) = self.parameters(template, &selected);
        let context = self.context(&params, &selected);
        trace.checks.extend(condition_checks(template, &context, state));
        trace.parameters = self.parameter_traces(template, &context, &problems);
        trace.problems = coded(&problems);
        if state != ParameterState::Wrong {
            trace.left_out_items = template.left_out_items(&context);
        }
        match self.candidate(template, app, &mut Vec::new()) {
            Ok(rendered) => trace.brings = self.brings(&rendered),
            Err(PrepareError::NotAllowed(_)) => {}
            Err(PrepareError::Problems(found)) => trace.problems = coded(&found),
        }
        trace
    }

    /// Operating system and labels.
    fn selector_checks(&self, template: &Template) -> Vec<Check> {
        let matching = &template.matching;
        let os = self.pod.operating_system();
        let listed: Vec<&str> = matching.os.iter().map(|os| os.name()).collect();
        let mut checks = vec![Check::of(format!("match.os {}", listed.join(", ")), os.name(), template.runs_on(os))];
        checks.extend(requirement_checks("match.podSelector", &matching.pod_selector, |key| self.pod.label(key)));
        let selector = &matching.namespace_selector;
        match self.request.namespace_object {
            Some(namespace) => {
                let name = self.request.namespace;
                let label = |key: &str| super::conditions::namespace_label(namespace, name, key);
                checks.extend(requirement_checks("match.namespaceSelector", selector, label));
            }
            None if !selector.is_empty() => {
                checks.push(Check::of("match.namespaceSelector", "the namespace's labels are not known", false));
            }
            None => {}
        }
        checks
    }

    fn parameter_traces(
        &self,
        template: &'t Template,
        context: &RenderContext<'_>,
        problems: &[Problem],
    ) -> Vec<ParameterTrace> {
        let trace = |parameter: &crate::inject::template::parameters::Parameter| {
            let name = parameter.name();
            let annotation = self.keys.parameter(&template.name, name);
            let is_wrong = problems.iter().any(|problem| problem.annotation.as_deref() == Some(&annotation));
            let source = match (self.pod.annotation(&annotation), parameter.computed(), parameter.is_required()) {
                (Some(_), ..) => ParameterSource::Annotation,
                (None, Some(_), _) => ParameterSource::Computed,
                (None, None, true) => ParameterSource::Missing,
                (None, None, false) => ParameterSource::Default,
            };
            // While another parameter is wrong, those of the pod are not taken.
            let own = || parameter.parse(self.pod.annotation(&annotation)?).ok();
            let value = if is_wrong { None } else { own().or_else(|| context.params.get(name).cloned()) };
            ParameterTrace { name: name.to_owned(), value: value.map(|value| shown_value(&value)), source, annotation }
        };
        template.parameters.iter().map(trace).collect()
    }

    /// What the rendered template has.
    fn brings(&self, rendered: &RenderedTemplate<'_>) -> Vec<Brought> {
        let mut all = Vec::new();
        for part in OverlayPart::ALL {
            if !part.is_of_app() {
                all.extend(brought(part, rendered.overlay.value(part), None));
                continue;
            }
            for (position, place) in rendered.selected.iter().enumerate() {
                let name = text(self.container(place), "name");
                all.extend(brought(part, rendered.app_overlay(position).value(part), Some(name)));
            }
        }
        all
    }
}

/// Each condition, unless a wrong parameter keeps it from being evaluated.
fn condition_checks(template: &Template, context: &RenderContext<'_>, state: ParameterState) -> Vec<Check> {
    let check = |condition: &crate::inject::template::CompiledCondition| {
        let what = format!("match.conditions {}", quote(condition.expression.source()));
        if state == ParameterState::Wrong && condition.expression.reads().of(Root::Params).next().is_some() {
            return Check::told(what, "not evaluated: a parameter is wrong");
        }
        match check_condition(template, condition, context) {
            Ok(()) => Check::of(what, "true", true),
            Err(PrepareError::NotAllowed(why)) => Check::of(what, format!("false: {why}"), false),
            Err(PrepareError::Problems(found)) => {
                let why: Vec<String> = found.iter().map(|problem| problem.message.to_string()).collect();
                Check::of(what, why.join("; "), false)
            }
        }
    };
    template.matching.conditions.iter().map(check).collect()
}

/// Each requirement of a selector with the label's value.
fn requirement_checks<'l>(
    what: &str,
    selector: &'l LabelSelector,
    labels: impl Fn(&str) -> Option<&'l str>,
) -> Vec<Check> {
    let requirements = selector.requirements(labels).into_iter();
    requirements
        .map(|(requirement, found, holds)| {
            let found = found.map_or_else(|| "absent".to_owned(), quote);
            Check::of(format!("{what} {requirement}"), found, holds)
        })
        .collect()
}

/// Problems as a trace has them.
pub(in crate::inject) fn coded(problems: &[Problem]) -> Vec<CodedSentence> {
    let of = |problem: &Problem| CodedSentence {
        code: problem.code.code().to_owned(),
        sentence: problem.message.to_string(),
    };
    problems.iter().map(of).collect()
}

fn shown_value(value: &cel::Value) -> String {
    let json = convert::to_json(value).unwrap_or_default();
    one_line(&json.as_str().map_or_else(|| json.to_string(), str::to_owned), SHOWN_MAX)
}

/// The things of one part.
fn brought(part: OverlayPart, value: &Value, container: Option<&str>) -> Vec<Brought> {
    let of = |kind: &str, name: String, detail: String| Brought {
        kind: kind.to_owned(),
        name,
        detail: one_line(&detail, SHOWN_MAX),
        container: container.map(str::to_owned),
    };
    let items = || value.as_array().into_iter().flatten();
    let entries = || value.as_object().into_iter().flatten();
    match part.target() {
        PartTarget::Containers => {
            let kind = if part == OverlayPart::Sidecars { "sidecar" } else { "init container" };
            let mut all = Vec::new();
            for item in items() {
                let name = text(item, "name");
                all.push(of(kind, name.to_owned(), text(item, "image").to_owned()));
                for port in item.get("ports").and_then(Value::as_array).into_iter().flatten() {
                    let number = port.get("containerPort").map(Value::to_string).unwrap_or_default();
                    let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
                    let detail = text(port, "name").to_owned();
                    let port = of("port", format!("{number}/{protocol}"), detail);
                    all.push(Brought { container: Some(name.to_owned()), ..port });
                }
            }
            all
        }
        PartTarget::Volumes => items().map(|item| of("volume", text(item, "name").to_owned(), source(item))).collect(),
        PartTarget::Files => {
            let names = |item: &Value| {
                let items = item.get("items").and_then(Value::as_object).into_iter().flatten();
                items.map(|(name, _)| name.clone()).collect::<Vec<_>>().join(", ")
            };
            items().map(|item| of("files", text(item, "name").to_owned(), names(item))).collect()
        }
        PartTarget::AppList(field) => {
            items().map(|item| app_item(field, item)).map(|(kind, name, detail)| of(kind, name, detail)).collect()
        }
        PartTarget::AppDefaults => {
            entries().map(|(key, value)| of("default", key.clone(), value.to_string())).collect()
        }
        PartTarget::AppCommand => match value.as_array().is_some_and(|list| !list.is_empty()) {
            true => vec![of("command prefix", "command".to_owned(), value.to_string())],
            false => Vec::new(),
        },
        PartTarget::MetadataMap(field) => {
            let kind = field.strip_suffix('s').unwrap_or(field);
            entries().map(|(key, value)| of(kind, key.clone(), text_of(value))).collect()
        }
        PartTarget::SpecFields => {
            entries().map(|(key, value)| of("pod field", key.clone(), value.to_string())).collect()
        }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The kind of a volume's source.
fn source(volume: &Value) -> String {
    let keys = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    keys.filter(|key| *key != "name").collect::<Vec<_>>().join(", ")
}

/// An item of a list of the app: kind, name, detail.
fn app_item(field: &'static str, item: &Value) -> (&'static str, String, String) {
    match field {
        "volumeMounts" => ("mount", text(item, "mountPath").to_owned(), format!("volume {}", text(item, "name"))),
        "env" => {
            let detail = match (item.get("value"), item.get("valueFrom")) {
                (Some(value), _) => text_of(value),
                (None, Some(from)) => format!("from {from}"),
                (None, None) => String::new(),
            };
            ("env", text(item, "name").to_owned(), detail)
        }
        other => (other, item.to_string(), String::new()),
    }
}

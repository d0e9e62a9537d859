//! Warnings about a template that loads, but has a part that does nothing or not what it seems to.
//!
//! Errors are found elsewhere; fields that this build does not know are in `new_fields`.

use super::Template;
use crate::inject::overlay::OverlayPart;
use crate::inject::schema::has_expression;
use crate::inject::template::WarningKind;
use crate::inject::template::parameters::Parameter;
use crate::inject::text::json::{is_blank, items, text};
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value};
use serde_json::Value;

/// Objects of Helm's templates, which nothing replaces here.
const HELM: [&str; 6] = [".Values.", ".Release.", ".Chart.", ".Capabilities.", "include \"", "template \""];

/// One warning about a field.
#[derive(Clone, Debug)]
pub(super) struct Warning {
    pub kind: WarningKind,
    pub error: FieldError,
}

impl Warning {
    pub(super) fn new(kind: WarningKind, path: FieldPath, message: impl Into<Message>) -> Self {
        Self { kind, error: FieldError::new(path, message) }
    }
}

/// All warnings about a template and its spec as JSON.
pub(super) fn of(template: &Template, spec: &Value) -> Vec<Warning> {
    let path = FieldPath::root().child("spec");
    let mut warnings = unused_parameters(template, &path);
    warnings.extend(unused_volumes(spec, &path));
    warnings.extend(restart_policies(spec));
    warnings.extend(unread_expressions(spec, &path));
    for part in OverlayPart::ALL {
        helm(part_of(spec, part), &part.path(), &mut warnings);
    }
    warnings
}

fn part_of(spec: &Value, part: OverlayPart) -> &Value {
    part.spec_fields().iter().try_fold(spec, |value, field| value.get(*field)).unwrap_or(&Value::Null)
}

fn unused_parameters(template: &Template, path: &FieldPath) -> Vec<Warning> {
    let unused = template.parameters.iter().enumerate().filter(|(_, one)| !template.reads_parameter(one.name()));
    let warning = |(index, one): (usize, &Parameter)| {
        let path = path.child("parameters").index(index).child("name");
        let message = message!["no expression reads the parameter ", value(quote(one.name()))];
        Warning::new(WarningKind::UnusedParameter, path, message)
    };
    unused.map(warning).collect()
}

/// Volumes that nothing of the template mounts. A name that depends on an expression may be that of
/// any volume.
fn unused_volumes(spec: &Value, path: &FieldPath) -> Vec<Warning> {
    let mut mounted = Vec::new();
    for part in [OverlayPart::Sidecars, OverlayPart::InitContainers] {
        for container in part_of(spec, part).as_array().into_iter().flatten() {
            mounted.push(container);
            mounted.extend(["volumeMounts", "volumeDevices"].iter().filter_map(|field| container.get(*field)));
            mounted.extend(["volumeMounts", "volumeDevices"].iter().flat_map(|field| items(container, field)));
        }
    }
    mounted.extend(part_of(spec, OverlayPart::AppVolumeMounts).as_array().into_iter().flatten());
    let names: Vec<&str> = mounted.iter().map(|mount| mount.as_str().unwrap_or_else(|| text(mount, "name"))).collect();
    let mut warnings = Vec::new();
    for (list, kind) in [("volumes", WarningKind::UnusedVolume), ("files", WarningKind::UnusedFile)] {
        for (index, volume) in items(spec, list).iter().enumerate() {
            let name = text(volume, "name");
            let may_be_mounted = names.iter().any(|mount| *mount == name || has_expression(mount));
            if !name.is_empty() && !has_expression(name) && !may_be_mounted {
                let message = message!["no container of the template and none of the app mounts the volume "];
                let path = path.child(list).index(index).child("name");
                warnings.push(Warning::new(kind, path, message.with(value(quote(name)))));
            }
        }
    }
    warnings
}

/// The kind of a container decides its restart policy, whatever the template says.
fn restart_policies(spec: &Value) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for part in [OverlayPart::Sidecars, OverlayPart::InitContainers] {
        for (index, container) in part_of(spec, part).as_array().into_iter().flatten().enumerate() {
            let policy = text(container, "restartPolicy");
            let message = match part {
                OverlayPart::Sidecars if !matches!(policy, "" | "Always") => {
                    message![value(quote(policy)), " has no effect; sidecars are always restarted"]
                }
                OverlayPart::InitContainers if policy == "Always" => {
                    "a container that is always restarted is a sidecar; put it below spec.sidecars".into()
                }
                _ => continue,
            };
            let path = part.path().index(index).child("restartPolicy");
            warnings.push(Warning::new(WarningKind::NoEffect, path, message));
        }
    }
    warnings
}

/// Expressions in texts for people, where nothing evaluates them.
fn unread_expressions(spec: &Value, path: &FieldPath) -> Vec<Warning> {
    let matching = path.child("match").child("conditions");
    let messages = items(&spec["match"], "conditions").iter().enumerate();
    let messages = messages.map(|(index, one)| (text(one, "message"), matching.index(index).child("message")));
    let parameters = items(spec, "parameters").iter().enumerate();
    let parameters = parameters
        .map(|(index, one)| (text(one, "description"), path.child("parameters").index(index).child("description")));
    let description = std::iter::once((text(spec, "description"), path.child("description")));
    description
        .chain(messages)
        .chain(parameters)
        .filter(|(text, _)| has_expression(text))
        .map(|(_, path)| {
            let message = "expressions are not evaluated here; the text is shown as it is";
            Warning::new(WarningKind::NoEffect, path, message)
        })
        .collect()
}

/// Helm's `{{ … }}`, which reaches the pod as it is.
fn helm(found: &Value, path: &FieldPath, warnings: &mut Vec<Warning>) {
    match found {
        Value::String(text) if is_helm(text) => {
            let message = "\"{{ … }}\" of Helm is not evaluated here; it reaches the pod as it is";
            let error = FieldError::new(path.clone(), message).with_hint("parameters are read by \"${params.NAME}\"");
            warnings.push(Warning { kind: WarningKind::ForeignSyntax, error });
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(index, one)| helm(one, &path.index(index), warnings)),
        Value::Object(map) => map.iter().for_each(|(key, one)| helm(one, &path.child(key.as_str()), warnings)),
        _ => {}
    }
}

fn is_helm(text: &str) -> bool {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(inside, _)| inside);
    inside.into_iter().any(|inside| HELM.iter().any(|object| inside.contains(object)))
}

/// Whether a spec brings nothing into any pod. What `fromApp` copies goes into sidecars.
pub(super) fn brings_nothing(spec: &Value) -> bool {
    OverlayPart::ALL.into_iter().all(|part| is_blank(part_of(spec, part)))
}

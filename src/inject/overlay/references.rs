//! Checks what the parts of an overlay refer to in each other: the volumes of devices and
//! variables, and the grace period for hooks that sleep; and annotations with rules of their own.

use super::{Overlay, OverlayPart, SHARE, SamplePaths};
use crate::inject::schema::rules::grace;
use crate::inject::text::json::{items, text};
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value};
use serde_json::Value;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Adds all errors of references. Samples refer to nothing.
pub(super) fn check(overlay: &Overlay, samples: &SamplePaths, knows_volumes: bool, errors: &mut Vec<FieldError>) {
    let references = References { overlay, samples, knows_volumes };
    for part in [OverlayPart::Sidecars, OverlayPart::InitContainers] {
        for (index, container) in overlay.list(part).iter().enumerate() {
            let path = part.path().index(index);
            references.devices(container, &path, errors);
            references.variables(items(container, "env"), &path.child("env"), errors);
            references.sleeps(container, &path, errors);
        }
    }
    references.variables(overlay.list(OverlayPart::AppEnv), &OverlayPart::AppEnv.path(), errors);
    references.annotations(errors);
}

struct References<'a> {
    overlay: &'a Overlay,
    samples: &'a SamplePaths,
    knows_volumes: bool,
}

impl References<'_> {
    /// Reports a volume that is missing or has none of these sources.
    fn volume(&self, name: &str, path: FieldPath, sources: &[&str], expected: &'static str) -> Option<FieldError> {
        if !self.knows_volumes || self.samples.has(&path) {
            return None;
        }
        let Some(volume) = self.overlay.volumes().iter().find(|volume| text(volume, "name") == name) else {
            return Some(FieldError::new(path, message!["no volume ", value(quote(name)), " in spec.volumes"]));
        };
        if volume.get(SHARE).is_some() {
            let sentence = message!["volume ", value(quote(name)), " has share and can only be mounted"];
            return Some(FieldError::new(path, sentence));
        }
        // A volume without a source is an emptyDir.
        let is_empty = volume.as_object().is_some_and(|fields| fields.len() == 1);
        let fits = (is_empty && sources.contains(&"emptyDir"))
            || sources.iter().any(|source| volume.get(source).is_some_and(|source| !source.is_null()));
        let sentence = || message!["volume ", value(quote(name)), " cannot be used here; expected ", expected];
        (!fits).then(|| FieldError::new(path, sentence()))
    }

    fn devices(&self, container: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
        for (index, device) in items(container, "volumeDevices").iter().enumerate() {
            let path = path.child("volumeDevices").index(index).child("name");
            let expected = "a persistentVolumeClaim or ephemeral volume";
            errors.extend(self.volume(text(device, "name"), path, &["persistentVolumeClaim", "ephemeral"], expected));
        }
    }

    fn variables(&self, env: &[Value], path: &FieldPath, errors: &mut Vec<FieldError>) {
        for (index, variable) in env.iter().enumerate() {
            let Some(source) = variable.pointer("/valueFrom/fileKeyRef").filter(|source| source.is_object()) else {
                continue;
            };
            let path = path.index(index).child("valueFrom").child("fileKeyRef").child("volumeName");
            errors.extend(self.volume(text(source, "volumeName"), path, &["emptyDir"], "an emptyDir"));
        }
    }

    /// A hook may not sleep longer than the grace period that the template itself sets.
    fn sleeps(&self, container: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
        let field = grace::FIELD;
        let grace_path = OverlayPart::PodFields.path().child(field);
        let Some(period) = self.overlay.pod_fields().get(field).and_then(Value::as_i64) else { return };
        if self.samples.has(&grace_path) {
            return;
        }
        for (hook, seconds) in grace::sleeps_longer(container, period) {
            let path = path.child("lifecycle").child(hook).child("sleep").child("seconds");
            if !self.samples.has(&path) {
                let period = value(grace::effective(period));
                errors.push(FieldError::new(path, too_long(seconds, message!["spec.pod.", field, " ", period])));
            }
        }
    }

    /// `ValidatePodSpecificAnnotations`
    fn annotations(&self, errors: &mut Vec<FieldError>) {
        let path = OverlayPart::Annotations.path();
        for (key, content) in self.overlay.annotations() {
            let path = path.key(key.as_str());
            let Some(content) = content.as_str().filter(|_| !self.samples.has(&path)) else { continue };
            let sentence = match key.as_str() {
                DELETION_COST if !is_cost(content) => message![value(quote(content)), " is no integer of 32 bits"],
                MIRROR => message!["only the kubelet creates mirror pods"],
                _ => continue,
            };
            errors.push(FieldError::new(path, sentence));
        }
    }
}

/// The sentence for a hook that sleeps too long.
pub(crate) fn too_long(seconds: i64, period: Message) -> Message {
    message!["a sleep of ", value(seconds), " seconds is longer than ", period]
}

/// An integer without a sign or zeros before it, as kube-apiserver parses it.
fn is_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|cost| cost.to_string() == text)
}

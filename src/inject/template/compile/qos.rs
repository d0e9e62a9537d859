//! Checks that the containers of a template with `qos: Keep` have the limits that this needs.

use crate::inject::overlay::{Overlay, OverlayPart, SamplePaths};
use crate::inject::pod::qos_class::{self, RESOURCES};
use crate::inject::template::spec::{Qos, TemplateSpec};
use crate::inject::text::{FieldError, message};

/// The errors of containers without a limit of cpu or memory. Limits that depend on the pod are
/// checked for each pod.
pub(super) fn check(spec: &TemplateSpec, overlay: &Overlay, samples: &SamplePaths) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if spec.qos != Qos::Keep {
        return errors;
    }
    for part in [OverlayPart::Sidecars, OverlayPart::InitContainers] {
        for (index, container) in overlay.list(part).iter().enumerate() {
            let path = part.path().index(index);
            let steps = [path.clone(), path.child("resources"), path.child("resources").child("limits")];
            if steps.iter().any(|step| samples.has(step)) {
                continue;
            }
            let limits = &steps[2];
            for resource in RESOURCES.into_iter().filter(|name| !samples.contain(&limits.child(*name))) {
                if !qos_class::has_limit(container.get("resources"), resource) {
                    let needs = message!["\"qos: Keep\" needs a limit of ", resource, " above 0"];
                    errors.push(FieldError::new(limits.clone(), needs));
                }
            }
        }
    }
    errors
}

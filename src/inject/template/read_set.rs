//! The read set of a template: the pod fields that its merge and its conditions read.

use crate::inject::expression::{Reads, Root};
use crate::inject::overlay::{Overlay, OverlayPart};
use crate::inject::pod::read_set::{LISTS_READ_IN_PART, ReadSet};
use crate::inject::text::json::text;
use serde_json::Value;
use std::collections::BTreeSet;

/// The fields of `app.defaults` that not every template reads.
const OF_DEFAULTS: [&str; 6] =
    ["securityContext", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "terminationMessagePolicy"];

/// The read set of a template with this overlay. `None` if a condition can read more than metadata
/// and single fields of the spec.
pub(super) fn of<'r>(overlay: &Overlay, conditions: impl Iterator<Item = &'r Reads>) -> Option<ReadSet> {
    let mut read_set = ReadSet {
        spec_fields: overlay.pod_fields().keys().cloned().collect(),
        volumes: overlay.volume_names().map(str::to_owned).collect(),
        has_volume_sources: overlay.shares_volumes(),
        containers: overlay.container_names().map(str::to_owned).collect(),
        ..ReadSet::default()
    };
    if read_set.spec_fields.contains("priorityClassName") {
        read_set.spec_fields.extend(["priority", "preemptionPolicy"].map(str::to_owned));
    }
    if read_set.spec_fields.contains("setHostnameAsFQDN") {
        read_set.spec_fields.insert("hostnameOverride".to_owned());
    }
    let lists = overlay.app_lists().filter(|(_, items)| !items.is_empty());
    read_set.container_fields.extend(lists.map(|(field, _)| field));
    let defaults = OF_DEFAULTS.into_iter().filter(|field| overlay.app_defaults().contains_key(*field));
    read_set.container_fields.extend(defaults);
    if !overlay.app_prepend_command().is_empty() {
        read_set.container_fields.insert("command");
    }
    if read_set.container_fields.contains("env") {
        read_set.container_fields.insert("envFrom");
    }
    // Only a privileged container may have such a mount.
    let propagates = |mount: &Value| text(mount, "mountPropagation") == "Bidirectional";
    if overlay.list(OverlayPart::AppVolumeMounts).iter().any(propagates) {
        read_set.container_fields.insert("securityContext");
    }
    for reads in conditions {
        add(&mut read_set, reads)?;
    }
    let is_single = |field: &String| !LISTS_READ_IN_PART.contains(&field.as_str());
    read_set.spec_fields.iter().all(is_single).then_some(read_set)
}

/// The fields of the pod's spec that are read, if nothing else but parameters is read.
pub(super) fn single_fields(reads: &Reads) -> Option<BTreeSet<String>> {
    let others = [Root::App, Root::Apps, Root::Container, Root::Namespace, Root::Cluster, Root::Templates];
    if others.into_iter().any(|root| reads.has(root)) {
        return None;
    }
    let field = |path: &[String]| match path {
        [spec, field, ..] if spec == "spec" && !LISTS_READ_IN_PART.contains(&field.as_str()) => Some(field.clone()),
        _ => None,
    };
    reads.of(Root::Pod).map(field).collect()
}

fn add(read_set: &mut ReadSet, reads: &Reads) -> Option<()> {
    if reads.of(Root::App).chain(reads.of(Root::Apps)).next().is_some() {
        return None;
    }
    for path in reads.of(Root::Pod) {
        match path {
            [spec, field, ..] if spec == "spec" => {
                read_set.spec_fields.insert(field.clone());
            }
            [metadata, ..] if metadata == "metadata" => {}
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::expression::{Declarations, Expression};
    use serde_json::json;

    fn read_set(condition: &str) -> Option<ReadSet> {
        let condition = Expression::compile(condition, &Declarations::untyped(&[])).expect("an expression");
        let overlay = Overlay::default()
            .with(OverlayPart::Sidecars, json!([{"name": "log"}]))
            .with(OverlayPart::Volumes, json!([{"name": "logs"}]))
            .with(OverlayPart::AppVolumeMounts, json!([{"name": "logs", "mountPath": "/logs"}]));
        of(&overlay, [condition.reads()].into_iter())
    }

    #[test]
    fn the_read_set_contains_merged_fields_and_those_of_conditions() {
        let read_set = read_set("pod.spec.priority == 0 && 'a' in pod.metadata.labels").expect("single fields");
        assert!(read_set.spec_fields.iter().eq(["priority"]));
        assert!(read_set.container_fields.iter().eq(&["volumeMounts"]));
        assert!(read_set.containers.iter().eq(["log"]) && read_set.volumes.iter().eq(["logs"]));
    }

    #[test]
    fn a_template_that_may_share_a_volume_reads_the_sources_of_all() {
        let of_volume = |volume: Value| {
            let overlay = Overlay::default().with(OverlayPart::Volumes, json!([volume]));
            of(&overlay, std::iter::empty()).expect("a read set").has_volume_sources
        };
        assert!(of_volume(json!({"name": "logs", "share": {"mountedAt": "/logs"}})));
        assert!(!of_volume(json!({"name": "logs", "emptyDir": {}})));
    }

    #[test]
    fn a_condition_on_containers_needs_the_whole_pod() {
        for condition in ["size(pod.spec.containers) == 1", "has(app.image)", "size(apps) > 0", "size(pod.spec) > 3"] {
            assert_eq!(read_set(condition), None, "{condition}");
        }
    }
}

//! Which parts of a pod a template can look at, so that the rest of the pod need not be made into a tree.
//!
//! Invariant: what is put in does not depend on anything outside the reach, as long as [`Reach::suffices`] says so: containers
//! and volumes that the pod and the template both name are compared as a whole.

use super::AUTO;
use super::{ContainerList, PodDocument};
use crate::inject::expression::{Reads, Root};
use crate::inject::overlay::Overlay;
use crate::inject::text::json::text;
use std::collections::BTreeSet;

/// Of each container.
const ALWAYS_OF_CONTAINERS: [&str; 5] = ["name", "image", "ports", "restartPolicy", "volumeMounts"];
/// Of the spec, besides the lists that are read in part.
const ALWAYS_OF_SPEC: [&str; 4] = ["hostNetwork", "os", "nodeSelector", "automountServiceAccountToken"];
/// Lists of the spec that are read in part.
const IN_PART: [&str; 4] = ["containers", "initContainers", "ephemeralContainers", "volumes"];

/// What a template whose rendering is the same for all pods looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    spec_fields: BTreeSet<String>,
    container_fields: BTreeSet<&'static str>,
    /// Names of the containers and volumes that it brings.
    containers: BTreeSet<String>,
    volumes: BTreeSet<String>,
}

impl Reach {
    /// `None` where an expression may look at more than single fields of the spec.
    pub fn new<'r>(overlay: &Overlay, conditions: impl Iterator<Item = &'r Reads>) -> Option<Self> {
        let names = |items: &[serde_json::Value]| items.iter().map(|item| text(item, "name").to_owned()).collect();
        let mut reach = Self {
            spec_fields: overlay.pod.keys().cloned().collect(),
            volumes: names(&overlay.volumes),
            containers: overlay.container_names().map(str::to_owned).collect(),
            ..Self::default()
        };
        if reach.spec_fields.contains("priorityClassName") {
            reach.spec_fields.extend(["priority", "preemptionPolicy"].map(str::to_owned));
        }
        let lists = [("env", &overlay.env), ("envFrom", &overlay.env_from), ("volumeMounts", &overlay.volume_mounts)];
        reach.container_fields.extend(lists.iter().filter(|(_, items)| !items.is_empty()).map(|(field, _)| *field));
        for reads in conditions {
            reach.add(reads)?;
        }
        reach.spec_fields.iter().all(|field| !IN_PART.contains(&field.as_str())).then_some(reach)
    }

    /// Lets it look at these lists of containers as well.
    #[must_use]
    pub fn with_container_fields(mut self, fields: impl IntoIterator<Item = &'static str>) -> Self {
        self.container_fields.extend(fields);
        self
    }

    fn add(&mut self, reads: &Reads) -> Option<()> {
        if reads.of(Root::App).chain(reads.of(Root::Apps)).next().is_some() {
            return None;
        }
        for path in reads.of(Root::Pod) {
            match path {
                [spec, field, ..] if spec == "spec" => self.spec_fields.insert(field.clone()),
                [metadata, ..] if metadata == "metadata" => false,
                _ => return None,
            };
        }
        Some(())
    }

    pub fn has_spec_field(&self, field: &str) -> bool {
        ALWAYS_OF_SPEC.contains(&field) || self.spec_fields.contains(field)
    }

    pub fn has_container_field(&self, field: &str) -> bool {
        ALWAYS_OF_CONTAINERS.contains(&field) || self.container_fields.contains(field)
    }

    /// Whether nothing in the pod has to be compared as a whole with what the template brings.
    pub fn suffices(&self, pod: &PodDocument) -> bool {
        let is_apart = |container: &serde_json::Value| {
            text(container, "image") != AUTO && !self.containers.contains(text(container, "name"))
        };
        [ContainerList::Containers, ContainerList::InitContainers]
            .into_iter()
            .all(|list| pod.containers(list).iter().all(is_apart))
            && pod.spec_items("volumes").iter().all(|volume| !self.volumes.contains(text(volume, "name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::expression::Expression;
    use serde_json::json;

    fn reach(condition: &str) -> Option<Reach> {
        let condition = Expression::compile(condition, &[]).expect("an expression");
        let overlay = Overlay {
            sidecars: vec![json!({"name": "log"})],
            volumes: vec![json!({"name": "logs"})],
            volume_mounts: vec![json!({"name": "logs", "mountPath": "/logs"})],
            ..Overlay::default()
        };
        Reach::new(&overlay, [condition.reads()].into_iter())
    }

    #[test]
    fn it_holds_what_is_merged_and_what_conditions_read() {
        let reach = reach("pod.spec.priority == 0 && 'a' in pod.metadata.labels").expect("single fields");
        assert!(reach.has_spec_field("priority") && reach.has_spec_field("hostNetwork"));
        assert!(!reach.has_spec_field("tolerations"));
        assert!(reach.has_container_field("volumeMounts") && reach.has_container_field("image"));
        assert!(!reach.has_container_field("env"));
        assert!(reach.with_container_fields(["env"]).has_container_field("env"));
    }

    #[test]
    fn a_condition_on_containers_needs_the_whole_pod() {
        for condition in ["size(pod.spec.containers) == 1", "has(app.image)", "size(apps) > 0", "size(pod.spec) > 3"] {
            assert_eq!(reach(condition), None, "{condition}");
        }
    }

    #[test]
    fn names_in_common_need_the_whole_pod() {
        let reach = reach("true").expect("no fields");
        let suffices = |spec: serde_json::Value| {
            reach.suffices(&PodDocument::parse(&json!({"spec": spec}).to_string()).expect("a pod"))
        };
        let web = json!({"name": "web", "image": "web:1"});
        assert!(suffices(json!({"containers": [web], "volumes": [{"name": "data"}]})));
        assert!(!suffices(json!({"containers": [web], "volumes": [{"name": "logs"}]})));
        assert!(!suffices(json!({"containers": [web], "initContainers": [{"name": "log"}]})));
        assert!(!suffices(json!({"containers": [{"name": "web", "image": "auto"}]})));
    }
}

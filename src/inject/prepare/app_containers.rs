//! Finds the app's containers in a pod, and those of them that a template changes.

use super::Preparation;
use crate::inject::annotations::{self, DEFAULT_CONTAINER};
use crate::inject::decision::RequestedTemplate;
use crate::inject::decision::report::annotation_problem;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::pod::{ContainerList, PodDocument};
use crate::inject::status::StatusEntry;
use crate::inject::template::Template;
use crate::inject::template::spec::{ContainerSelection, SelectionKeyword};
use crate::inject::text::json::text;
use crate::inject::text::{Message, listed, message, quote, value};
use serde_json::Value;
use std::collections::BTreeSet;

/// The app's containers among those of a pod.
pub(super) struct AppContainers<'p> {
    pod: &'p PodDocument,
    /// Names of other containers: injected by an earlier pass, with `image: auto`, or with the name
    /// of a sidecar.
    foreign: BTreeSet<&'p str>,
    /// Names in the pod's annotation, if it has one: then only these are selected.
    named: Option<Vec<String>>,
}

impl<'p> AppContainers<'p> {
    pub(super) fn new<'t: 'p>(
        preparation: &'p Preparation<'t, '_>,
        requested: &[RequestedTemplate<'t>],
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut foreign: BTreeSet<&str> = preparation.status.iter().flat_map(StatusEntry::container_names).collect();
        foreign.extend(preparation.auto_containers());
        for requested in requested {
            if let Some(template) = requested.found.template() {
                foreign.extend(template.container_names());
            }
        }
        Self { pod: preparation.pod, foreign, named: named(preparation, problems) }
    }

    /// The containers that the template changes, by list and position. The first is `app`: the one
    /// that the pod's annotation names as its default container, or else the first in the pod.
    pub(super) fn selected_by(&self, template: &Template) -> Vec<(ContainerList, usize)> {
        let own = |list: ContainerList| {
            let all = self.pod.containers(list).iter().enumerate();
            all.map(move |(index, container)| ((list, index), text(container, "name")))
                .filter(|(_, name)| !self.foreign.contains(*name))
        };
        let is_named = |name: &str| self.named.as_ref().is_none_or(|names| names.iter().any(|one| one == name));
        let default = self.pod.annotation(DEFAULT_CONTAINER);
        let is_default =
            |(list, index): &(ContainerList, usize)| Some(text(&self.pod.containers(*list)[*index], "name")) == default;
        let containers = own(ContainerList::Containers).filter(|(_, name)| is_named(name));
        let mut selected: Vec<_> = match &template.spec.app.containers {
            ContainerSelection::Keyword(SelectionKeyword::All | SelectionKeyword::First) => {
                containers.map(|(place, _)| place).collect()
            }
            ContainerSelection::Names(names) => {
                containers.filter(|(_, name)| names.iter().any(|one| one == name)).map(|(place, _)| place).collect()
            }
        };
        // The default container is the first one, wherever it stands in the pod.
        if let Some(position) = selected.iter().position(is_default) {
            selected[..=position].rotate_right(1);
        }
        if template.spec.app.containers == ContainerSelection::Keyword(SelectionKeyword::First) {
            selected.truncate(1);
        }
        if template.spec.app.init_containers {
            selected.extend(own(ContainerList::InitContainers).map(|(place, _)| place));
        }
        selected
    }
}

/// The app's containers that the pod's annotation names. Each must exist.
fn named(preparation: &Preparation<'_, '_>, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
    let key = &preparation.keys.containers;
    let (_, list) = preparation.pod.annotations().find(|(one, _)| one == key)?;
    let mut add = |code, why: Message| problems.push(annotation_problem(code, key, Message::default(), why));
    let names = match annotations::parse_list(list) {
        Ok(names) => names,
        Err(why) => {
            add(ErrorCode::AnnotationInvalid, why);
            return Some(Vec::new());
        }
    };
    let containers = preparation.pod.containers(ContainerList::Containers);
    let has = names_of(containers);
    if names.is_empty() {
        add(ErrorCode::ContainerNotFound, message!["the list of containers is empty; the pod has ", value(&has)]);
    }
    let known: BTreeSet<&str> = containers.iter().map(|container| text(container, "name")).collect();
    for name in names.iter().filter(|name| !known.contains(name.as_str())) {
        let message = message!["the pod has no container ", value(quote(name)), "; it has ", value(&has)];
        add(ErrorCode::ContainerNotFound, message);
    }
    Some(names)
}

/// Names of containers, as messages list them.
fn names_of(containers: &[Value]) -> String {
    let names: Vec<String> = containers.iter().map(|container| quote(text(container, "name"))).collect();
    listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

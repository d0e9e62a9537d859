//! Warns about additions to a container of the app that do not do what their template says.

use super::Planner;
use crate::inject::pod::ContainerList;
use crate::inject::schema::merge_keys::clean_path;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::text::json::{items, text};
use crate::inject::text::references::references;
use crate::inject::text::{Message, listed, message, quote, value};
use serde_json::Value;
use std::borrow::Cow;

impl Planner<'_> {
    /// Warns about variables that are added to a container between others.
    pub(super) fn warn_of_env(
        &mut self,
        candidate: usize,
        place: (ContainerList, usize),
        (before, after): (&[Cow<'_, Value>], &[Cow<'_, Value>]),
        new: &[Value],
    ) {
        let container = &self.pod.containers(place.0)[place.1];
        let path = MergePath::of([place.0.field(), text(container, "name"), "env"]);
        let is_new = |name: &str| new.iter().any(|variable| text(variable, "name") == name);
        for variable in before {
            for name in references(text(variable, "value")).filter(|name| is_new(name)) {
                let message = message![
                    value(path.child(text(variable, "name"))),
                    ": $(",
                    value(quote(name).trim_matches('"')),
                    ") stays literal text, because the template's variable is added after it; use the variable in args or \
                     command, define both in the pod, or set app.envPosition: First in the template",
                ];
                self.warn(candidate, message);
            }
        }
        let stands_after = |name: &str| after.iter().any(|variable| text(variable, "name") == name) && !is_new(name);
        for variable in new.iter().filter(|_| !after.is_empty()) {
            for name in references(text(variable, "value")).filter(|name| stands_after(name)) {
                let message = message![
                    value(path.child(text(variable, "name"))),
                    ": $(",
                    value(quote(name).trim_matches('"')),
                    ") stays literal text, because app.envPosition: First puts the variable before those of the container",
                ];
                self.warn(candidate, message);
            }
        }
        if items(container, "envFrom").is_empty() {
            return;
        }
        let names: Vec<String> = new.iter().map(|variable| quote(text(variable, "name"))).collect();
        let names = listed(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let container = value(quote(text(container, "name")));
        let rest: Message = ", whose variables are not known here; the template's value replaces any of ".into();
        self.warn(candidate, message!["container ", container, " has envFrom", rest, value(names)]);
    }

    /// Warns about mounts below a mount of the container, which hide its files.
    pub(super) fn warn_of_hidden_files(&mut self, candidate: usize, place: (ContainerList, usize), new: &[Value]) {
        let container = &self.pod.containers(place.0)[place.1];
        for mount in new {
            let path = clean_path(text(mount, "mountPath"));
            let is_above = |own: &&str| path.strip_prefix(*own).is_some_and(|rest| rest.starts_with('/'));
            let own = items(container, "volumeMounts").iter().map(|own| clean_path(text(own, "mountPath")));
            let Some(above) = own.filter(is_above).max_by_key(|own| own.len()) else { continue };
            let message = message![
                "container ",
                value(quote(text(container, "name"))),
                ": the template's volume at ",
                value(quote(path)),
                " hides the files of the app's volume at ",
                value(quote(above)),
                " there; mount it outside of that path",
            ];
            self.warn(candidate, message);
        }
    }
}

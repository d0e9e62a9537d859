//! Fills fields of the app's containers that have none (`app.defaults`).
//!
//! A field that the container inherits from the pod counts as its own. Where a default contradicts
//! another field of the container it is left out, with a warning: the API server would refuse the
//! pod, or the kubelet not start the container.
//!
//! Invariant: nothing that the container has is changed, so that defaults never conflict with a pod.

use super::defaults::is_default;
use super::harden::may_escalate;
use super::{Location, Planner, is_empty_value};
use crate::inject::pod::ContainerList;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::text::json::text;
use crate::inject::text::quantity::{self, Quantity};
use crate::inject::text::{Message, message, value};
use serde_json::{Map, Value};

/// Fields of a security context that a container inherits from the pod.
const INHERITED: [&str; 7] = [
    "seLinuxOptions",
    "windowsOptions",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "seccompProfile",
    "appArmorProfile",
];

/// Why an entry is not filled in.
enum Obstacle {
    /// The container has it, though not in this field.
    Present,
    /// It contradicts this field of the container.
    Contradiction(Message),
}

/// A map of the container whose entries are filled in one by one.
struct Entries<'a> {
    /// The name of the map, as the table of the API server's defaults has it.
    name: &'static str,
    location: Location,
    found: Option<&'a Value>,
}

impl<'a> Entries<'a> {
    fn below(&self, field: &'static str) -> Self {
        let found = self.found.and_then(|found| found.get(field));
        Self { name: field, location: self.location.child(field), found }
    }
}

impl<'a> Planner<'a> {
    /// Fills fields of a container of the app.
    pub(super) fn app_defaults(
        &mut self,
        candidate: usize,
        place: (ContainerList, usize),
        wanted: &Map<String, Value>,
    ) {
        if wanted.is_empty() {
            return;
        }
        let container = &self.pod.containers(place.0)[place.1];
        let location = Location::container(place.0, place.1, text(container, "name"));
        let whole = Entries { name: "", location, found: Some(container) };
        let runs_once = place.0 == ContainerList::InitContainers && text(container, "restartPolicy") != "Always";
        for (field, wanted) in wanted {
            match (field.as_str(), wanted) {
                ("securityContext", Value::Object(wanted)) => {
                    self.fill_map(candidate, &whole.below("securityContext"), wanted, Self::obstacle_to_context);
                }
                ("resources", Value::Object(wanted)) => self.fill_resources(candidate, &whole, wanted),
                ("lifecycle" | "livenessProbe" | "readinessProbe" | "startupProbe", _) if runs_once => {}
                ("lifecycle", Value::Object(wanted)) => {
                    self.fill_map(candidate, &whole.below("lifecycle"), wanted, |_, _, _, _| None);
                }
                _ => self.fill_entry(candidate, &whole, field, wanted),
            }
        }
    }

    /// Fills the entries of a map that the container lacks.
    fn fill_map(
        &mut self,
        candidate: usize,
        entries: &Entries<'a>,
        wanted: &Map<String, Value>,
        obstacle: impl Fn(&Self, &Entries<'a>, &str, &Value) -> Option<Obstacle>,
    ) {
        self.change_below(candidate, &entries.location.path, entries.found, |planner| {
            for (key, wanted) in wanted {
                match planner
                    .own(entries, key, wanted)
                    .map_or_else(|| obstacle(planner, entries, key, wanted), |_| None)
                {
                    None => planner.fill_entry(candidate, entries, key, wanted),
                    Some(Obstacle::Present) => {}
                    Some(Obstacle::Contradiction(why)) => {
                        let path = value(entries.location.path.child(key));
                        planner.warn(candidate, message![path, ": the default is left out, because ", why]);
                    }
                }
            }
        });
    }

    /// Fills one entry, if the container lacks it.
    fn fill_entry(&mut self, candidate: usize, entries: &Entries<'a>, key: &str, wanted: &Value) {
        if is_empty_value(wanted) || self.own(entries, key, wanted).is_some() {
            return;
        }
        let unset = entries.found.and_then(|found| found.get(key));
        let path = entries.location.path.child(key);
        if unset == Some(wanted) || self.is_wanted_already(candidate, entries.name, &path, wanted) {
            return;
        }
        if !self.must_add(candidate, &path, wanted, None) {
            return;
        }
        if unset.is_some_and(|unset| !unset.is_null() && is_empty_value(unset)) {
            self.entry(candidate).added.push(path.clone());
        }
        self.record_value(candidate, path, unset);
        self.set(entries.location.pointer.clone(), key, wanted.clone());
    }

    /// Whether an earlier template brings the same amount of a resource, perhaps in another spelling.
    fn is_wanted_already(&mut self, candidate: usize, map: &str, path: &MergePath, wanted: &Value) -> bool {
        let is_same = matches!(map, "limits" | "requests")
            && self.wanted.get(path).is_some_and(|(_, earlier)| quantity::same(earlier, wanted));
        if is_same {
            self.plan.shared.insert(candidate);
        }
        is_same
    }

    /// The container's own entry: not an empty one, and none that the API server has filled in. An empty
    /// list or map where another kind of value belongs is none that an API server sends; it stays.
    fn own(&self, entries: &Entries<'a>, key: &str, wanted: &Value) -> Option<&'a Value> {
        let found = entries.found?.as_object()?;
        let is_of_kind = |own: &Value| std::mem::discriminant(own) == std::mem::discriminant(wanted);
        let is_unset = |own: &Value| own.is_null() || (is_empty_value(own) && is_of_kind(own));
        found.get(key).filter(|own| !is_unset(own) && !is_default(entries.name, key, own, found))
    }

    fn fill_resources(&mut self, candidate: usize, container: &Entries<'a>, wanted: &Map<String, Value>) {
        let resources = container.below("resources");
        self.change_below(candidate, &resources.location.path, resources.found, |planner| {
            for (field, wanted) in wanted {
                match (field.as_str(), wanted) {
                    ("limits", Value::Object(wanted)) => {
                        planner.fill_map(candidate, &resources.below("limits"), wanted, |planner, _, name, limit| {
                            planner.obstacle_to_limit(resources.found, name, limit)
                        })
                    }
                    ("requests", Value::Object(wanted)) => {
                        planner.fill_map(candidate, &resources.below("requests"), wanted, |planner, _, name, _| {
                            planner.obstacle_to_request(resources.found, name)
                        })
                    }
                    _ => planner.fill_entry(candidate, &resources, field, wanted),
                }
            }
        });
    }

    /// A limit stands for a request that is absent: the API server fills it in.
    fn obstacle_to_request(&self, own: Option<&Value>, resource: &str) -> Option<Obstacle> {
        (self.is_of_pod(resource) || amount(own, "limits", resource).is_some()).then_some(Obstacle::Present)
    }

    fn obstacle_to_limit(&self, own: Option<&Value>, resource: &str, limit: &Value) -> Option<Obstacle> {
        if self.is_of_pod(resource) {
            return Some(Obstacle::Present);
        }
        let own = amount(own, "requests", resource)?;
        let is_above = Quantity::from_json(own).ok()? > Quantity::from_json(limit).ok()?;
        let request = value(own.as_str().map_or_else(|| own.to_string(), str::to_owned));
        is_above.then(|| Obstacle::Contradiction(message!["the container requests ", request, ", which is more"]))
    }

    /// Whether the pod has an amount of this resource for all its containers together.
    fn is_of_pod(&self, resource: &str) -> bool {
        let of_pod = self.pod.spec_field("resources");
        ["limits", "requests"].iter().any(|field| amount(of_pod, field, resource).is_some())
    }

    fn obstacle_to_context(&self, entries: &Entries<'a>, key: &str, wanted: &Value) -> Option<Obstacle> {
        if INHERITED.contains(&key) && self.inherited.find(|context| context.get(key)).is_some() {
            return Some(Obstacle::Present);
        }
        let own = entries.found.unwrap_or(&Value::Null);
        let is_own = |key: &str, wanted: bool| own.get(key) == Some(&Value::Bool(wanted));
        let inherits = |key: &str, wanted: bool| {
            let inherited = self.inherited.find(|context| context.get(key));
            own.get(key).filter(|own| !own.is_null()).or(inherited) == Some(&Value::Bool(wanted))
        };
        let root = if own.get("runAsUser").is_some_and(|user| *user == 0) {
            Some("runAsUser: 0")
        } else {
            self.inherited.root_user(own)
        };
        let adds_administrator = || may_escalate(&Value::from(Map::from_iter([(key.to_owned(), wanted.clone())])));
        let why: Message = match (key, wanted) {
            ("runAsNonRoot", Value::Bool(true)) => message!["the container has ", root?],
            ("runAsUser", user) if *user == 0 && inherits("runAsNonRoot", true) => {
                "the container has runAsNonRoot: true".into()
            }
            ("allowPrivilegeEscalation", Value::Bool(false)) if may_escalate(own) => {
                "the container is privileged, or has the capability SYS_ADMIN".into()
            }
            ("privileged" | "capabilities", _) if is_own("allowPrivilegeEscalation", false) && adds_administrator() => {
                "the container has allowPrivilegeEscalation: false".into()
            }
            _ => return None,
        };
        Some(Obstacle::Contradiction(why))
    }
}

/// An amount of a resource in `limits` or `requests`.
fn amount<'v>(resources: Option<&'v Value>, field: &str, resource: &str) -> Option<&'v Value> {
    resources?.get(field)?.get(resource).filter(|amount| !amount.is_null())
}

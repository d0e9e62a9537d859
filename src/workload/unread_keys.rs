//! Keys that look like ours where nothing reads them: of the workload, of a namespace.
//!
//! The engine judges the keys of a pod; it never sees the others.

use serde_json::Value;

use super::find::PodLocation;
use super::finding::{Finding, FindingCode};
use super::stray_keys::{self, StrayKey};
use crate::inject::text::{Message, message, quote, value, words};
use crate::inject::{Injector, KeyPlace, KeyUse};

/// The keys in the object around a pod that nothing reads. A key that stands at its right place as
/// well is left out. The engine judges the keys of the pod itself.
pub(super) fn of_workload(
    injector: &Injector,
    namespace: &str,
    location: &PodLocation,
    object: &Value,
    template: &Value,
) -> Vec<Finding> {
    let templates = injector.templates().visible_in(namespace);
    let check = injector.key_check(&templates);
    let right = location.field(&["metadata", "annotations"]);
    let labels = location.field(&["metadata", "labels"]);
    let own = template.pointer("/metadata/annotations").and_then(Value::as_object);
    let is_read = |key: &str| own.is_some_and(|own| own.contains_key(key));
    let place = |path: &str| match path {
        path if path.ends_with("labels") => KeyPlace::OtherLabel,
        _ => KeyPlace::OtherAnnotation,
    };
    let strays = stray_keys::all(object, |key| check.key(KeyPlace::OtherAnnotation, key) != KeyUse::Foreign);
    let strays = strays.into_iter().filter(|StrayKey { path, key }| *path != right && *path != labels && !is_read(key));
    strays
        .filter_map(|StrayKey { path, key }| {
            let place = place(&path);
            finding(&key, place, &path, &right, check.key(place, &key))
        })
        .collect()
}

/// The keys of a Namespace object that nothing reads.
pub fn of_namespace(injector: &Injector, namespace: &Value) -> Vec<Finding> {
    let name = namespace.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let templates = injector.templates().visible_in(name);
    let check = injector.key_check(&templates);
    let mut findings = Vec::new();
    for (map, place) in [("annotations", KeyPlace::NamespaceAnnotation), ("labels", KeyPlace::NamespaceLabel)] {
        let entries = namespace.pointer(&format!("/metadata/{map}")).and_then(Value::as_object);
        let unread = check.unread(place, entries.into_iter().flatten().map(|(key, _)| key.as_str()));
        findings.extend(unread.iter().map(|key| Finding::warning(FindingCode::KeyUnread, key.sentence())));
    }
    findings
}

fn finding(key: &str, place: KeyPlace, path: &str, right: &str, found: KeyUse) -> Option<Finding> {
    let subject = message![place.kind(), " ", words(key)];
    let unread = || message![subject.clone(), " in ", value(path), ": nothing reads this key"];
    let of_namespace = |belongs| matches!(belongs, KeyPlace::NamespaceLabel | KeyPlace::NamespaceAnnotation);
    let is_label = place == KeyPlace::OtherLabel;
    let (code, message): (_, Message) = match found {
        KeyUse::Foreign | KeyUse::Read => return None,
        KeyUse::Unread => (FindingCode::KeyUnread, unread()),
        KeyUse::Near { meant, belongs, .. } | KeyUse::OtherDomain { meant, belongs } => {
            let at = if of_namespace(belongs) { words("of the namespace") } else { message!["in ", words(right)] };
            let hint = message!["; did you mean ", value(quote(&meant)), " ", at, "?"];
            (FindingCode::KeyUnread, unread().with(hint))
        }
        KeyUse::Misplaced { belongs } if of_namespace(belongs) => {
            let message = message![subject, " has no effect in ", value(path), "; it belongs to the namespace"];
            (FindingCode::KeyMisplaced, message)
        }
        KeyUse::Misplaced { .. } | KeyUse::NotRequested { .. } => {
            let advice = if is_label { "; it must be an annotation in " } else { "; move it to " };
            let message = message![subject, " has no effect in ", value(path), advice, words(right)];
            (FindingCode::KeyMisplaced, message)
        }
    };
    Some(Finding::warning(code, message))
}

//! Implements `fromApp`: copies mounts and variables of the app's first container to sidecars.
//!
//! Invariant: a sidecar keeps its own items.

use crate::inject::merge::equal::is_token_mount;
use crate::inject::overlay::Overlay;
use crate::inject::schema::merge_keys;
use crate::inject::template::Template;
use crate::inject::text::json::{items, text};
use crate::inject::text::quote;
use serde_json::Value;
use std::collections::HashSet;

/// Copies the volume mounts and variables that `fromApp` lists from the container `app` to all
/// sidecars.
pub(super) fn copy_to_sidecars(template: &Template, app: &Value, overlay: &mut Overlay, warnings: &mut Vec<String>) {
    let mounts: Vec<&Value> = match template.spec.from_app.volume_mounts {
        true => items(app, "volumeMounts").iter().filter(|mount| !is_token_mount(mount)).collect(),
        false => Vec::new(),
    };
    let mut env = Vec::new();
    for name in &template.spec.from_app.env {
        match items(app, "env").iter().rev().find(|variable| text(variable, "name") == name) {
            Some(variable) => env.push(variable),
            None => warnings.push(format!(
                "template {}: container {} has no environment variable {}, which fromApp.env names",
                quote(&template.name),
                quote(text(app, "name")),
                quote(name)
            )),
        }
    }
    for sidecar in overlay.sidecars_mut() {
        add_missing(sidecar, "volumeMounts", &mounts);
        add_missing(sidecar, "env", &env);
    }
}

/// Adds the items whose merge key the container does not have.
fn add_missing(container: &mut Value, field: &str, wanted: &[&Value]) {
    let (Some(key), Some(container)) = (merge_keys::of(field), container.as_object_mut()) else { return };
    if wanted.is_empty() {
        return;
    }
    let list = container.entry(field).or_insert_with(|| Value::Array(Vec::new()));
    let Some(list) = list.as_array_mut() else { return };
    let mut own: HashSet<String> = list.iter().map(|item| key.value(item).into_owned()).collect();
    list.extend(wanted.iter().filter(|item| own.insert(key.value(item).into_owned())).map(|item| (*item).clone()));
}

//! Mounts the service account's token into new containers, as in-tree admission would.
//!
//! The `ServiceAccount` plugin of the API server mounts the token into every container that lacks
//! it: before webhooks are called, and again after one has changed the pod. That second change
//! makes the API server call every webhook with `reinvocationPolicy: IfNeeded` once more. When the
//! new containers have the mount already, the plugin changes nothing, and an ordinary pod costs one
//! call.
//! Invariant: a new container gets the mount that every container of the pod has at the plugin's
//! path, of a volume that looks like the plugin's, or no mount.

use super::RenderedTemplate;
use super::equal::{TOKEN_PATH, is_token_mount};
use crate::inject::pod::{ContainerList, PodDocument};
use crate::inject::text::json::{items, text};
use serde_json::{Value, json};

/// The plugin's name for its volume, before the random characters.
const VOLUME_PREFIX: &str = "kube-api-access-";
const RANDOM: usize = 5;
/// Fields that decide whether the plugin mounts anything when it runs again.
const DECISIVE: [&str; 2] = ["automountServiceAccountToken", "serviceAccountName"];

/// The mount that the plugin would add to a new container of the pod; `None` where that is not
/// certain.
pub(super) fn mount(pod: &PodDocument, candidates: &[RenderedTemplate<'_>]) -> Option<Value> {
    let is_off = pod.spec_field(DECISIVE[0]) == Some(&Value::Bool(false));
    let is_decided_anew =
        |candidate: &RenderedTemplate<'_>| DECISIVE.iter().any(|key| candidate.overlay.pod_fields().contains_key(*key));
    if is_off || candidates.iter().any(is_decided_anew) {
        return None;
    }
    // The plugin, too, takes the first volume with this prefix.
    let volumes = pod.spec_items("volumes").iter();
    let volume = volumes.into_iter().find(|volume| text(volume, "name").starts_with(VOLUME_PREFIX))?;
    let volume = is_plugins_volume(volume).then(|| text(volume, "name"))?;
    let lists = [ContainerList::Containers, ContainerList::InitContainers];
    let has_it = |container: &Value| {
        items(container, "volumeMounts").iter().any(|mount| is_token_mount(mount) && text(mount, "name") == volume)
    };
    let everywhere = lists.into_iter().all(|list| pod.containers(list).iter().all(has_it));
    let mount = || json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH});
    everywhere.then(mount)
}

/// Whether the plugin has mounted the token into a container of the pod.
pub(super) fn is_mounted(pod: &PodDocument) -> bool {
    let is_plugins = |name: &str| {
        pod.spec_items("volumes").iter().any(|volume| text(volume, "name") == name && is_plugins_volume(volume))
    };
    let lists = [ContainerList::Containers, ContainerList::InitContainers];
    lists.into_iter().flat_map(|list| pod.containers(list)).any(|container| {
        let mut mounts = items(container, "volumeMounts").iter();
        mounts.any(|mount| is_token_mount(mount) && is_plugins(text(mount, "name")))
    })
}

/// Whether a volume looks like the plugin's. An author may give any volume such a name. Whether the plugin
/// would then mount it depends on the service account, which is not known here.
pub(crate) fn is_plugins_volume(volume: &Value) -> bool {
    text(volume, "name").len() == VOLUME_PREFIX.len() + RANDOM && volume.get("projected").is_some_and(Value::is_object)
}

/// Adds the mount to a new container, unless it mounts something of its own there.
pub(super) fn add(container: &mut Value, mount: &Value) {
    if items(container, "volumeMounts").iter().any(is_token_mount) {
        return;
    }
    let Some(container) = container.as_object_mut() else { return };
    match container.get_mut("volumeMounts") {
        Some(Value::Array(mounts)) => mounts.push(mount.clone()),
        Some(Value::Null) | None => {
            container.insert("volumeMounts".to_owned(), Value::Array(vec![mount.clone()]));
        }
        Some(_) => {}
    }
}

//! Volumes of files and shared volumes, as the API server stores them.

use serde_json::{Value, json};

use crate::cluster::{names, pod};
use crate::outrigger::with_custom;

tests! {
    files_are_annotations_of_the_stored_pod,
    the_app_and_the_sidecar_of_the_stored_pod_share_a_volume,
}

/// The volume of this name.
fn volume<'p>(pod: &'p Value, name: &str) -> &'p Value {
    let mut volumes = pod["spec"]["volumes"].as_array().expect("volumes").iter();
    volumes.find(|volume| volume["name"] == name).unwrap_or_else(|| panic!("no volume {name}: {pod}"))
}

fn files_are_annotations_of_the_stored_pod() {
    with_custom("files", |namespace, _| {
        let stored = namespace.would_accept(&pod("web", &json!({"outrigger.dev/inject": "files"})));
        let annotations = &stored["metadata"]["annotations"];
        let items = volume(&stored, "files-conf")["downwardAPI"]["items"].as_array().expect("items");
        let texts: Vec<(&str, &str)> = items
            .iter()
            .map(|item| {
                let path = item["path"].as_str().expect("a path");
                let field = item["fieldRef"]["fieldPath"].as_str().expect("a field");
                let key = field.strip_prefix("metadata.annotations['").and_then(|key| key.strip_suffix("']"));
                let key = key.unwrap_or_else(|| panic!("{field}"));
                (path, annotations[key].as_str().unwrap_or_else(|| panic!("{key}: {annotations}")))
            })
            .collect();
        let long = format!(".{}", "x".repeat(252));
        let expected = [(long.as_str(), "long"), ("app", "web"), ("text", "nul \0 ü <&> \"quotes\"\r\n\n")];
        assert_eq!(texts, expected);
    });
}

fn the_app_and_the_sidecar_of_the_stored_pod_share_a_volume() {
    with_custom("shared-volume", |namespace, _| {
        let mut asking = pod("web", &json!({"outrigger.dev/inject": "share"}));
        asking["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
        asking["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/var/log"}]);
        let stored = namespace.would_accept(&asking);
        let mount = &stored["spec"]["initContainers"][0]["volumeMounts"][0];
        assert_eq!(*mount, json!({"name": "data", "mountPath": "/logs", "readOnly": true, "subPath": "app"}));
        let own = names(&stored, "/spec/volumes").into_iter().filter(|name| !name.starts_with("kube-api-access-"));
        assert_eq!(own.collect::<Vec<_>>(), ["data"]);
        assert_eq!(stored["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], "/var/log");
    });
}

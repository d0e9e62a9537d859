//! Converts a PodPreset into an automatic template of its namespace.

use serde_json::json;

use super::draft::{Draft, cel_key, constant};
use super::ledger::Ledger;
use super::sidecar_set::take_object_metadata;
use super::{Drafts, Hint};

const EXCLUDE: &str = "podpreset.admission.kubernetes.io/exclude";

pub(super) fn convert(ledger: &mut Ledger) -> Result<Drafts, String> {
    let name = ledger.take_name("/metadata/name", "web")?;
    let mut draft = Draft::new(&name, ledger, "");
    let has_namespace = ledger.value.pointer("/metadata/namespace").is_some_and(|namespace| !namespace.is_null());
    let namespace = if has_namespace { ledger.take_name("/metadata/namespace", "shop")? } else { "default".to_owned() };
    take_object_metadata(ledger, &mut draft);
    draft.set("injection", json!("Automatic"));
    draft.set("onError", json!("Skip"));
    let selector = ledger.take("/spec/selector").unwrap_or_else(|| json!({}));
    draft.set(
        "match.conditions",
        json!([{
            "expression": format!("{} != 'true'", cel_key("annotations", EXCLUDE, "")),
            "message": format!("the pod has the annotation {EXCLUDE}"),
        }]),
    );
    if let Some(matching) = draft.spec.get_mut("match") {
        // `{}` selects all pods, and is written out.
        matching["podSelector"] = selector;
    }
    draft.came_from("match.podSelector", ledger.field("/spec/selector"));
    for key in ["env", "envFrom", "volumeMounts"] {
        let items = ledger.take_list(&format!("/spec/{key}"));
        draft.set(&format!("app.{key}"), constant(json!(items)));
        draft.came_from(&format!("app.{key}"), ledger.field(&format!("/spec/{key}")));
    }
    if draft.spec.contains_key("app") {
        draft.set("app.initContainers", json!(true));
    }
    for (at, volume) in ledger.take_list("/spec/volumes").into_iter().enumerate() {
        draft.push("volumes", constant(volume), ledger.field(&format!("/spec/volumes/{at}")));
    }
    let hints = vec![
        Hint::new(
            format!("PodPreset {name} in namespace {namespace}"),
            format!("label outrigger.dev/injection: enabled on the namespace {namespace}"),
        ),
        Hint::new(
            format!("{EXCLUDE}: \"true\" on a pod"),
            "nothing: the template still reads it (outrigger.dev/inject: \"false\" refuses all templates)",
        ),
    ];
    draft.namespace = Some(namespace);
    Ok(Drafts { drafts: vec![draft], hints })
}

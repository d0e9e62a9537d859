//! Converts `injectors` of ricoberger's sidecar-injector: what pods with certain labels get unasked. Each
//! container and volume that an injector names becomes one more template, an automatic one.

use serde_json::{Value, json};

use super::Hint;
use super::draft::{Draft, label};
use super::ledger::Ledger;

/// The automatic templates, made of those that pods ask for. `injectors` is a map, or a list of them.
pub(super) fn automatic(ledger: &mut Ledger, asked: &[Draft]) -> Vec<Draft> {
    let pointers: Vec<String> = match ledger.value.get("injectors") {
        Some(Value::Object(_)) => vec!["/injectors".to_owned()],
        Some(Value::Array(items)) => (0..items.len()).map(|at| format!("/injectors/{at}")).collect(),
        _ => Vec::new(),
    };
    let mut drafts: Vec<Draft> = Vec::new();
    for pointer in pointers {
        let Some(selector) = ledger.take(&format!("{pointer}/selector")).filter(Value::is_object) else {
            ledger.lose(&pointer, "it has no selector", "write match.podSelector and injection: Automatic yourself");
            continue;
        };
        for (list, prefix, suffix) in
            [("initContainers", "", "-init"), ("containers", "", ""), ("volumes", "volume-", "")]
        {
            for (at, name) in ledger.take_list(&format!("{pointer}/{list}")).into_iter().enumerate() {
                let field = format!("{pointer}/{list}/{at}");
                let name = name.as_str().unwrap_or_default();
                let found = asked.iter().find(|draft| draft.name == label(&format!("{prefix}{name}{suffix}")));
                match found {
                    Some(draft) => drafts.push(selected(draft, &drafts, &selector, ledger.field(&pointer))),
                    // It comes with the container that mounts it.
                    None if list == "volumes" && has_volume(asked, name) => {}
                    None => {
                        ledger.lose(&field, "nothing of this file with that name can be injected", "correct the name")
                    }
                }
            }
        }
    }
    drafts
}

fn has_volume(drafts: &[Draft], name: &str) -> bool {
    let volumes = drafts.iter().filter_map(|draft| draft.spec.get("volumes")?.as_array());
    volumes.flatten().any(|volume| volume.get("name") == Some(&json!(name)))
}

fn selected(draft: &Draft, others: &[Draft], selector: &Value, source: String) -> Draft {
    let base = format!("{}-automatic", draft.name);
    let is_free = |name: &String| !others.iter().any(|other| other.name == *name);
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    let mut draft = draft.clone();
    draft.name = std::iter::once(base.clone()).chain(numbered).find(is_free).unwrap_or_default();
    draft.set("injection", json!("Automatic"));
    draft.spec.insert("match".to_owned(), json!({"podSelector": selector}));
    draft.came_from("match", source);
    draft
}

/// What namespaces need so that the automatic templates reach their pods.
pub(super) fn hint() -> Hint {
    Hint::new(
        "injectors reach the pods that they select",
        "label outrigger.dev/injection: enabled on each of their namespaces",
    )
}

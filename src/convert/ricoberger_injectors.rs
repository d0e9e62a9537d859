//! Converts `injectors` of ricoberger's sidecar-injector: what pods with certain labels get unasked. Each
//! container and volume that an injector names becomes one more template, an automatic one.

use serde_json::{Value, json};

use super::Hint;
use super::draft::{Draft, constant, name_of};
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
        let mut brought: Vec<Draft> = Vec::new();
        for list in ["initContainers", "containers", "volumes"] {
            for (at, name) in ledger.take_list(&format!("{pointer}/{list}")).into_iter().enumerate() {
                let name = name.as_str().unwrap_or_default();
                let found = asked.iter().find(|draft| is_of(draft, list, name)).cloned();
                match found.or_else(|| volume_alone(ledger, list, name)) {
                    // It comes with the container that mounts it.
                    Some(_) if list == "volumes" && brought.iter().any(|draft| has(draft, list, name)) => {}
                    Some(draft) => {
                        drafts.push(selected(&draft, &drafts, &selector, ledger.field(&pointer)));
                        brought.push(draft);
                    }
                    None => {
                        let field = format!("{pointer}/{list}/{at}");
                        ledger.lose(&field, "nothing of this file with that name can be injected", "correct the name")
                    }
                }
            }
        }
    }
    drafts
}

/// Whether the template is what pods get that name this container or volume in this list.
fn is_of(draft: &Draft, list: &str, name: &str) -> bool {
    match list {
        "containers" => has(draft, "sidecars", name),
        "volumes" => {
            has(draft, list, name) && !["sidecars", "initContainers"].iter().any(|key| draft.spec.contains_key(*key))
        }
        _ => has(draft, list, name),
    }
}

fn has(draft: &Draft, list: &str, name: &str) -> bool {
    let items = draft.spec.get(list).and_then(Value::as_array);
    items.into_iter().flatten().any(|item| name_of(item) == name)
}

/// A template with the volume that otherwise only comes with a container.
fn volume_alone(ledger: &Ledger, list: &str, name: &str) -> Option<Draft> {
    let at = ledger.list("/volumes").iter().position(|volume| list == "volumes" && name_of(volume) == name)?;
    let pointer = format!("/volumes/{at}");
    let mut draft = Draft::new(&format!("volume-{name}"), ledger, &pointer);
    draft.push("volumes", constant(ledger.list("/volumes")[at].clone()), ledger.field(&pointer));
    Some(draft)
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

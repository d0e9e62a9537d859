//! Runs the guides' examples for manifests and chart: kustomizations build, values are accepted,
//! and patches change the right objects.
//!
//! How a cluster handles them is not tested here.
//!
//! Invariant: a YAML block in these guides is either run or listed as belonging to another program.

use serde_json::{Value, json};

use super::render::{self, by_key};
use super::{list, object, read};

tests! {
    kustomizations_in_the_guides_change_the_base,
    the_patch_in_the_guide_changes_the_webhook,
    the_chart_accepts_the_values_in_the_guides,
    values_named_in_the_guides_exist,
}

const GUIDES: [&str; 4] = ["docs/install.md", "docs/operations.md", "docs/troubleshooting.md", "README.md"];

/// The contents of the blocks of this language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// The kind of a YAML block, by its first key.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    Kustomization,
    Values,
    /// Configuration of another program.
    ArgoCd,
}

fn kind(block: &str) -> Block {
    match block.split(':').next() {
        Some("resources") => Block::Kustomization,
        Some("networkPolicy") => Block::Values,
        Some("spec") => Block::ArgoCd,
        other => panic!("nobody runs a block that begins with {other:?}:\n{block}"),
    }
}

fn yaml_blocks() -> Vec<(Block, String)> {
    let guides = ["docs/install.md", "docs/operations.md"].map(read);
    guides.iter().flat_map(|text| blocks(text, "yaml")).map(|block| (kind(block), format!("{block}\n"))).collect()
}

fn kustomizations_in_the_guides_change_the_base() {
    let base = by_key(render::kustomize(&[]));
    let blocks: Vec<String> =
        yaml_blocks().into_iter().filter(|(kind, _)| *kind == Block::Kustomization).map(|(_, block)| block).collect();
    assert!(blocks.len() >= 3, "{}", blocks.len());
    for block in blocks {
        let objects = by_key(render::kustomization(&block));
        assert_ne!(objects, base, "it changes nothing:\n{block}");
    }
}

/// The example shows each choice that is a value of the chart.
fn the_patch_in_the_guide_changes_the_webhook() {
    let block = yaml_blocks().into_iter().find(|(_, block)| block.contains("matchConditions")).expect("an example").1;
    let objects = by_key(render::kustomization(&block));
    let configuration = &objects[&("MutatingWebhookConfiguration".to_owned(), "outrigger".to_owned())];
    let webhooks = list(configuration, "/webhooks");
    assert_eq!((&webhooks[0]["failurePolicy"], &webhooks[0]["timeoutSeconds"]), (&json!("Ignore"), &json!(3)));
    let names: Vec<&Value> =
        list(&webhooks[0], "/matchConditions").iter().map(|condition| &condition["name"]).collect();
    assert_eq!(names, ["asks-for-injection", "not-from-nodes"]);
    let excluded = json!(["kube-system", "kube-node-lease", "kube-public", "outrigger-system", "vault"]);
    for webhook in webhooks {
        assert_eq!(webhook["namespaceSelector"]["matchExpressions"][0]["values"], excluded);
    }
}

fn the_chart_accepts_the_values_in_the_guides() {
    for (_, block) in yaml_blocks().into_iter().filter(|(kind, _)| *kind == Block::Values) {
        let objects = by_key(render::helm_with_values(&block));
        let policy = &objects[&("NetworkPolicy".to_owned(), "outrigger".to_owned())];
        assert_eq!(list(policy, "/spec/egress").len(), 3, "{policy}");
    }
}

/// Values that are named in the text or set in a command.
fn values_named_in_the_guides_exist() {
    let values = object("manifests/chart/values.yaml");
    let top: Vec<&String> = values.as_object().expect("a map").keys().collect();
    let mut seen = 0;
    for guide in GUIDES {
        let text = read(guide);
        let named = text.split('`').filter(|span| !span.contains([' ', '\n', '/']));
        let set = text.split("--set ").skip(1).flat_map(|rest| rest.split([' ', '\n', '`']).next());
        for word in named.chain(set) {
            let path = word.split(['=', ':']).next().unwrap_or_default();
            let is_value = path.contains('.') && top.iter().any(|top| path.split('.').next() == Some(top));
            // Keys below these are defined by the user.
            if !is_value || path.starts_with("config.") || path.starts_with("templates.") {
                continue;
            }
            let pointer = format!("/{}", path.replace('.', "/"));
            assert!(values.pointer(&pointer).is_some(), "{guide}: there is no value {path}");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

//! `outrigger generate policy`: prints a ValidatingAdmissionPolicy that enforces a template.
//!
//! Invariant: what the policy does not check is said on stderr.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::errors::Usage;
use super::export::{ObjectFormat, excluded_namespaces};
use super::policy_source::PolicySourceArgs;
use super::report::Report;
use super::values;
use crate::export::{Enforced, ImageCheck, Installation, Selection, enforce};
use crate::inject::text::names::{check_label_value, check_qualified_name};

/// Print a ValidatingAdmissionPolicy that refuses pods without a template's containers
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
#[command(group = clap::ArgGroup::new("selectors").args(["selector", "namespace_selector"]).multiple(true))]
pub(super) struct PolicyArgs {
    #[command(flatten)]
    source: PolicySourceArgs,

    /// Pods that must carry the template, whatever they request: labels such as app=web,tier=front
    #[arg(long, value_name = "LABELS", value_parser = labels)]
    selector: Option<Value>,

    /// Namespaces whose pods must carry it, whatever they request: labels such as team=shop
    #[arg(long, value_name = "LABELS", value_parser = labels)]
    namespace_selector: Option<Value>,

    /// With --selector or --namespace-selector: check namespaces with the label
    /// outrigger.dev/injection=disabled too
    #[arg(long, requires = "selectors")]
    include_disabled: bool,

    /// How the image of each container is compared with the template's; any where another webhook
    /// changes registries
    #[arg(long, value_name = "HOW", default_value = "repository")]
    image: Image,

    /// What happens to other pods: Deny, Warn, Audit; Deny and Warn exclude each other
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', default_value = "Deny")]
    action: Vec<Action>,

    /// Namespace that is left out beside those of the system: that of Outrigger; may be repeated
    #[arg(long, value_name = "NAMESPACE", default_value = "outrigger-system", value_parser = values::namespace_or_none)]
    exclude_namespace: Vec<String>,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: ObjectFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Image {
    /// The same text
    Exact,
    /// The same repository, with any tag or digest
    Repository,
    /// Any image
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Action {
    Deny,
    Warn,
    Audit,
}

const LONG_ABOUT: &str = "\
Prints a ValidatingAdmissionPolicy with its binding that refuses pods without the containers of a template.

Examples:
  Refuse pods that request log-collector and did not get it:
    outrigger generate policy log-collector | kubectl apply -f -
  Every pod of the namespaces of a team must carry it; only warn for now:
    outrigger generate policy log-collector --namespace-selector team=shop --action Warn,Audit

The webhook alone enforces nothing: it may be away with the failure policy Ignore, namespaces and pods can be left out by \
their labels, and a pod decides by annotation. The API server itself evaluates this policy, after all webhooks, and it \
refuses a pod also where the annotation outrigger.dev/status is forged but a container is missing or has another image. \
With --selector or --namespace-selector no annotation lets a pod out, and no other label of it. Of existing pods only a \
new image of these containers is checked.";

/// `key=value`, separated by commas, as a LabelSelector.
fn labels(text: &str) -> Result<Value, String> {
    let mut found = serde_json::Map::new();
    for pair in text.split(',') {
        let (key, value) = pair
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .filter(|(key, value)| !key.is_empty() && !key.ends_with('!') && !value.starts_with('='))
            .ok_or_else(|| format!("{pair:?} is no label: expected KEY=VALUE, separated by commas"))?;
        check_qualified_name(key).map_err(|expected| format!("the key {key:?} {expected}"))?;
        check_label_value(value).map_err(|expected| format!("the value {value:?} of the label {key:?} {expected}"))?;
        if found.insert(key.to_owned(), json!(value)).is_some() {
            return Err(format!("the label {key:?} is named twice"));
        }
    }
    Ok(json!({"matchLabels": found}))
}

/// Loads the templates, and prints the policy of one of them.
pub(super) fn run(args: &PolicyArgs) -> anyhow::Result<()> {
    if args.action.contains(&Action::Deny) && args.action.contains(&Action::Warn) {
        let problem = "--action: Deny and Warn exclude each other, since a refusal says the same; leave one out";
        return Err(Usage::new(problem).into());
    }
    let source = args.source.load()?;
    let (name, domain) = (args.source.name(), args.source.domain());
    let mut excluded = excluded_namespaces();
    excluded.extend(args.exclude_namespace.iter().filter(|name| !name.is_empty()).cloned());
    excluded.dedup();
    let installation = Installation { domain, excluded_namespaces: &excluded };
    let (objects, notes) = enforce(name, source.spec(), &policy(args, domain), &installation);
    let mut report = Report::new(false, false);
    notes.iter().for_each(|note| report.warning(&format!("template {name:?}: {note}")));
    args.output.print(&objects)
}

fn policy(args: &PolicyArgs, domain: &str) -> Enforced {
    let all = || json!({});
    let selection = match (&args.selector, &args.namespace_selector) {
        (None, None) => Selection::Requested,
        (pods, namespaces) => Selection::Selected {
            pods: pods.clone().unwrap_or_else(all),
            namespaces: namespaces.clone().unwrap_or_else(all),
            includes_disabled: args.include_disabled,
        },
    };
    Enforced {
        name: format!("{}.enforce.{domain}", args.source.name()),
        image: match args.image {
            Image::Exact => ImageCheck::Exact,
            Image::Repository => ImageCheck::Repository,
            Image::Any => ImageCheck::Any,
        },
        selection,
        checks_updates: true,
        actions: distinct(&args.action),
        hint: String::new(),
    }
}

/// The names of the actions; the API server refuses one that stands twice.
fn distinct(actions: &[Action]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in actions.iter().map(|action| format!("{action:?}")) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_a_selector_and_other_operators_are_refused() {
        assert_eq!(labels("a=b, c=d"), Ok(json!({"matchLabels": {"a": "b", "c": "d"}})));
        for text in ["a", "a!=b", "a==b", "=b", "a=b,a=c", "", "a b=c", "a=c d", "a/b/c=d", "-a=b"] {
            assert!(labels(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_action_that_is_named_twice_stands_once() {
        assert_eq!(distinct(&[Action::Warn, Action::Audit, Action::Warn]), ["Warn", "Audit"]);
    }
}

//! Explains objects of a cluster, and files as the cluster would decide about them.
//!
//! Invariant: what cannot be read is told; the rest is explained all the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::cluster::connect;
use super::super::documents::InputFile;
use super::super::engine::Engine;
use super::super::report::Report;
use super::ExplainArgs;
use super::explanation::{ExplainReport, Explanation};
use super::reader::{Reader, Unread, items, name_of};
use super::subject::Subject;
use super::webhooks::{self, Asked};
use crate::inject::Namespace;
use crate::inject::text::quote;
use crate::workload::{self, PodLocation};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// What no API server tells.
const SETTINGS: &str =
    "the settings of the server are not read; its defaults are assumed, such as for excludeNamespaces";

/// The explanations of these objects.
pub(super) async fn explain(
    args: &ExplainArgs,
    files: &[InputFile],
    subjects: &[Subject],
) -> anyhow::Result<ExplainReport> {
    let limit = args.cluster.timeout();
    let (client, address) = connect(&args.cluster.selection(), limit).await?;
    let mut reader = Reader::new(client, limit, SETTINGS);
    let version = reader.version(&address).await?;
    let namespace = args.engine.namespace().map_or_else(|| reader.client.default_namespace().to_owned(), str::to_owned);
    let documents = || files.iter().flat_map(|file| &file.documents);
    let locations = documents().flat_map(|document| &document.pods);
    let named = locations.map(|location| location.object.namespace.as_ref().unwrap_or(&namespace).clone());
    let of_objects = (!subjects.is_empty()).then(|| namespace.clone());
    let all: BTreeSet<String> = named.chain(of_objects).collect();
    let mut namespaces = BTreeMap::new();
    for name in &all {
        namespaces.extend(reader.namespace(args, name).await);
    }
    let sources = if args.engine.names_templates() { Vec::new() } else { reader.templates(args, &all).await };
    let mut messages = Report::default();
    let of_cluster =
        Engine::of_cluster(&args.engine, &sources, version.as_ref(), namespace.clone(), namespaces, &mut messages);
    let mut engine = of_cluster?;
    engine.add_namespaces(documents())?;
    let against = engine.against(&args.against, &mut messages)?;
    let configurations = reader.configurations(args).await;
    let world = World { args, engine, against, configurations, knows_templates: reader.knows_templates };
    let mut report = ExplainReport::default();
    for file in files {
        report.explanations.extend(world.of_file(file, &mut messages));
    }
    for subject in subjects {
        let Subject::Object { kind, name } = subject else { continue };
        let Some(document) = reader.object(kind, &namespace, name).await else { continue };
        for location in &workload::find(&document, args.engine.domain()).pods {
            let explained = world.explanation(location.object.to_string(), &document, location);
            let Some(mut explanation) = explained else { continue };
            if kind.kind == "Pod" {
                explanation.of_running_pod();
            }
            reader.existing_pods(args, &mut explanation, &document, &namespace).await;
            report.explanations.push(explanation);
        }
    }
    messages.finish()?;
    reader.notes.dedup();
    for explanation in &mut report.explanations {
        explanation.notes.extend(reader.notes.iter().cloned());
    }
    report.unread = reader.unread;
    Ok(report)
}

/// What decides in the cluster.
struct World<'a> {
    args: &'a ExplainArgs,
    engine: Engine,
    against: Option<Engine>,
    configurations: Configurations,
    knows_templates: bool,
}

impl World<'_> {
    fn of_file(&self, file: &InputFile, messages: &mut Report) -> Vec<Explanation> {
        let mut found = Vec::new();
        for document in &file.documents {
            for note in &document.notes {
                messages.finding(&file.name(document, &note.object), &note.finding);
            }
            self.engine.tell_unread_keys(file, document, messages);
            let explained = document.pods.iter().filter_map(|location| {
                self.explanation(file.name(document, &location.object), &document.value, location)
            });
            found.extend(explained);
        }
        found
    }

    fn explanation(&self, name: String, document: &Value, location: &PodLocation) -> Option<Explanation> {
        let reviewer = self.engine.reviewer(location);
        let (namespace, object) = (reviewer.namespace, reviewer.namespace_object);
        let asked = |pod: &Value| self.configurations.asked(self.args, namespace, object, pod);
        let other = self.against.as_ref().map(|engine| engine.reviewer(location));
        let mut explained = Explanation::of(name, &reviewer, document, location, other.as_ref(), asked)?;
        if !self.knows_templates {
            explained.without_templates();
        }
        Some(explained)
    }
}

impl Reader {
    async fn configurations(&mut self, args: &ExplainArgs) -> Configurations {
        match self.get(CONFIGURATIONS).await {
            Ok(list) => Configurations::Listed(items(&list)),
            Err(Unread::Forbidden(message)) => match self.get(&format!("{CONFIGURATIONS}/{}", args.name)).await {
                Ok(one) => Configurations::Listed(vec![one]),
                Err(_) => {
                    let effect = "whether the API server asks Outrigger is not known";
                    self.tell("the list of mutatingwebhookconfigurations", Unread::Forbidden(message), effect);
                    Configurations::Unknown
                }
            },
            Err(why) => {
                let effect = "whether the API server asks Outrigger is not known";
                self.tell("the list of mutatingwebhookconfigurations", why, effect);
                Configurations::Unknown
            }
        }
    }
}

/// The mutating webhook configurations of the cluster.
enum Configurations {
    Listed(Vec<Value>),
    Unknown,
}

impl Configurations {
    fn asked(&self, args: &ExplainArgs, namespace: &str, object: Option<&Namespace>, pod: &Value) -> Asked {
        let Self::Listed(all) = self else {
            let notes = vec!["not known: the webhook configurations cannot be read".to_owned()];
            return Asked { notes, is_unknown: true, ..Asked::default() };
        };
        let ours = all.iter().find(|one| name_of(one).as_ref() == Some(&args.name));
        let others: Vec<String> = all
            .iter()
            .filter(|one| is_of_outrigger(one))
            .filter_map(name_of)
            .filter(|name| *name != args.name)
            .collect();
        let mut asked = match ours {
            Some(ours) => webhooks::of_configuration(ours, "of the cluster", namespace, object, pod),
            None => {
                let missing = format!("the cluster has no MutatingWebhookConfiguration {}", quote(&args.name));
                Asked { notes: vec![missing], ..Asked::default() }
            }
        };
        if !others.is_empty() {
            let others = others.join(", ");
            asked.notes.push(format!("there are configurations of other installations: {others}; see --name"));
        }
        asked
    }
}

/// Whether a configuration is that of an installation of Outrigger.
fn is_of_outrigger(configuration: &Value) -> bool {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten();
    let mut names = webhooks.filter_map(|webhook| webhook.get("name")?.as_str());
    names.any(|name| name.starts_with("pods.inject.") || name.starts_with("namespaces.inject."))
}

//! Reads what an explanation needs from a cluster: the object, its namespace, templates, webhook
//! configurations, existing pods.
//!
//! Invariant: nothing is written, no Secret is read, every call has a timeout, and what cannot be read
//! is told; the rest is explained all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request as HttpRequest;
use kube::Client;
use serde_json::Value;
use tokio::time::timeout;

use super::super::check;
use super::super::cluster::connect;
use super::super::documents::InputFile;
use super::super::engine::Engine;
use super::super::report::Report;
use super::super::values::ClusterVersion;
use super::ExplainArgs;
use super::explanation::{ExplainReport, Explanation, PodGroup};
use super::kinds::{self, Kind};
use super::subject::Subject;
use super::webhooks::{self, Asked};
use crate::api::template_object::{TemplateChange, TemplateKind};
use crate::cluster::templates::object;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::text::{nearest, quote};
use crate::inject::{CompiledSource, Namespace, SourceText};
use crate::source::built_in;
use crate::source::custom_resource::TemplateObjects;
use crate::workload::{self, PodLocation};

/// Objects of one page.
const PAGE: usize = 500;
/// The ConfigMap of the server's own templates.
const TEMPLATES: &str = "outrigger-templates";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// What no API server tells.
const SETTINGS: &str =
    "the settings of the server are not read; its defaults are assumed, such as for excludeNamespaces";

/// Why an object was not read.
enum Unread {
    Absent,
    Forbidden(String),
    Other(String),
}

/// The cluster, and what could not be read of it.
struct Reader {
    client: Client,
    limit: Duration,
    unread: Vec<String>,
    /// What is said of every explanation.
    notes: Vec<String>,
}

/// The explanations of these objects.
pub(super) async fn explain(
    args: &ExplainArgs,
    files: &[InputFile],
    subjects: &[Subject],
) -> anyhow::Result<ExplainReport> {
    let limit = args.cluster.timeout();
    let (client, address) = connect(&args.cluster.selection(), limit).await?;
    let mut reader = Reader { client, limit, unread: Vec::new(), notes: vec![SETTINGS.to_owned()] };
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
    let world = World { args, engine, against, configurations: reader.configurations(args).await };
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
}

impl World<'_> {
    fn of_file(&self, file: &InputFile, messages: &mut Report) -> Vec<Explanation> {
        let mut found = Vec::new();
        for document in &file.documents {
            for note in &document.notes {
                messages.finding(&file.name(document, &note.object), &note.finding);
            }
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
        Explanation::of(name, &reviewer, document, location, other.as_ref(), asked)
    }
}

impl Reader {
    async fn get(&self, path: &str) -> Result<Value, Unread> {
        let text = self.text(path).await?;
        serde_json::from_str(&text).map_err(|error| Unread::Other(format!("the response is no JSON: {error}")))
    }

    async fn text(&self, path: &str) -> Result<String, Unread> {
        let request = HttpRequest::get(path).body(Vec::new()).map_err(|error| Unread::Other(error.to_string()))?;
        match timeout(self.limit, self.client.request_text(request)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Unread::Absent),
            Ok(Err(error @ kube::Error::Api(_))) if is_forbidden(&error) => {
                Err(Unread::Forbidden(crate::cluster::explain(&error)))
            }
            Ok(Err(error)) => Err(Unread::Other(crate::cluster::explain(&error))),
            Err(_) => Err(Unread::Other(format!("no response within {:?}", self.limit))),
        }
    }

    /// Tells what could not be read, and what that means.
    fn tell(&mut self, what: &str, why: Unread, effect: &str) {
        self.unread.push(match why {
            Unread::Absent => format!("{what} does not exist; {effect}"),
            Unread::Forbidden(message) => {
                format!("{what} cannot be read: your rights do not suffice ({message}); {effect}")
            }
            Unread::Other(message) => format!("{what} cannot be read: {message}; {effect}"),
        });
    }

    /// The version of the API server; fails if it does not respond.
    async fn version(&self, address: &str) -> anyhow::Result<Option<ClusterVersion>> {
        check::ensure_reachable(&self.client, address, self.limit).await?;
        let version = timeout(self.limit, self.client.apiserver_version()).await;
        Ok(version.ok().and_then(Result::ok).and_then(|version| version.git_version.parse().ok()))
    }

    /// The labels and annotations of a namespace, if they can be read.
    async fn namespace(&mut self, args: &ExplainArgs, name: &str) -> BTreeMap<String, Namespace> {
        let texts = |object: &Value, map: &str| -> BTreeMap<String, String> {
            let entries = object.pointer(&format!("/metadata/{map}")).and_then(Value::as_object).into_iter().flatten();
            entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        };
        match self.get(&format!("/api/v1/namespaces/{name}")).await {
            Ok(object) => {
                let (labels, annotations) = (texts(&object, "labels"), texts(&object, "annotations"));
                [(name.to_owned(), Namespace { name: name.to_owned(), labels, annotations })].into()
            }
            Err(_) if args.engine.names_namespaces() => BTreeMap::new(),
            Err(why) => {
                let effect = "its labels and annotations are not known here: give --namespace-file";
                self.tell(&format!("namespace {}", quote(name)), why, effect);
                BTreeMap::new()
            }
        }
    }

    /// The templates that the server has: objects, the ConfigMap, built-in ones.
    async fn templates(&mut self, args: &ExplainArgs, namespaces: &BTreeSet<String>) -> Vec<Arc<CompiledSource>> {
        let mut sources = built_in::sources();
        let mut objects = TemplateObjects::default();
        let of_cluster = (TemplateKind::Cluster, object::path(TemplateKind::Cluster));
        let of_namespaces = namespaces.iter().map(|namespace| {
            let root = object::path(TemplateKind::Namespaced);
            let (root, plural) = root.rsplit_once('/').unwrap_or((&root, ""));
            (TemplateKind::Namespaced, format!("{root}/namespaces/{namespace}/{plural}"))
        });
        for (kind, path) in std::iter::once(of_cluster).chain(of_namespaces) {
            match self.template_objects(kind, &path).await {
                Ok(changes) => {
                    objects.apply(changes);
                }
                Err(Unread::Absent) => self.notes.push(format!(
                    "the cluster has no {}: their CustomResourceDefinition is not installed",
                    kind.plural()
                )),
                Err(why) => {
                    let effect = "templates of this kind are not known here: give --templates";
                    self.tell(&format!("the list of {}", kind.plural()), why, effect);
                }
            }
        }
        sources.extend(objects.sources());
        let path = format!("/api/v1/namespaces/{}/configmaps/{TEMPLATES}", args.server_namespace);
        match self.get(&path).await {
            Ok(map) => sources.extend(CompiledSource::compile_all(&texts_of(&map))),
            Err(Unread::Absent) => self
                .notes
                .push(format!("there is no ConfigMap {}/{TEMPLATES}; see --server-namespace", args.server_namespace)),
            Err(why) => {
                let what = format!("ConfigMap {}/{TEMPLATES}", args.server_namespace);
                self.tell(&what, why, "templates in it are not known here: give --templates");
            }
        }
        sources
    }

    async fn template_objects(&self, kind: TemplateKind, path: &str) -> Result<Vec<TemplateChange>, Unread> {
        let mut changes = Vec::new();
        let mut token = String::new();
        loop {
            let text = self.text(&format!("{path}?limit={PAGE}{token}")).await?;
            let page = object::of_page(kind, &text);
            let (objects, next) = page.map_err(|error| Unread::Other(format!("the list is no JSON: {error}")))?;
            changes.extend(objects.into_iter().map(|object| TemplateChange::Applied(Box::new(object))));
            let Some(next) = next else { break };
            token = format!("&continue={next}");
        }
        Ok(changes)
    }

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

    /// The object with its API version and kind; what is wrong is told.
    async fn object(&mut self, kind: &'static Kind, namespace: &str, name: &str) -> Option<Value> {
        let what = format!("{} {namespace}/{name}", kind.kind);
        match self.get(&format!("{}/{name}", kind.path(namespace))).await {
            Ok(mut object) => {
                if let Some(fields) = object.as_object_mut() {
                    fields.entry("apiVersion").or_insert_with(|| kind.api_version().into());
                    fields.entry("kind").or_insert_with(|| kind.kind.into());
                }
                Some(object)
            }
            Err(Unread::Absent) => {
                let hint = self.near(kind, namespace, name).await;
                self.tell(&what, Unread::Absent, &hint);
                None
            }
            Err(why) => {
                self.tell(&what, why, "it is not explained");
                None
            }
        }
    }

    /// What there is instead of an object that does not exist.
    async fn near(&self, kind: &Kind, namespace: &str, name: &str) -> String {
        let Ok(list) = self.get(&format!("{}?limit={PAGE}", kind.path(namespace))).await else {
            return "is it in another namespace (-n)?".to_owned();
        };
        let names: Vec<String> = items(&list).iter().filter_map(name_of).collect();
        if names.is_empty() {
            return format!("namespace {} has no {}; is it in another one (-n)?", quote(namespace), kind.plural);
        }
        let starting = names.iter().find(|one| one.starts_with(name)).map(String::as_str);
        let near = starting.or_else(|| nearest(name, names.iter().map(String::as_str)));
        let hint = near.map(|near| format!("did you mean {}? ", quote(near))).unwrap_or_default();
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("{hint}namespace {} has {}", quote(namespace), crate::inject::text::listed(&known))
    }

    /// Compares the existing pods of a workload with what a new pod would get.
    async fn existing_pods(
        &mut self,
        args: &ExplainArgs,
        explanation: &mut Explanation,
        document: &Value,
        namespace: &str,
    ) {
        if document.get("kind").is_some_and(|kind| kind == "CronJob") {
            explanation.notes.push("pods of a CronJob are not listed; explain its Jobs: job/NAME".to_owned());
        }
        if document.pointer("/spec/selector/matchExpressions").is_some() {
            let note = "existing pods are not compared: the selector has matchExpressions; explain a pod of it";
            explanation.notes.push(note.to_owned());
            return;
        }
        let labels = document.pointer("/spec/selector").map(|selector| selector.get("matchLabels").unwrap_or(selector));
        let Some(labels) = labels.and_then(Value::as_object).filter(|labels| !labels.is_empty()) else { return };
        let is_workload = document.get("kind").is_some_and(|kind| kind != "Pod");
        if !is_workload {
            return;
        }
        let selector: Vec<String> =
            labels.iter().filter_map(|(key, value)| Some(format!("{key}%3D{}", value.as_str()?))).collect();
        let pods = kinds::find("pods").map(|pods| pods.path(namespace)).unwrap_or_default();
        let path = format!("{pods}?limit={PAGE}&labelSelector={}", selector.join(",").replace('/', "%2F"));
        match self.get(&path).await {
            Ok(list) => {
                let rest = list.pointer("/metadata/continue").and_then(Value::as_str);
                if rest.is_some_and(|token| !token.is_empty()) {
                    let note = format!("only the first {PAGE} pods are compared; outrigger get looks at all");
                    explanation.notes.push(note);
                }
                explanation.pods = groups(&items(&list), explanation, args.engine.domain());
            }
            Err(why) => self.tell("the list of pods", why, "existing pods are not compared"),
        }
    }
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Pods that carry the same, with how that differs from a new pod.
fn groups(pods: &[Value], explanation: &Explanation, domain: &str) -> Vec<PodGroup> {
    let keys = AnnotationKeys::new(domain);
    let wanted: BTreeMap<&str, &str> = explanation
        .decision
        .templates
        .iter()
        .filter(|template| explanation.decision.injected.contains(&template.name))
        .filter(|_| explanation.asked.is_called() != Some(false))
        .filter_map(|template| Some((template.name.as_str(), template.revision.as_deref()?)))
        .collect();
    let mut groups: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for pod in pods {
        let status = pod.pointer("/metadata/annotations").and_then(|all| all.get(&keys.status)).and_then(Value::as_str);
        let status = status.and_then(crate::inject::status::Status::<crate::inject::status::StatusEntry>::parse);
        let entries = status.map(|status| status.templates).unwrap_or_default();
        let has: BTreeMap<&str, &str> =
            entries.iter().map(|entry| (entry.name.as_str(), entry.revision.as_str())).collect();
        let shown: Vec<String> = has.iter().map(|(name, revision)| format!("{name} at revision {revision}")).collect();
        let carries = if shown.is_empty() { "no template".to_owned() } else { shown.join(", ") };
        let missing: Vec<String> = wanted
            .iter()
            .filter(|(name, revision)| has.get(*name) != Some(*revision))
            .map(|(name, revision)| format!("{name} at revision {revision}"))
            .collect();
        let (is_current, state) = match (has == wanted, missing.is_empty()) {
            (true, _) => (true, format!("with {carries}, as a new pod")),
            (false, true) => (false, format!("with {carries}; a new pod would get less")),
            (false, false) => (false, format!("with {carries}; a new pod would get {}", missing.join(", "))),
        };
        groups.entry((is_current, state)).or_default().extend(name_of(pod));
    }
    groups.into_iter().map(|((is_current, state), pods)| PodGroup { state, is_current, pods }).collect()
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

fn items(list: &Value) -> Vec<Value> {
    list.get("items").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn name_of(object: &Value) -> Option<String> {
    object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
}

/// The templates of a ConfigMap, as the server reads its files.
fn texts_of(map: &Value) -> Vec<SourceText> {
    let is_template =
        |key: &str| [".yaml", ".yml", ".json"].iter().any(|end| key.ends_with(end)) && !key.starts_with("..");
    let data = map.get("data").and_then(Value::as_object).into_iter().flatten();
    data.filter(|(key, _)| is_template(key))
        .filter_map(|(key, text)| {
            Some(SourceText { origin: format!("ConfigMap {TEMPLATES}: {key}"), text: text.as_str()?.to_owned() })
        })
        .collect()
}

//! Calls of `outrigger explain` to the API server, and what could not be read.
//!
//! Invariant: nothing is written, no Secret is read, and every call has a timeout.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request as HttpRequest;
use kube::Client;
use serde_json::Value;
use tokio::time::timeout;

use super::super::check;
use super::super::cluster::MAX_PAGES;
use super::super::values::ClusterVersion;
use super::ExplainArgs;
use super::kinds::Kind;
use crate::api::template_object::{TemplateChange, TemplateKind};
use crate::cluster::templates::object;
use crate::inject::text::{nearest, quote};
use crate::inject::{CompiledSource, Namespace, SourceText};
use crate::source::built_in;
use crate::source::custom_resource::TemplateObjects;

/// Objects of one page.
pub(super) const PAGE: usize = 500;
/// The ConfigMap of the server's own templates.
const TEMPLATES: &str = "outrigger-templates";

/// Why an object was not read.
pub(super) enum Unread {
    Absent,
    Forbidden(String),
    Other(String),
}

/// The cluster, and what could not be read of it.
pub(super) struct Reader {
    pub client: Client,
    limit: Duration,
    pub unread: Vec<String>,
    /// What is said of every explanation.
    pub notes: Vec<String>,
    /// Whether all templates of the cluster could be read.
    pub knows_templates: bool,
}

impl Reader {
    pub(super) fn new(client: Client, limit: Duration, note: &str) -> Self {
        Self { client, limit, unread: Vec::new(), notes: vec![note.to_owned()], knows_templates: true }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Unread> {
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
    pub(super) fn tell(&mut self, what: &str, why: Unread, effect: &str) {
        self.unread.push(match why {
            Unread::Absent => format!("{what} does not exist; {effect}"),
            Unread::Forbidden(message) => {
                format!("{what} cannot be read: your rights do not suffice ({message}); {effect}")
            }
            Unread::Other(message) => format!("{what} cannot be read: {message}; {effect}"),
        });
    }

    /// The version of the API server; fails if it does not respond.
    pub(super) async fn version(&self, address: &str) -> anyhow::Result<Option<ClusterVersion>> {
        check::ensure_reachable(&self.client, address, self.limit).await?;
        let version = timeout(self.limit, self.client.apiserver_version()).await;
        Ok(version.ok().and_then(Result::ok).and_then(|version| version.git_version.parse().ok()))
    }

    /// The labels and annotations of a namespace, if they can be read.
    pub(super) async fn namespace(&mut self, args: &ExplainArgs, name: &str) -> BTreeMap<String, Namespace> {
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
    pub(super) async fn templates(
        &mut self,
        args: &ExplainArgs,
        namespaces: &BTreeSet<String>,
    ) -> Vec<Arc<CompiledSource>> {
        let mut sources = built_in::sources();
        let mut objects = TemplateObjects::default();
        let of_cluster = (TemplateKind::Cluster, object::path(TemplateKind::Cluster));
        let of_namespaces = namespaces
            .iter()
            .map(|namespace| (TemplateKind::Namespaced, object::path_in(TemplateKind::Namespaced, Some(namespace))));
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
                    self.knows_templates = false;
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
                self.knows_templates = false;
                self.tell(&what, why, "templates in it are not known here: give --templates");
            }
        }
        sources
    }

    async fn template_objects(&self, kind: TemplateKind, path: &str) -> Result<Vec<TemplateChange>, Unread> {
        let mut changes = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let rest = if token.is_empty() { String::new() } else { format!("&continue={}", percent_encoded(&token)) };
            let text = self.text(&format!("{path}?limit={PAGE}{rest}")).await?;
            let page = object::of_page(kind, &text);
            let (objects, next) = page.map_err(|error| Unread::Other(format!("the list is no JSON: {error}")))?;
            changes.extend(objects.into_iter().map(|object| TemplateChange::Applied(Box::new(object))));
            match next {
                None => return Ok(changes),
                Some(next) if next == token => {
                    return Err(Unread::Other("the API server sends the same page again".to_owned()));
                }
                Some(next) => token = next,
            }
        }
        Err(Unread::Other(format!("there are more than {}", MAX_PAGES * PAGE)))
    }

    /// The object with its API version and kind; what is wrong is told.
    pub(super) async fn object(&mut self, kind: &'static Kind, namespace: &str, name: &str) -> Option<Value> {
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
}

/// The text as the value of a query: every byte escaped that could mean something else in a URL.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            other => _ = write!(encoded, "%{other:02X}"),
        }
    }
    encoded
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

pub(super) fn items(list: &Value) -> Vec<Value> {
    list.get("items").and_then(Value::as_array).cloned().unwrap_or_default()
}

pub(super) fn name_of(object: &Value) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper::{Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    /// Reads templates from an API server that gives for each query the token of the next page.
    async fn read(next: fn(&str) -> String) -> (Result<usize, String>, usize) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let server = service_fn(move |request: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let token = next(request.uri().query().unwrap_or_default());
            let item = r#"{"metadata": {"name": "a", "uid": "u", "resourceVersion": "1"}, "spec": {}}"#;
            let page = format!(r#"{{"metadata": {{"continue": "{token}"}}, "items": [{item}]}}"#);
            async move { Ok::<_, std::convert::Infallible>(Response::new(Body::from(page.into_bytes()))) }
        });
        let reader = Reader::new(Client::new(server, "default"), Duration::from_secs(5), "");
        let found = reader.template_objects(TemplateKind::Cluster, "/apis/x").await;
        let found = found.map(|found| found.len()).map_err(|why| match why {
            Unread::Absent => "absent".to_owned(),
            Unread::Forbidden(why) | Unread::Other(why) => why,
        });
        (found, calls.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn tokens_of_pages_are_escaped() {
        let next = |query: &str| match query.split_once("&continue=") {
            None => "a&limit=1 #%/ü".to_owned(),
            Some((_, token)) => {
                assert_eq!(token, "a%26limit%3D1%20%23%25%2F%C3%BC");
                String::new()
            }
        };
        assert_eq!(read(next).await, (Ok(2), 2));
    }

    #[tokio::test]
    async fn a_list_without_an_end_is_an_error() {
        let (found, calls) = read(|_| "again".to_owned()).await;
        assert!(found.is_err_and(|why| why.contains("same page")) && calls == 2);
        let longer = |query: &str| {
            query.split_once("&continue=").map_or_else(|| "x".to_owned(), |(_, token)| format!("{token}x"))
        };
        let (found, calls) = read(longer).await;
        assert!(found.is_err_and(|why| why.contains("more than 100000")) && calls == MAX_PAGES);
    }
}

//! Reads the template objects of a cluster for the command line.
//!
//! Invariant: an object that cannot be read is a failure, and one that does not load a warning.

use anyhow::bail;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::cluster::{self, ApiRequest, Caller, ClusterArgs, Failure, Lookup, filter_page};
use super::fleet::Scope;
use super::terminal::printable;
use super::{check, stdio};
use crate::api::template_object::{GROUP, TemplateKind, VERSION};
use crate::inject::text::suggest;
use crate::inject::{SourceText, TemplateSet};

/// The objects of these kinds as texts, those of namespaces of one namespace or of all; and what could
/// not be read.
pub(super) async fn read(
    args: &ClusterArgs,
    kinds: &[TemplateKind],
    namespace: Option<&str>,
) -> anyhow::Result<(Vec<SourceText>, Vec<Failure>)> {
    let (client, address) = cluster::connect(&args.selection(), args.timeout()).await?;
    check::ensure_reachable(&client, &address, args.timeout()).await?;
    let caller = Caller::new(client, args.timeout());
    let mut texts = Vec::new();
    let (mut is_absent, mut has_own) = (true, false);
    for kind in kinds {
        let gvk = GroupVersionKind::gvk(GROUP, VERSION, kind.kind());
        let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural());
        let namespace = namespace.filter(|_| *kind == TemplateKind::Namespaced);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(caller.client.clone(), namespace, &resource),
            None => Api::all_with(caller.client.clone(), &resource),
        };
        let request = ApiRequest { verb: "list", resource: kind.plural(), namespace };
        let api = &api;
        let page = |params: ListParams| async move {
            Ok(filter_page(api.list(&params).await?, |object| Some(source(*kind, &object))))
        };
        match caller.pages(&request, ListParams::default(), page).await {
            Lookup::Found(found) => {
                is_absent = false;
                has_own |= *kind == TemplateKind::Namespaced && !found.is_empty();
                texts.extend(found);
            }
            Lookup::Absent => {}
            Lookup::Unknown => is_absent = false,
        }
    }
    if is_absent {
        bail!(
            "the cluster has no template objects: their CustomResourceDefinitions are not installed; \
             `outrigger generate crds | kubectl apply -f -` installs them"
        );
    }
    if !has_own {
        Scope { namespace: namespace.map(str::to_owned), selector: None }.ensure_exists(&caller).await?;
    }
    Ok((texts, caller.failures()))
}

/// The templates of these objects. One that does not load is told on stderr.
pub(super) fn load(texts: &[SourceText]) -> TemplateSet {
    let loaded = TemplateSet::load(texts);
    for problem in loaded.problems {
        stdio::print_message(&format!("warning: {}", printable(&problem.to_string())));
    }
    loaded.templates
}

fn source(kind: TemplateKind, object: &DynamicObject) -> SourceText {
    let (name, namespace) = (object.metadata.name.as_deref(), object.metadata.namespace.as_deref());
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let spec = object.data.get("spec").cloned().unwrap_or(Value::Null);
    let api_version = format!("{GROUP}/{VERSION}");
    let document = json!({"apiVersion": api_version, "kind": kind.kind(), "metadata": metadata, "spec": spec});
    let title = [namespace, name].into_iter().flatten().collect::<Vec<_>>().join("/");
    SourceText { origin: format!("{}/{title}", kind.kind()), text: document.to_string() }
}

/// What is said of a name that no template has.
pub(super) fn none_is_called(name: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return format!("no template is called {name:?}; there are none");
    }
    let hint = suggest::did_you_mean(name, names.iter().copied());
    let hint = hint.map_or_else(|| format!("there are: {}", suggest::listed(names)), |hint| hint.to_string());
    format!("no template is called {name:?}; {hint}")
}

//! Reads the template objects of a cluster for the command line.
//!
//! Invariant: an object that cannot be read is a failure, and one that does not load a warning.

use anyhow::bail;
use kube::Client;
use kube::api::ListParams;
use kube::core::{ListMeta, ObjectList, Request, TypeMeta};

use super::cluster::{self, ApiRequest, Caller, ClusterArgs, Failure, Lookup};
use super::fleet::Scope;
use super::terminal::printable;
use super::{check, stdio};
use crate::api::template_object::{TemplateChange, TemplateKind, TemplateObject};
use crate::cluster::templates::object;
use crate::inject::TemplateSet;
use crate::inject::text::suggest;
use crate::source::custom_resource::TemplateObjects;

/// The objects of these kinds, those of namespaces of one namespace or of all; and what could not be
/// read.
pub(super) async fn read(
    args: &ClusterArgs,
    kinds: &[TemplateKind],
    namespace: Option<&str>,
) -> anyhow::Result<(Vec<TemplateObject>, Vec<Failure>)> {
    let (client, address) = cluster::connect(&args.selection(), args.timeout()).await?;
    check::ensure_reachable(&client, &address, args.timeout()).await?;
    let caller = Caller::new(client, args.timeout());
    let mut objects = Vec::new();
    let (mut is_absent, mut has_own) = (true, false);
    for kind in kinds {
        let namespace = namespace.filter(|_| *kind == TemplateKind::Namespaced);
        let request = ApiRequest { verb: "list", resource: kind.plural(), namespace };
        let client = &caller.client;
        let page = |params: ListParams| page(client, *kind, namespace, params);
        match caller.pages(&request, ListParams::default(), page).await {
            Lookup::Found(found) => {
                is_absent = false;
                has_own |= *kind == TemplateKind::Namespaced && !found.is_empty();
                objects.extend(found);
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
    Ok((objects, caller.failures()))
}

/// A page of a list as the server reads it, so that the texts of the objects stay as they are.
async fn page(
    client: &Client,
    kind: TemplateKind,
    namespace: Option<&str>,
    params: ListParams,
) -> kube::Result<ObjectList<TemplateObject>> {
    let path = object::path_in(kind, namespace);
    let request = Request::new(path).list(&params).map_err(kube::Error::BuildRequest)?;
    let text = client.request_text(request).await?;
    let (items, next) = object::of_page(kind, &text).map_err(kube::Error::SerdeError)?;
    let metadata = ListMeta { continue_: next, ..ListMeta::default() };
    Ok(ObjectList { types: TypeMeta::default(), metadata, items })
}

/// The templates of these objects, as the server loads them. One that does not load is told on stderr.
pub(super) fn load(objects: Vec<TemplateObject>) -> TemplateSet {
    let mut known = TemplateObjects::default();
    known.apply(objects.into_iter().map(|object| TemplateChange::Applied(Box::new(object))).collect());
    let loaded = TemplateSet::assemble(&known.sources(), &TemplateSet::default());
    for problem in loaded.problems {
        stdio::print_message(&format!("warning: {}", printable(&problem.to_string())));
    }
    loaded.templates
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

#[cfg(test)]
pub(super) mod tests {
    use hyper::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;
    use crate::api::template_object::{ObjectKey, TemplateObjectStatus};

    /// An object as the API server has it.
    pub(in crate::cli) fn object(key: ObjectKey, spec: &Value) -> TemplateObject {
        let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": key.kind().kind(),
            "metadata": {"name": key.name}, "spec": spec})
        .to_string();
        let status = TemplateObjectStatus::default();
        TemplateObject { key, uid: "u".to_owned(), generation: 1, document, status }
    }

    #[tokio::test]
    async fn characters_that_yaml_does_not_allow_are_read_as_the_server_reads_them() {
        const TEXT: &str = "a\u{9b}2J\u{7f}b";
        let spec = json!({
            "parameters": [{"name": "text", "type": "string", "default": TEXT}],
            "sidecars": [{"name": "agent", "image": "agent:1", "args": ["${params.text}"]}],
        });
        let server = service_fn(move |request: Request<Body>| {
            assert_eq!(request.uri().path(), "/apis/outrigger.dev/v1alpha1/namespaces/shop/injectiontemplates");
            let metadata = json!({"name": "agent", "namespace": "shop", "uid": "u", "generation": 1});
            let list = json!({"metadata": {}, "items": [{"metadata": metadata, "spec": spec}]});
            async move { Ok::<_, std::convert::Infallible>(Response::new(Body::from(list.to_string().into_bytes()))) }
        });
        let client = Client::new(server, "default");
        let found = page(&client, TemplateKind::Namespaced, Some("shop"), ListParams::default()).await.expect("a page");
        let templates = load(found.items);
        let status = templates.all().next().expect("a template");
        assert_eq!(
            (status.name, status.namespace, status.origin),
            ("agent", Some("shop"), "InjectionTemplate/shop/agent")
        );
        let parameters = status.interface.expect("it works").parameters();
        assert_eq!(parameters[0]["default"], TEXT);
    }
}

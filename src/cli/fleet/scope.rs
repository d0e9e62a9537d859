//! The namespaces of which a command speaks: one, or all.

use anyhow::bail;
use clap::Args;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use tokio::time::timeout;

use super::selector::PodSelector;
use crate::cli::cluster::Caller;
use crate::cli::{complete, values};
use crate::inject::text::suggest;

/// Most namespaces among which the nearest name is looked for.
const MAX_NAMES: u32 = 500;

/// The flags that choose namespaces and pods, with the names of kubectl.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ScopeArgs {
    /// Namespace [default: that of the context, else "default"]
    #[arg(short, long, value_name = "NAMESPACE", value_parser = values::namespace, add = complete::namespaces(), conflicts_with = "all_namespaces")]
    namespace: Option<String>,

    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Only pods with these labels, such as app=web,tier!=db
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = selector)]
    selector: Option<String>,
}

/// Where pods are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Scope {
    /// `None` for all namespaces.
    pub namespace: Option<String>,
    /// A label selector.
    pub selector: Option<String>,
}

/// `-l`: refused as the API server would refuse it.
fn selector(text: &str) -> Result<String, String> {
    PodSelector::parse(text).map(|_| text.to_owned())
}

impl ScopeArgs {
    /// Whether labels choose the pods.
    pub(in crate::cli) const fn has_selector(&self) -> bool {
        self.selector.is_some()
    }

    /// The scope for a client, whose context may name a namespace.
    pub(in crate::cli) fn scope(&self, client: &Client) -> Scope {
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Scope { namespace: (!self.all_namespaces).then_some(namespace), selector: self.selector.clone() }
    }
}

impl Scope {
    /// ` in namespace "shop"`, for sentences.
    pub(in crate::cli) fn place(&self) -> String {
        let place = match &self.namespace {
            Some(namespace) => format!("in namespace {namespace:?}"),
            None => "in any namespace".to_owned(),
        };
        match &self.selector {
            Some(selector) => format!("{place} with the labels {selector:?}"),
            None => place,
        }
    }

    /// Fails if the only namespace does not exist. For commands that have found nothing in it: a name that
    /// is mistyped looks like an empty namespace. What may not be read is not said.
    pub(in crate::cli) async fn ensure_exists(&self, caller: &Caller) -> anyhow::Result<()> {
        let Some(name) = &self.namespace else { return Ok(()) };
        let api: Api<Namespace> = Api::all(caller.client.clone());
        let found = timeout(caller.limit, api.get_metadata(name)).await;
        if !matches!(found, Ok(Err(kube::Error::Api(status))) if status.code == 404) {
            return Ok(());
        }
        let all = timeout(caller.limit, api.list_metadata(&ListParams::default().limit(MAX_NAMES))).await;
        let names: Vec<String> =
            all.into_iter().flatten().flat_map(|list| list.items).filter_map(|one| one.metadata.name).collect();
        let hint = suggest::did_you_mean(name, names.iter().map(String::as_str));
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        bail!("there is no namespace {name:?}{hint}")
    }

    /// The API of a resource in these namespaces.
    pub(in crate::cli) fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::{Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    /// What is said if the API server gives these two responses.
    async fn told(get: (u16, &'static str), list: (u16, &'static str)) -> Option<String> {
        let server = service_fn(move |request: Request<Body>| {
            let (status, body) = if request.uri().path().ends_with("/namespaces") { list } else { get };
            let response = Response::builder().status(status).body(Body::from(body.as_bytes().to_vec()));
            async move { response }
        });
        let caller = Caller::new(Client::new(server, "default"), Duration::from_secs(5));
        let scope = Scope { namespace: Some("shpo".to_owned()), selector: None };
        scope.ensure_exists(&caller).await.err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_namespace_that_does_not_exist_is_named_with_the_nearest() {
        const ABSENT: &str =
            r#"{"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "x"}"#;
        const FORBIDDEN: &str =
            r#"{"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "x"}"#;
        const LIST: &str =
            r#"{"metadata": {}, "items": [{"metadata": {"name": "kitchen"}}, {"metadata": {"name": "shop"}}]}"#;
        const FOUND: &str = r#"{"metadata": {"name": "shpo"}}"#;
        let near = Some("there is no namespace \"shpo\"; did you mean \"shop\"?".to_owned());
        assert_eq!(told((404, ABSENT), (200, LIST)).await, near);
        assert_eq!(told((404, ABSENT), (403, FORBIDDEN)).await, Some("there is no namespace \"shpo\"".to_owned()));
        assert_eq!(told((403, FORBIDDEN), (200, LIST)).await, None);
        assert_eq!(told((200, FOUND), (200, LIST)).await, None);
    }
}

//! The namespaces of which a command speaks: one, or all.

use clap::Args;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};

use crate::cli::{complete, values};

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
    #[arg(short = 'l', long, value_name = "SELECTOR")]
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

impl ScopeArgs {
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

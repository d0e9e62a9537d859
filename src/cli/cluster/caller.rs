//! Calls the API server with a timeout, and records each failure.
//!
//! Invariant: a failed call records a failure, so that every object that could not be read is
//! reported.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::api::ListParams;
use kube::core::ObjectList;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::lookup::{Failure, Lookup};
use crate::cluster::explain;

/// Number of objects of one page.
const PAGE: u32 = 500;
/// Maximum number of pages of one kind; more objects tell nothing new.
pub(in crate::cli) const MAX_PAGES: usize = 200;

/// The client, and the failures so far.
pub(in crate::cli) struct Caller {
    pub client: Client,
    pub limit: Duration,
    failures: Mutex<Vec<Failure>>,
}

/// The request, such as `get` `services` `in namespace "x"`.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct ApiRequest<'w> {
    pub verb: &'w str,
    pub resource: &'w str,
    /// `None` for all namespaces, and for cluster-scoped objects.
    pub namespace: Option<&'w str>,
}

impl ApiRequest<'_> {
    fn text(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{} {} in namespace {namespace:?}", self.verb, self.resource),
            None => format!("{} {} in the whole cluster", self.verb, self.resource),
        }
    }
}

impl Caller {
    pub(in crate::cli) fn new(client: Client, limit: Duration) -> Self {
        Self { client, limit, failures: Mutex::default() }
    }

    /// Records a failure; one that is known already is not repeated.
    pub(in crate::cli) fn fail(&self, failure: Failure) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }

    pub(in crate::cli) fn fail_with(&self, request: &ApiRequest<'_>, problem: impl Into<String>) {
        self.fail(Failure::Other { what: request.text(), problem: problem.into() });
    }

    pub(in crate::cli) fn forbid(&self, request: &ApiRequest<'_>) {
        self.fail(Failure::Forbidden { right: request.text() });
    }

    /// All failures so far.
    pub(in crate::cli) fn failures(&self) -> Vec<Failure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The result of a call. A failure is recorded; an absent object is no failure.
    pub(in crate::cli) async fn observe<T>(
        &self,
        request: &ApiRequest<'_>,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Lookup<T> {
        match timeout(self.limit, call).await {
            Ok(Ok(found)) => Lookup::Found(found),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Lookup::Absent,
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                self.forbid(request);
                Lookup::Unknown
            }
            Ok(Err(error)) => {
                self.fail_with(request, explain(&error));
                Lookup::Unknown
            }
            Err(_) => {
                self.fail_with(request, self.timeout_message());
                Lookup::Unknown
            }
        }
    }

    pub(in crate::cli) async fn get<K>(
        &self,
        api: Api<K>,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Lookup<K>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.observe(&ApiRequest { verb: "get", resource, namespace }, api.get(name)).await
    }

    /// A list, read in pages. After a failure the whole list is `Unknown`.
    pub(in crate::cli) async fn list<K>(
        &self,
        api: Api<K>,
        resource: &str,
        namespace: Option<&str>,
        params: ListParams,
    ) -> Lookup<Vec<K>>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let request = ApiRequest { verb: "list", resource, namespace };
        self.pages(&request, params, |params| {
            let api = api.clone();
            async move { api.list(&params).await }
        })
        .await
    }

    /// As [`Caller::list`], with a function that reads a page.
    pub(in crate::cli) async fn pages<K: Clone, F>(
        &self,
        request: &ApiRequest<'_>,
        mut params: ListParams,
        page: impl Fn(ListParams) -> F,
    ) -> Lookup<Vec<K>>
    where
        F: Future<Output = kube::Result<ObjectList<K>>>,
    {
        params.limit = Some(PAGE);
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            match self.observe(request, page(params.clone())).await {
                Lookup::Found(list) => {
                    all.extend(list.items);
                    params.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
                }
                Lookup::Absent => return Lookup::Absent,
                Lookup::Unknown => return Lookup::Unknown,
            }
            if params.continue_token.is_none() {
                return Lookup::Found(all);
            }
        }
        let most = MAX_PAGES * usize::try_from(PAGE).unwrap_or(usize::MAX);
        self.fail_with(request, format!("there are more than {most}, and only so many were read"));
        Lookup::Found(all)
    }

    pub(in crate::cli) fn timeout_message(&self) -> String {
        format!("no response within {:?}", self.limit)
    }
}

/// Keeps only the needed part of each object: a cluster has many, and they may be large.
pub(in crate::cli) fn filter_page<O: Clone, K: Clone>(
    page: ObjectList<O>,
    keep: impl FnMut(O) -> Option<K>,
) -> ObjectList<K> {
    ObjectList { types: page.types, metadata: page.metadata, items: page.items.into_iter().filter_map(keep).collect() }
}

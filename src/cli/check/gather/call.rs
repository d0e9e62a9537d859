//! One call of the API server: bounded in time, and with a name for what goes wrong.
//!
//! Invariant: a call that fails leaves a failure, so that nothing that was not seen goes unsaid.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::api::ListParams;
use kube::core::ObjectList;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::super::facts::{Failure, Look};
use crate::cluster::explain;

/// Objects of one page.
const PAGE: u32 = 500;
/// So many pages are read of one kind; more objects than that tell nothing new.
const MAX_PAGES: usize = 200;

/// Who calls, and what went wrong so far.
pub struct Caller {
    pub client: Client,
    pub limit: Duration,
    failures: Mutex<Vec<Failure>>,
}

/// What is asked for, such as `get` `services` `in namespace "x"`.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    pub verb: &'w str,
    pub resource: &'w str,
    /// `None` for all namespaces, and for what is in none.
    pub namespace: Option<&'w str>,
}

impl Wanted<'_> {
    fn text(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{} {} in namespace {namespace:?}", self.verb, self.resource),
            None => format!("{} {} in the whole cluster", self.verb, self.resource),
        }
    }
}

impl Caller {
    pub fn new(client: Client, limit: Duration) -> Self {
        Self { client, limit, failures: Mutex::default() }
    }

    pub fn fail(&self, failure: Failure) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    }

    pub fn fail_with(&self, wanted: &Wanted<'_>, problem: impl Into<String>) {
        self.fail(Failure::Other { what: wanted.text(), problem: problem.into() });
    }

    pub fn forbid(&self, wanted: &Wanted<'_>) {
        self.fail(Failure::Forbidden { right: wanted.text() });
    }

    /// All failures so far.
    pub fn failures(&self) -> Vec<Failure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The value of a call; its failure is kept, but that something is not there is none.
    pub async fn look<T>(&self, wanted: &Wanted<'_>, call: impl Future<Output = kube::Result<T>>) -> Look<T> {
        match timeout(self.limit, call).await {
            Ok(Ok(found)) => Look::Found(found),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Look::Absent,
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                self.forbid(wanted);
                Look::Unknown
            }
            Ok(Err(error)) => {
                self.fail_with(wanted, explain(&error));
                Look::Unknown
            }
            Err(_) => {
                self.fail_with(wanted, self.silence());
                Look::Unknown
            }
        }
    }

    pub async fn get<K>(&self, api: Api<K>, resource: &str, namespace: Option<&str>, name: &str) -> Look<K>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.look(&Wanted { verb: "get", resource, namespace }, api.get(name)).await
    }

    /// A list in pages. What came before a failure is given up: half a list is none.
    pub async fn list<K>(
        &self,
        api: Api<K>,
        resource: &str,
        namespace: Option<&str>,
        params: ListParams,
    ) -> Look<Vec<K>>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let wanted = Wanted { verb: "list", resource, namespace };
        self.pages(&wanted, params, |params| {
            let api = api.clone();
            async move { api.list(&params).await }
        })
        .await
    }

    /// As [`Caller::list`], for any way to get a page.
    pub async fn pages<K: Clone, F>(
        &self,
        wanted: &Wanted<'_>,
        mut params: ListParams,
        page: impl Fn(ListParams) -> F,
    ) -> Look<Vec<K>>
    where
        F: Future<Output = kube::Result<ObjectList<K>>>,
    {
        params.limit = Some(PAGE);
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            match self.look(wanted, page(params.clone())).await {
                Look::Found(list) => {
                    all.extend(list.items);
                    params.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
                }
                Look::Absent => return Look::Absent,
                Look::Unknown => return Look::Unknown,
            }
            if params.continue_token.is_none() {
                return Look::Found(all);
            }
        }
        let most = MAX_PAGES * usize::try_from(PAGE).unwrap_or(usize::MAX);
        self.fail_with(wanted, format!("there are more than {most}, and only so many were looked at"));
        Look::Found(all)
    }

    pub fn silence(&self) -> String {
        format!("no answer within {:?}", self.limit)
    }
}

/// What is needed of the objects of a page. The rest is dropped with the page: a cluster has many of them, and they may be large.
pub fn kept<O: Clone, K: Clone>(page: ObjectList<O>, keep: impl FnMut(O) -> Option<K>) -> ObjectList<K> {
    ObjectList { types: page.types, metadata: page.metadata, items: page.items.into_iter().filter_map(keep).collect() }
}

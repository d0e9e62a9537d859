//! One object of the cluster, watched by its name: the last thing that was heard of it.
//!
//! Invariant: a watch that breaks changes nothing of what is known.

use std::fmt::Debug;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Error};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::complaint::Complaint;
use super::jitter::Backoff;

/// What is known of an object.
#[derive(Debug)]
pub enum Seen<K> {
    /// Nothing was heard yet.
    Unknown,
    Absent,
    Present(Arc<K>),
}

impl<K> Clone for Seen<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Absent => Self::Absent,
            Self::Present(object) => Self::Present(Arc::clone(object)),
        }
    }
}

/// Watches one object until nobody wants to know any more.
pub fn object<K>(api: Api<K>, name: &str) -> watch::Receiver<Seen<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (sender, receiver) = watch::channel(Seen::Unknown);
    let stream = watcher::watch_object(api, name).backoff(Backoff::default());
    tokio::spawn(follow(name.to_owned(), stream, sender, |object| {
        object.map_or(Seen::Absent, |object| Seen::Present(Arc::new(object)))
    }));
    receiver
}

/// Tells that an object has changed, without ever having its content: for a Secret that only its keeper reads.
pub fn changes<K>(api: Api<PartialObjectMeta<K>>, name: &str) -> watch::Receiver<()>
where
    K: Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()>,
{
    let (sender, receiver) = watch::channel(());
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let stream = watcher::watcher(api, config).backoff(Backoff::default());
    tokio::spawn(follow(name.to_owned(), stream, sender, drop));
    receiver
}

/// Passes on what comes, until nobody wants to know any more.
async fn follow<T, S>(
    name: String,
    stream: impl Stream<Item = Result<T, Error>>,
    sender: watch::Sender<S>,
    seen: impl Fn(T) -> S,
) {
    let mut stream = std::pin::pin!(stream);
    let mut complaint = Complaint::default();
    loop {
        let item = tokio::select! {
            item = stream.next() => item,
            () = sender.closed() => return,
        };
        match item {
            Some(Ok(item)) => {
                complaint.is_over(|| tracing::info!(object = name, "the watch is taken up again"));
                sender.send_replace(seen(item));
            }
            Some(Err(error)) => {
                let problem = explain(&error);
                complaint.is(&problem, || {
                    tracing::warn!(
                        object = name,
                        problem,
                        "the watch broke; what is known stays until it is taken up again"
                    );
                });
            }
            None => return,
        }
    }
}

/// The error of a watch on one line.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            super::explain(error)
        }
        Error::WatchError(status) => status.message.clone(),
        Error::NoResourceVersion => "the answer has no resourceVersion".to_owned(),
    }
}

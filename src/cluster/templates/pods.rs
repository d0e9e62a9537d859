//! Counts the pods that carry each template and revision, by their labels.
//!
//! Only metadata is listed, in pages, and counted page by page. Invariant: memory grows with the
//! number of templates and namespaces, and not with that of pods or of what their labels say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::queue::Reports;
use super::seen::Counts;
use crate::api::template_object::ObjectKey;
use crate::cluster::explain;
use crate::cluster::jitter::jittered;
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// Between two counts.
const INTERVAL: Duration = Duration::from_secs(300);
/// After a template has a new revision: by then a rollout has made some pods.
const AFTER_CHANGE: Duration = Duration::from_secs(15);
/// The least time between two counts.
const LEAST: Duration = Duration::from_secs(60);
/// Pods of a page.
const PAGE: u32 = 500;
/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The numbers of pods by template; `None` before the first count.
pub(super) type PodCounts = Option<Arc<HashMap<ObjectKey, Counts>>>;

/// Counts pods from time to time.
pub(super) struct PodCounter {
    pub client: Client,
    /// The domain of the labels.
    pub domain: String,
    pub reports: watch::Receiver<Arc<Reports>>,
    pub counts: watch::Sender<PodCounts>,
}

impl PodCounter {
    /// Counts now, every [`INTERVAL`], and after revisions have changed. Never ends.
    pub(super) async fn run(&self) {
        let (mut reports, mut problems) = (self.reports.clone(), CountProblems::default());
        let (mut last, mut known) = (None, BTreeMap::new());
        let mut next = Instant::now();
        loop {
            let has_ended = tokio::select! {
                () = sleep_until(next) => None,
                changed = reports.changed() => Some(changed.is_err()),
            };
            match has_ended {
                Some(true) => return std::future::pending().await,
                Some(false) => {
                    let current = revisions(&reports.borrow_and_update());
                    if current != known {
                        known = current;
                        next = next.min(after_change(last, Instant::now()));
                    }
                }
                None => {
                    let current = Arc::clone(&reports.borrow_and_update());
                    known = revisions(&current);
                    // Without templates there is nothing to count, and nothing to ask for.
                    if !current.is_empty() {
                        self.count(&current, &mut problems).await;
                    }
                    last = (!current.is_empty()).then(Instant::now);
                    next = Instant::now() + jittered(INTERVAL);
                }
            }
        }
    }

    async fn count(&self, reports: &Reports, problems: &mut CountProblems) {
        match self.tally(reports).await {
            Ok(counts) => {
                problems.throttle.clear(|| tracing::info!("pods are counted again"));
                self.counts.send_replace(Some(Arc::new(counts)));
            }
            // Whoever installed it may have meant that, so once is enough.
            Err(CountError::Api(error)) if matches!(&error, kube::Error::Api(status) if status.code == 403) => {
                if !std::mem::replace(&mut problems.is_forbidden, true) {
                    tracing::info!(
                        problem = explain(&error),
                        "pods are not counted in the status of templates; allow the service account to list pods to see how many carry which revision"
                    );
                }
            }
            Err(error) => {
                let problem = error.to_string();
                problems.throttle.report(&problem, Urgency::Immediate, || {
                    tracing::warn!(problem, "pods cannot be counted; the status of templates keeps the last numbers");
                });
            }
        }
    }

    async fn tally(&self, reports: &Reports) -> Result<HashMap<ObjectKey, Counts>, CountError> {
        let pods: Api<PartialObjectMeta<Pod>> = Api::all(self.client.clone());
        // Metadata does not tell whether a pod has ended.
        let mut params = ListParams::default().limit(PAGE).fields("status.phase!=Succeeded,status.phase!=Failed");
        let mut tally = Tally::new(reports, &self.domain);
        loop {
            let page = timeout(PAGE_TIMEOUT, pods.list_metadata(&params)).await;
            let page = page.map_err(|_| CountError::Timeout)?.map_err(CountError::Api)?;
            page.items.iter().for_each(|pod| tally.add(&pod.metadata));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(tally.counts()),
            }
        }
    }
}

/// What was logged about counting.
#[derive(Default)]
struct CountProblems {
    throttle: ProblemThrottle,
    /// Whether it was logged that the right is missing.
    is_forbidden: bool,
}

/// Why pods were not counted.
#[derive(Debug, thiserror::Error)]
enum CountError {
    #[error("{}", explain(.0))]
    Api(kube::Error),
    #[error("the API server did not respond in time")]
    Timeout,
}

/// When to count after a change.
fn after_change(last: Option<Instant>, now: Instant) -> Instant {
    (now + AFTER_CHANGE).max(last.map_or(now, |last| last + LEAST))
}

/// What a change of makes a new count worthwhile.
fn revisions(reports: &Reports) -> BTreeMap<ObjectKey, (String, String)> {
    let of = |(key, report): (&ObjectKey, &Arc<crate::api::template_object::TemplateReport>)| {
        (key.clone(), (report.revision.clone(), report.stable_revision.clone()))
    };
    reports.iter().map(of).collect()
}

/// Counts that are being made.
struct Tally<'a> {
    suffix: String,
    /// The revisions of each template object.
    known: HashMap<&'a ObjectKey, HashSet<&'a str>>,
    counts: HashMap<&'a ObjectKey, Counts>,
    namespaces: HashMap<&'a ObjectKey, BTreeSet<Arc<str>>>,
    /// The namespace of the last pod: lists are sorted by namespace.
    namespace: Arc<str>,
}

impl<'a> Tally<'a> {
    fn new(reports: &'a Reports, domain: &str) -> Self {
        let revisions = |report: &'a crate::api::template_object::TemplateReport| {
            let stored = report.revisions.iter().map(|revision| revision.revision.as_str());
            stored.chain([report.revision.as_str(), report.stable_revision.as_str()]).collect()
        };
        Self {
            suffix: format!(".{domain}/revision"),
            known: reports.iter().map(|(key, report)| (key, revisions(report))).collect(),
            counts: HashMap::new(),
            namespaces: HashMap::new(),
            namespace: Arc::from(""),
        }
    }

    fn add(&mut self, pod: &ObjectMeta) {
        let namespace = pod.namespace.as_deref().unwrap_or_default();
        if *self.namespace != *namespace {
            self.namespace = Arc::from(namespace);
        }
        for (label, revision) in pod.labels.iter().flatten() {
            let Some(template) = label.strip_suffix(&self.suffix) else { continue };
            let Some((key, is_known)) = self.object_of(namespace, template, revision) else { continue };
            let counts = self.counts.entry(key).or_default();
            counts.pods += 1;
            // What else a label may say has no place in the status.
            if is_known {
                *counts.by_revision.entry(revision.clone()).or_default() += 1;
            }
            let namespaces = self.namespaces.entry(key).or_default();
            if !namespaces.contains(&self.namespace) {
                namespaces.insert(Arc::clone(&self.namespace));
            }
        }
    }

    /// The template that a label of a pod in this namespace speaks of, and whether it has the
    /// revision: that of the namespace if it has, else the cluster's.
    fn object_of(&self, namespace: &str, template: &str, revision: &str) -> Option<(&'a ObjectKey, bool)> {
        let find = |namespace: Option<&str>| {
            let key = ObjectKey { namespace: namespace.map(str::to_owned), name: template.to_owned() };
            let (key, revisions) = self.known.get_key_value(&key)?;
            Some((*key, revisions.contains(revision)))
        };
        find(Some(namespace)).filter(|(_, is_known)| *is_known).or_else(|| find(None))
    }

    fn counts(mut self) -> HashMap<ObjectKey, Counts> {
        for (key, namespaces) in self.namespaces {
            if let Some(counts) = self.counts.get_mut(key) {
                counts.namespaces = i64::try_from(namespaces.len()).unwrap_or(i64::MAX);
            }
        }
        // A template that no pod carries has counts too: zero.
        let counts = |key: &ObjectKey| self.counts.get(key).cloned().unwrap_or_default();
        self.known.keys().map(|key| ((*key).clone(), counts(key))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::report;
    use super::*;
    use crate::api::template_object::{ReportedRevision, TemplateReport};

    fn pod(namespace: &str, labels: &[(&str, &str)]) -> ObjectMeta {
        ObjectMeta {
            namespace: Some(namespace.to_owned()),
            labels: Some(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
            ..ObjectMeta::default()
        }
    }

    fn key(namespace: Option<&str>, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }

    fn reports(all: &[(Option<&str>, &str, &[&str])]) -> Reports {
        let one = |(namespace, name, revisions): &(Option<&str>, &str, &[&str])| {
            let stored = |revision: &&str| ReportedRevision { revision: (*revision).to_owned(), spec: Arc::from([]) };
            let report = TemplateReport {
                key: key(*namespace, name),
                revision: revisions[0].to_owned(),
                stable_revision: revisions[0].to_owned(),
                revisions: revisions.iter().map(stored).collect(),
                ..report(name, 1)
            };
            (report.key.clone(), Arc::new(report))
        };
        all.iter().map(one).collect()
    }

    fn counted(reports: &Reports, pods: &[ObjectMeta]) -> HashMap<ObjectKey, Counts> {
        let mut tally = Tally::new(reports, "outrigger.dev");
        pods.iter().for_each(|pod| tally.add(pod));
        tally.counts()
    }

    #[test]
    fn pods_are_counted_by_template_revision_and_namespace() {
        let reports = reports(&[(None, "proxy", &["b", "a"]), (None, "logs", &["c"]), (None, "unused", &["d"])]);
        let pods = [
            pod("one", &[("proxy.outrigger.dev/revision", "a"), ("logs.outrigger.dev/revision", "c"), ("app", "x")]),
            pod("one", &[("proxy.outrigger.dev/revision", "b")]),
            pod("two", &[("proxy.outrigger.dev/revision", "b"), ("proxy.example.com/revision", "b")]),
            pod("two", &[("proxy.outrigger.dev/revision", "forgotten"), ("gone.outrigger.dev/revision", "b")]),
        ];
        let counts = counted(&reports, &pods);
        let proxy = &counts[&key(None, "proxy")];
        assert_eq!((proxy.pods, proxy.namespaces), (4, 2));
        assert_eq!(proxy.by_revision, [("a".to_owned(), 1), ("b".to_owned(), 2)].into());
        assert_eq!(counts[&key(None, "logs")].pods, 1);
        assert_eq!(counts[&key(None, "unused")], Counts::default());
        assert_eq!(counts.len(), 3);
    }

    #[test]
    fn a_label_means_the_template_of_the_namespace_if_that_has_the_revision() {
        let reports =
            reports(&[(None, "proxy", &["a"]), (Some("shop"), "proxy", &["b"]), (Some("shop"), "own", &["c"])]);
        let label = "proxy.outrigger.dev/revision";
        let pods = [
            pod("shop", &[(label, "b"), ("own.outrigger.dev/revision", "c")]),
            pod("shop", &[(label, "a")]),
            pod("shop", &[(label, "forgotten")]),
            pod("other", &[(label, "b"), ("own.outrigger.dev/revision", "c")]),
        ];
        let counts = counted(&reports, &pods);
        let pods_of = |namespace, name| counts[&key(namespace, name)].pods;
        assert_eq!((pods_of(Some("shop"), "proxy"), pods_of(None, "proxy"), pods_of(Some("shop"), "own")), (1, 3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_counted_soon_and_at_most_once_a_minute() {
        let now = Instant::now();
        assert_eq!(after_change(None, now), now + AFTER_CHANGE);
        assert_eq!(after_change(Some(now), now), now + LEAST);
        assert_eq!(after_change(Some(now), now + Duration::from_secs(200)), now + Duration::from_secs(215));
    }
}

//! Template objects are followed, and their status is written, against a real API server.
//!
//! The test stands for the app: it takes the changes and reports what a status should say.
//!
//! Invariant: the control plane is the test's own, since kinds are not of a namespace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use outrigger::api::template_object::{
    ObjectKey, ReportedRevision, TemplateChange, TemplateKind, TemplateObject, TemplateReport,
};
use outrigger::cluster::leader::election::LeaseTiming;
use outrigger::cluster::templates::{ListState, Reports, TemplateFeed};
use outrigger::cluster::{self, BackgroundSettings, BackgroundTasks, Objects};
use outrigger::telemetry::metrics::Metrics;
use serde_json::{Value, json};

use crate::cluster::{Cluster, pod};
use crate::control_plane::assets;
use crate::process::{eventually, pause};

tests! {
    template_objects_are_followed_through_an_outage_and_their_status_is_kept_right,
}

const LIMIT: Duration = Duration::from_secs(60);
const GROUP: &str = "/apis/outrigger.dev/v1alpha1";

/// Creates the kinds, with a status and without a schema.
fn apply_kinds(cluster: &Cluster) {
    for (kind, scope) in [(TemplateKind::Cluster, "Cluster"), (TemplateKind::Namespaced, "Namespaced")] {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{}.outrigger.dev", kind.plural())},
            "spec": {
                "group": "outrigger.dev", "scope": scope,
                "names": {
                    "kind": kind.kind(), "plural": kind.plural(), "singular": kind.kind().to_lowercase(),
                    "listKind": format!("{}List", kind.kind()),
                },
                "versions": [{
                    "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": open},
                }],
            },
        });
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        cluster.send_object("POST", path, &definition).expect_success();
        eventually("the kind is served", LIMIT, || {
            cluster.get(&format!("{GROUP}/{}", kind.plural())).is_success().then_some(())
        });
    }
}

/// What the app would be.
struct App {
    feed: TemplateFeed,
    /// Tells that there are changes.
    woken: Receiver<()>,
    applied: u64,
    objects: BTreeMap<ObjectKey, TemplateObject>,
    reports: Reports,
    metrics: Arc<Metrics>,
}

impl App {
    /// Starts the background tasks as the program does, without certificates.
    fn start(cluster: &Cluster) -> (Self, BackgroundTasks) {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "outrigger"}});
        cluster.ensure("/apis/coordination.k8s.io/v1/namespaces/default/leases", &lease);
        let settings = BackgroundSettings {
            objects: Objects {
                namespace: "default".to_owned(),
                webhook_configuration: "outrigger".to_owned(),
                ca_secret: "outrigger-ca".to_owned(),
                serving_secret: "outrigger-serving".to_owned(),
                lease: "outrigger".to_owned(),
            },
            name: "test".to_owned(),
            domain: "outrigger.dev".to_owned(),
            timing: LeaseTiming::default(),
            certificates: None,
        };
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let _runtime = cluster.runtime.enter();
        let mut background =
            cluster::start(&cluster.client(), settings, &metrics, std::future::pending()).expect("metrics");
        let feed = background.templates.take().expect("there is a feed");
        let (wake, woken) = channel();
        // The test may be over.
        feed.wakeup.set(move || _ = wake.send(()));
        (Self { feed, woken, applied: 0, objects: BTreeMap::new(), reports: Reports::new(), metrics }, background)
    }

    /// Takes the changes that have come; returns whether all are known.
    fn is_current(&mut self) -> bool {
        while let Ok(change) = self.feed.changes.try_recv() {
            self.applied += 1;
            match change {
                TemplateChange::Applied(object) => _ = self.objects.insert(object.key.clone(), *object),
                TemplateChange::Deleted(key) => _ = self.objects.remove(&key),
                TemplateChange::KindMissing(kind) => self.objects.retain(|key, _| key.kind() != kind),
                TemplateChange::ListBegins(_) | TemplateChange::ListEnds(_) => {}
            }
        }
        self.feed.health.is_current(self.applied)
    }

    /// Waits until all is known and the object is as it should be.
    fn wait_for(&mut self, what: &str, mut is_so: impl FnMut(&BTreeMap<ObjectKey, TemplateObject>) -> bool) {
        let end = Instant::now() + LIMIT;
        while !(self.is_current() && is_so(&self.objects)) {
            assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
            // The health changes without a change of an object.
            _ = self.woken.recv_timeout(Duration::from_millis(50));
        }
    }

    /// Reports on every object that is known.
    fn report(&mut self, change: impl Fn(&mut TemplateReport)) {
        let report = |object: &TemplateObject| {
            let mut report = TemplateReport {
                key: object.key.clone(),
                uid: object.uid.clone(),
                generation: object.generation,
                is_ready: true,
                reason: "Loaded",
                message: "pods get this template".to_owned(),
                injection: "OptIn",
                sidecars: "proxy".to_owned(),
                revision: "0123456789".to_owned(),
                stable_revision: "0123456789".to_owned(),
                warnings: Vec::new(),
                revisions: Vec::new(),
            };
            change(&mut report);
            (object.key.clone(), Arc::new(report))
        };
        self.reports = self.objects.values().map(report).collect();
        self.feed.reports.send_replace(Arc::new(self.reports.clone()));
    }

    fn metric(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.metrics.render().expect("a text")).expect("UTF-8");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no metric {name} in {text}"))
    }

    fn written(&self) -> u64 {
        self.metric("outrigger_template_status_writes_total{result=\"success\"}")
    }
}

fn key(namespace: Option<&str>, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.map(str::to_owned), name: name.to_owned() }
}

fn path(key: &ObjectKey) -> String {
    match &key.namespace {
        Some(namespace) => format!("{GROUP}/namespaces/{namespace}/injectiontemplates"),
        None => format!("{GROUP}/clusterinjectiontemplates"),
    }
}

fn create(cluster: &Cluster, key: &ObjectKey) {
    let object = json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": key.kind().kind(), "metadata": {"name": key.name},
        "spec": {"sidecars": [{"name": "proxy", "image": "registry.example/proxy:1"}]},
    });
    cluster.send_object("POST", &path(key), &object).expect_success();
}

fn status(cluster: &Cluster, key: &ObjectKey) -> Value {
    cluster.get(&format!("{}/{}", path(key), key.name)).body["status"].clone()
}

fn template_objects_are_followed_through_an_outage_and_their_status_is_kept_right() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(&assets())));
    let (mut app, background) = App::start(cluster);
    app.wait_for("the kinds are missing", |objects| objects.is_empty());
    assert_eq!((app.applied, app.feed.health.list_state(TemplateKind::Cluster)), (2, ListState::Missing));
    apply_kinds(cluster);
    let health = app.feed.health.clone();
    eventually("they are listed", LIMIT, || {
        app.is_current();
        TemplateKind::ALL.iter().all(|kind| health.list_state(*kind) == ListState::Listed).then_some(())
    });

    let (proxy, own) = (key(None, "proxy"), key(Some("default"), "own"));
    create(cluster, &proxy);
    create(cluster, &own);
    app.wait_for("both are applied", |objects| objects.len() == 2);
    assert!(app.objects[&proxy].document.contains("registry.example/proxy:1"), "{:?}", app.objects[&proxy]);

    statuses_are_written_once_and_put_right(cluster, &mut app, &proxy, &own);
    a_broken_template_has_an_event(cluster, &mut app, &proxy);
    an_outage_is_told_and_made_up_for(cluster, &mut app);
    many_are_written_once_each(cluster, &mut app);
    pods_are_counted_after_a_new_revision(cluster, &mut app, &proxy);
    cluster.runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(1), background.lease_released()).await.expect_err("it goes on");
    });
}

fn statuses_are_written_once_and_put_right(cluster: &Cluster, app: &mut App, proxy: &ObjectKey, own: &ObjectKey) {
    app.report(|_| {});
    for key in [proxy, own] {
        let status = eventually("the status is written", LIMIT, || {
            Some(status(cluster, key)).filter(|status| status["revision"] == "0123456789")
        });
        assert_eq!(status["conditions"][0]["status"], "True", "{status}");
        assert_eq!(status["observedGeneration"], 1, "{status}");
    }
    // The counts of pods are zero as before; nothing else happens.
    pause(Duration::from_secs(3));
    assert_eq!(app.written(), 2);
    let managers =
        cluster.get(&format!("{}/{}", path(proxy), proxy.name)).body["metadata"]["managedFields"].to_string();
    assert!(managers.contains("\"outrigger-status\""), "{managers}");

    let before = status(cluster, proxy);
    let wrong = json!({"status": {"revision": "from somebody else", "warnings": ["w"]}}).to_string().into_bytes();
    let to = format!("{}/{}/status", path(proxy), proxy.name);
    cluster.send("PATCH", &to, "application/merge-patch+json", wrong).expect_success();
    eventually("it is put right", LIMIT, || (status(cluster, proxy) == before).then_some(()));
    assert_eq!(app.written(), 3);
    // Made anew under the same name: the old report is not for it.
    cluster.send("DELETE", &format!("{}/{}", path(own), own.name), "application/json", Vec::new()).expect_success();
    create(cluster, own);
    pause(Duration::from_secs(2));
    assert_eq!(status(cluster, own), Value::Null);
    app.wait_for("the new one is applied", |objects| objects.contains_key(own));
    app.report(|_| {});
    eventually("it has its status", LIMIT, || (status(cluster, own)["revision"] == "0123456789").then_some(()));
}

fn a_broken_template_has_an_event(cluster: &Cluster, app: &mut App, proxy: &ObjectKey) {
    app.report(|report| {
        if report.key.namespace.is_none() {
            (report.is_ready, report.reason, report.message) = (false, "Invalid", "spec: no sidecar".to_owned());
        }
    });
    let event = eventually("there is an Event", LIMIT, || {
        let events = cluster.get("/apis/events.k8s.io/v1/namespaces/default/events").body["items"].clone();
        events.as_array()?.iter().find(|event| event["reason"] == "Invalid").cloned()
    });
    assert_eq!(
        (&event["note"], &event["regarding"]["kind"]),
        (&json!("spec: no sidecar"), &json!("ClusterInjectionTemplate"))
    );
    assert_eq!(status(cluster, proxy)["conditions"][0]["status"], "False");
    let description = std::process::Command::new(&cluster.control_plane.kubectl)
        .arg("--kubeconfig")
        .arg(&cluster.control_plane.kubeconfig)
        .args(["describe", "clusterinjectiontemplate", "proxy"])
        .output()
        .expect("kubectl runs");
    let description = String::from_utf8_lossy(&description.stdout).into_owned();
    assert!(description.contains("spec: no sidecar") && description.contains("Warning"), "{description}");
    app.report(|_| {});
    eventually("it is ready", LIMIT, || (status(cluster, proxy)["conditions"][0]["status"] == "True").then_some(()));
}

fn an_outage_is_told_and_made_up_for(cluster: &Cluster, app: &mut App) {
    cluster.control_plane.stop_api_server();
    let health = app.feed.health.clone();
    eventually("it is told", LIMIT, || (!health.is_healthy()).then_some(()));
    assert_eq!(app.metric("outrigger_template_watch_healthy"), 0);
    pause(Duration::from_secs(5));
    assert!(!app.is_current() && app.objects.len() == 2, "nothing is taken back");
    cluster.control_plane.start_api_server();
    create(cluster, &key(None, "later"));
    let started = Instant::now();
    app.wait_for("it catches up", |objects| objects.len() == 3);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!((app.metric("outrigger_template_watch_healthy"), health.problems().len()), (1, 0));
}

fn many_are_written_once_each(cluster: &Cluster, app: &mut App) {
    const MANY: usize = 300;
    app.report(|_| {});
    eventually("this replica leads again", LIMIT, || {
        (status(cluster, &key(None, "later"))["revision"] == "0123456789").then_some(())
    });
    let before = app.written();
    (0..MANY).for_each(|index| create(cluster, &key(None, &format!("many-{index}"))));
    app.wait_for("all are applied", |objects| objects.len() == 3 + MANY);
    app.report(|_| {});
    let expected = before + MANY as u64;
    eventually("all are written", LIMIT, || (app.written() >= expected).then_some(()));
    pause(Duration::from_secs(3));
    app.is_current();
    app.report(|_| {});
    pause(Duration::from_secs(3));
    assert_eq!(app.written(), expected);
    assert_eq!(app.metric("outrigger_template_status_writes_total{result=\"error\"}"), 0);
    let started = Instant::now();
    let (mut other, _background) = App::start(cluster);
    other.wait_for("another replica knows all", |objects| objects.len() == 3 + MANY);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(other.objects.values().all(|object| object.status.revision == "0123456789"));
}

fn pods_are_counted_after_a_new_revision(cluster: &'static Cluster, app: &mut App, proxy: &ObjectKey) {
    let namespace = cluster.namespace("counted", "none");
    for (name, revision) in [("first", "0123456789"), ("second", "aaaaaaaaaa"), ("third", "aaaaaaaaaa")] {
        let mut pod = pod(name, &json!({}));
        pod["metadata"]["labels"] = json!({"proxy.outrigger.dev/revision": revision});
        namespace.accepts(&pod);
    }
    app.report(|report| {
        report.revision = "aaaaaaaaaa".to_owned();
        let stored = |revision: &str| ReportedRevision { revision: revision.to_owned(), spec: Arc::from([]) };
        report.revisions = vec![stored("aaaaaaaaaa"), stored("0123456789")];
    });
    let status =
        eventually("pods are counted", 2 * LIMIT, || Some(status(cluster, proxy)).filter(|status| status["pods"] == 3));
    let of_revisions: Vec<&Value> =
        status["revisions"].as_array().expect("revisions").iter().map(|of| &of["pods"]).collect();
    assert_eq!((of_revisions, &status["namespaces"]), (vec![&json!(2), &json!(1)], &json!(1)), "{status}");
    let other = key(None, "later");
    assert_eq!(self::status(cluster, &other)["pods"], 0);
}

//! Tells by Events why a pod was refused, or left without what it asks for, and why a template is
//! not ready.
//!
//! Invariant: no request waits for an Event. The queue and the memory of what was sent are bounded,
//! and in five minutes the owner of pods gets one Event for a code, and a template object gets one,
//! from all replicas together.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::explain;
use super::task::supervise;
use crate::admission::{Cause, Owner, OwnerNotice};
use crate::api::template_object::{GROUP, ObjectKey, VERSION};
use crate::telemetry::metrics::{EventMetrics, EventResult};
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// Notices that wait to be sent.
const QUEUE: usize = 256;
/// Nobody gets a second Event for the same within this time.
const INTERVAL: Duration = Duration::from_secs(300);
/// Objects and codes that are remembered.
const REMEMBERED: usize = 4096;
/// Timeout of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest note of an Event, in bytes.
const MAX_NOTE: usize = 1024;
/// Where Events about cluster-scoped objects are.
const CLUSTER_NAMESPACE: &str = "default";
/// The program, in the form that the API demands.
const CONTROLLER: &str = "outrigger.dev/outrigger";

/// Takes notices and never waits.
#[derive(Clone)]
pub struct EventQueue {
    sender: mpsc::Sender<Notice>,
    metrics: EventMetrics,
}

impl EventQueue {
    /// Sends the notice soon, or drops it if too many wait.
    pub fn push(&self, notice: OwnerNotice) {
        let OwnerNotice { namespace, owner, causes } = notice;
        let owner_namespace = Some(namespace.clone());
        self.push_notice(Notice { namespace, object: owner, owner_namespace, about: About::Pods, causes });
    }

    /// Tells soon, on the template object, why it is not ready.
    pub(super) fn push_template(&self, key: &ObjectKey, uid: &str, reason: &'static str, message: &str) {
        let object = Owner {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: key.kind().kind().to_owned(),
            name: key.name.clone(),
            uid: uid.to_owned(),
        };
        let namespace = key.namespace.clone().unwrap_or_else(|| CLUSTER_NAMESPACE.to_owned());
        let causes = vec![Cause { code: reason, sentence: message.to_owned() }];
        let owner_namespace = key.namespace.clone();
        self.push_notice(Notice { namespace, object, owner_namespace, about: About::Template, causes });
    }

    fn push_notice(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            self.metrics.count(EventResult::Dropped);
        }
    }
}

/// What is told to whom.
struct Notice {
    /// Where the Events are.
    namespace: String,
    object: Owner,
    /// That of the object; none if it is cluster scoped.
    owner_namespace: Option<String>,
    about: About,
    /// An Event each.
    causes: Vec<Cause>,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// Pods of the object: one Event for each code.
    Pods,
    /// The template that the object is: one Event, whatever its reason.
    Template,
}

impl About {
    /// What distinguishes the Events of one object.
    const fn topic(self, cause: &Cause) -> &'static str {
        match self {
            Self::Pods => cause.code,
            Self::Template => "",
        }
    }

    /// The action of an Event, in the words of the API: what was done.
    const fn action(self) -> &'static str {
        match self {
            Self::Pods => "Inject",
            Self::Template => "Load",
        }
    }
}

/// Starts the task that sends Events. `replica` names this process in them.
pub(super) fn start(client: &Client, replica: &str, metrics: EventMetrics) -> EventQueue {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let queue = EventQueue { sender, metrics: metrics.clone() };
    let work = Arc::new(Mutex::new((receiver, EventThrottle::default())));
    let recorder = EventRecorder { client: client.clone(), replica: replica.to_owned(), metrics };
    supervise("events", move || {
        let (work, recorder) = (Arc::clone(&work), recorder.clone());
        async move {
            let mut work = work.lock().await;
            let (receiver, throttle) = &mut *work;
            recorder.run(receiver, throttle).await;
        }
    });
    queue
}

#[derive(Clone)]
struct EventRecorder {
    client: Client,
    replica: String,
    metrics: EventMetrics,
}

impl EventRecorder {
    async fn run(&self, notices: &mut mpsc::Receiver<Notice>, throttle: &mut EventThrottle) {
        let mut problems = ProblemThrottle::default();
        while let Some(notice) = notices.recv().await {
            for cause in &notice.causes {
                let result = match throttle.allows(&notice.object.uid, notice.about.topic(cause), Instant::now()) {
                    true => self.send(&notice, cause, &mut problems).await,
                    false => EventResult::Throttled,
                };
                self.metrics.count(result);
            }
        }
    }

    async fn send(&self, notice: &Notice, cause: &Cause, problems: &mut ProblemThrottle) -> EventResult {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &notice.namespace);
        let event = event(notice, cause, &self.replica, SystemTime::now());
        let problem = match timeout(CALL_TIMEOUT, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => {
                problems.clear(|| tracing::info!("events are sent again"));
                return EventResult::Sent;
            }
            // Another replica has sent it.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => return EventResult::Throttled,
            // The namespace is being deleted, or was: nobody reads its Events.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => return EventResult::Failed,
            Ok(Err(error)) => explain(&error),
            Err(_) => "the API server did not respond in time".to_owned(),
        };
        problems.report(&problem, Urgency::Immediate, || tracing::warn!(problem, "an event cannot be sent"));
        EventResult::Failed
    }
}

/// The Event about one cause.
fn event(notice: &Notice, cause: &Cause, replica: &str, now: SystemTime) -> Event {
    let object = &notice.object;
    let microseconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let microseconds = i64::try_from(microseconds).unwrap_or(i64::MAX);
    Event {
        metadata: ObjectMeta {
            name: Some(name(notice, cause, now)),
            namespace: Some(notice.namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Timestamp::from_microsecond(microseconds).ok().map(MicroTime),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(replica.to_owned()),
        action: Some(notice.about.action().to_owned()),
        reason: Some(cause.code.to_owned()),
        type_: Some("Warning".to_owned()),
        note: Some(note(&cause.sentence).to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(object.api_version.clone()),
            kind: Some(object.kind.clone()),
            name: Some(object.name.clone()),
            namespace: notice.owner_namespace.clone(),
            uid: Some(object.uid.clone()),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

/// The sentence, cut to what the API takes.
fn note(sentence: &str) -> &str {
    let end = (0..=sentence.len().min(MAX_NOTE)).rev().find(|end| sentence.is_char_boundary(*end));
    &sentence[..end.unwrap_or_default()]
}

/// A name that all replicas give to the same Event, so that the API server takes one of them.
fn name(notice: &Notice, cause: &Cause, now: SystemTime) -> String {
    let window = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / INTERVAL.as_secs());
    let mut hasher = DefaultHasher::new();
    (&notice.object.uid, notice.about.topic(cause), window).hash(&mut hasher);
    // Names of objects have at most 253 characters.
    let object: String = notice.object.name.chars().take(230).collect();
    format!("{}.{:016x}", object.trim_end_matches(['-', '.']), hasher.finish())
}

/// Remembers when an object had an Event.
#[derive(Default)]
struct EventThrottle {
    sent: HashMap<(String, &'static str), Instant>,
}

impl EventThrottle {
    /// Whether an Event may be sent; it then counts as sent.
    fn allows(&mut self, uid: &str, code: &'static str, now: Instant) -> bool {
        let is_recent = |sent: &Instant| now.saturating_duration_since(*sent) < INTERVAL;
        let key = (uid.to_owned(), code);
        if self.sent.get(&key).is_some_and(is_recent) {
            return false;
        }
        if self.sent.len() >= REMEMBERED {
            self.sent.retain(|_, sent| is_recent(sent));
        }
        // With thousands of objects that all have one, more Events would help nobody.
        if self.sent.len() >= REMEMBERED {
            return false;
        }
        self.sent.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    /// The notices that a queue of this length takes, and the text of the metrics.
    fn queued(length: usize, push: impl Fn(&EventQueue)) -> (Vec<Notice>, String) {
        let metrics = Metrics::new().expect("the names are unique");
        let (sender, mut receiver) = mpsc::channel(length);
        let queue = EventQueue { sender, metrics: metrics.events().expect("the names are unique") };
        push(&queue);
        let notices = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        (notices, String::from_utf8(metrics.render().expect("a text")).expect("UTF-8"))
    }

    fn notice(owner: &str) -> Notice {
        queued(1, |queue| queue.push(owner_notice(owner))).0.remove(0)
    }

    fn template_notice(namespace: Option<&str>, reason: &'static str, message: &str) -> Notice {
        let key = ObjectKey { namespace: namespace.map(str::to_owned), name: "proxy".to_owned() };
        queued(1, |queue| queue.push_template(&key, "uid", reason, message)).0.remove(0)
    }

    fn owner_notice(owner: &str) -> OwnerNotice {
        OwnerNotice {
            namespace: "shop".to_owned(),
            owner: Owner {
                api_version: "apps/v1".to_owned(),
                kind: "ReplicaSet".to_owned(),
                name: owner.to_owned(),
                uid: format!("uid-of-{owner}"),
            },
            causes: vec![Cause { code: "conflict", sentence: "no pod was created: conflict".to_owned() }],
        }
    }

    #[test]
    fn an_owner_gets_one_event_for_a_code_in_five_minutes() {
        let (mut throttle, start) = (EventThrottle::default(), Instant::now());
        assert!(throttle.allows("a", "conflict", start));
        assert!(!throttle.allows("a", "conflict", start + INTERVAL / 2));
        assert!(throttle.allows("a", "template_not_found", start));
        assert!(throttle.allows("b", "conflict", start));
        assert!(throttle.allows("a", "conflict", start + INTERVAL));
    }

    #[test]
    fn the_memory_of_owners_is_bounded() {
        let (mut throttle, start) = (EventThrottle::default(), Instant::now());
        let allowed =
            (0..2 * REMEMBERED).filter(|owner| throttle.allows(&owner.to_string(), "conflict", start)).count();
        assert_eq!((allowed, throttle.sent.len()), (REMEMBERED, REMEMBERED));
        assert!(throttle.allows("later", "conflict", start + INTERVAL));
        assert_eq!(throttle.sent.len(), 1);
    }

    #[test]
    fn replicas_give_one_name_to_the_same_event() {
        let now = UNIX_EPOCH + INTERVAL * 1000;
        let (web, other) = (notice("web"), notice("other"));
        let cause = &web.causes[0];
        assert_eq!(name(&web, cause, now), name(&web, cause, now + INTERVAL / 2));
        assert_ne!(name(&web, cause, now), name(&web, cause, now + INTERVAL));
        assert_ne!(name(&web, cause, now), name(&other, cause, now));
        assert_ne!(name(&web, cause, now), name(&web, &Cause { code: "internal", ..cause.clone() }, now));
        let long = notice(&"a-".repeat(120));
        assert!(name(&long, &long.causes[0], now).len() <= 253);
    }

    #[test]
    fn an_event_names_the_owner_and_has_the_code_as_its_reason() {
        let web = notice("web");
        let event = event(&web, &web.causes[0], "outrigger-1", UNIX_EPOCH + INTERVAL);
        let event = serde_json::to_value(event).expect("an object");
        assert_eq!((&event["reason"], &event["type"]), (&"conflict".into(), &"Warning".into()));
        assert_eq!(event["eventTime"], "1970-01-01T00:05:00.000000Z");
        assert_eq!(event["note"], "no pod was created: conflict");
        let regarding = serde_json::json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "namespace": "shop", "uid": "uid-of-web",
        });
        assert_eq!(event["regarding"], regarding);
    }

    #[test]
    fn a_note_is_cut_to_the_limit_of_the_api() {
        assert_eq!(note("short"), "short");
        assert_eq!(note(&"é".repeat(1000)).len(), 1024);
        assert_eq!(note(&format!("a{}", "é".repeat(1000))).len(), 1023);
    }

    #[test]
    fn an_event_on_a_template_names_the_object_and_comes_once_whatever_its_reason() {
        let now = UNIX_EPOCH + INTERVAL;
        let (invalid, conflict) = (template_notice(None, "Invalid", "a"), template_notice(None, "Conflict", "b"));
        assert_eq!(name(&invalid, &invalid.causes[0], now), name(&conflict, &conflict.causes[0], now));
        assert_eq!(invalid.about.topic(&invalid.causes[0]), conflict.about.topic(&conflict.causes[0]));
        let event = serde_json::to_value(event(&invalid, &invalid.causes[0], "outrigger-1", now)).expect("an object");
        assert_eq!((&event["metadata"]["namespace"], &event["reason"]), (&"default".into(), &"Invalid".into()));
        let regarding = serde_json::json!({
            "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate", "name": "proxy", "uid": "uid",
        });
        assert_eq!((&event["regarding"], &event["action"]), (&regarding, &"Load".into()));
        let namespaced = template_notice(Some("shop"), "Invalid", "a");
        assert_eq!((namespaced.namespace.as_str(), namespaced.owner_namespace.as_deref()), ("shop", Some("shop")));
        assert_eq!(namespaced.object.kind, "InjectionTemplate");
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (notices, text) = queued(1, |queue| (0..3).for_each(|_| queue.push(owner_notice("web"))));
        assert_eq!(notices.len(), 1);
        assert!(text.contains("outrigger_events_total{result=\"dropped\"} 2\n"), "{text}");
    }
}

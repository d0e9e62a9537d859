//! The feed with an API server whose responses are written down, in simulated time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::Stream;
use futures::stream;
use kube::core::Status;
use serde_json::{Value, json};

use super::super::source::tests::page_of;
use super::super::source::{NextPage, Page};
use super::*;
use crate::api::template_object::ObjectKey;
use crate::telemetry::metrics::Metrics;

const KIND: TemplateKind = TemplateKind::Cluster;

type Events = Vec<kube::Result<WatchEvent<ApiObject>>>;

/// What a watch does after its events.
#[derive(Clone, Copy)]
enum Then {
    End,
    /// Ends after the time that was asked for.
    Last,
    Silence,
}

/// Responses, in their order; afterwards the API server is away.
#[derive(Default)]
struct Script {
    pages: Mutex<VecDeque<kube::Result<Page>>>,
    watches: Mutex<VecDeque<kube::Result<(Events, Then)>>>,
    /// The versions and seconds that watches were asked for.
    asked: Mutex<Vec<(String, u32)>>,
    lists: AtomicUsize,
}

impl TemplateSource for Arc<Script> {
    async fn page(&self, _: TemplateKind, _: Option<NextPage>) -> kube::Result<Page> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.pages.lock().expect("no panic").pop_front().unwrap_or_else(|| Err(status(503)))
    }

    async fn watch(
        &self,
        _: TemplateKind,
        version: String,
        seconds: u32,
    ) -> kube::Result<impl Stream<Item = kube::Result<WatchEvent<ApiObject>>> + Send> {
        self.asked.lock().expect("no panic").push((version, seconds));
        let (events, then) = self.watches.lock().expect("no panic").pop_front().unwrap_or_else(|| Err(status(503)))?;
        let rest: Pin<Box<dyn Stream<Item = _> + Send>> = match then {
            Then::End => Box::pin(stream::empty()),
            Then::Last => {
                Box::pin(stream::once(sleep(Duration::from_secs(seconds.into()))).filter_map(async |()| None))
            }
            Then::Silence => Box::pin(stream::pending()),
        };
        Ok(stream::iter(events).chain(rest))
    }
}

fn status(code: u16) -> kube::Error {
    kube::Error::Api(Status::failure("no", "No").with_code(code).boxed())
}

fn value(name: &str, version: &str) -> Value {
    json!({"metadata": {"name": name, "uid": format!("u-{name}"), "resourceVersion": version}, "spec": {}})
}

fn object(name: &str, version: &str) -> ApiObject {
    serde_json::from_value::<Value>(value(name, version))
        .and_then(|object| serde_json::from_str(&object.to_string()))
        .expect("an object")
}

fn applied(name: &str, version: &str) -> kube::Result<WatchEvent<ApiObject>> {
    Ok(WatchEvent::Modified(object(name, version)))
}

fn bookmark(version: &str) -> kube::Result<WatchEvent<ApiObject>> {
    let text = json!({"type": "BOOKMARK", "object": {
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"resourceVersion": version, "annotations": {}},
    }});
    Ok(serde_json::from_str(&text.to_string()).expect("a bookmark"))
}

fn deleted(name: &str, version: &str) -> kube::Result<WatchEvent<ApiObject>> {
    // As the API server writes it.
    let text = format!("{{\"type\":\"DELETED\",\"object\":{}}}", value(name, version));
    Ok(serde_json::from_str(&text).expect("an event"))
}

/// A feed of these responses, and what it passes on.
struct Followed {
    script: Arc<Script>,
    health: FeedHealth,
    changes: mpsc::Receiver<TemplateChange>,
    metrics: Metrics,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    fn start(pages: Vec<kube::Result<Page>>, watches: Vec<kube::Result<(Events, Then)>>) -> Self {
        let script = Arc::new(Script {
            pages: Mutex::new(pages.into()),
            watches: Mutex::new(watches.into()),
            ..Script::default()
        });
        let (sender, changes) = mpsc::channel(4);
        let metrics = Metrics::new().expect("the names are unique");
        let feed = Feed {
            source: Arc::clone(&script),
            kind: KIND,
            changes: sender,
            wakeup: Wakeup::default(),
            health: FeedHealth::default(),
            seen: SeenStatuses::default(),
            metrics: metrics.in_cluster().expect("the names are unique"),
        };
        let health = feed.health.clone();
        // The other kind does not matter here.
        health.listed_as(TemplateKind::Namespaced, ListState::Listed);
        Self { script, health, changes, metrics, task: tokio::spawn(feed.run()) }
    }

    /// The changes of the next while, in short.
    async fn during(&mut self, time: Duration) -> String {
        let end = Instant::now() + time;
        let mut seen = Vec::new();
        while let Ok(Some(change)) = timeout_at(end, self.changes.recv()).await {
            seen.push(match change {
                TemplateChange::ListBegins(_) => "begin".to_owned(),
                TemplateChange::ListEnds(_) => "end".to_owned(),
                TemplateChange::KindMissing(_) => "missing".to_owned(),
                TemplateChange::Applied(object) => object.key.name,
                TemplateChange::Deleted(ObjectKey { name, .. }) => format!("-{name}"),
            });
        }
        seen.join(" ")
    }

    fn is_shown_as_healthy(&self) -> bool {
        let text = String::from_utf8(self.metrics.render().expect("a text")).expect("UTF-8");
        text.contains("\noutrigger_template_watch_healthy 1\n")
    }

    fn asked(&self) -> Vec<(String, u32)> {
        self.script.asked.lock().expect("no panic").clone()
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn empty_list() -> kube::Result<Page> {
    Ok(page_of(&[], "1", ""))
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_in_pages_and_changes_follow() {
    let pages = vec![
        Ok(page_of(&[value("a", "1"), value("b", "2")], "5", "more")),
        Ok(page_of(&[value("c", "3"), json!({"metadata": {}})], "5", "")),
    ];
    let watch = vec![applied("a", "6"), deleted("b", "7"), bookmark("9")];
    let mut followed = Followed::start(pages, vec![Ok((watch, Then::Last)), Ok((Vec::new(), Then::Last))]);
    assert_eq!(followed.during(seconds(1)).await, "begin a b c end a -b");
    assert_eq!(followed.health.sent(), 7);
    assert!(!followed.health.is_current(6) && followed.health.is_current(7) && followed.is_shown_as_healthy());
    followed.during(seconds(WATCH_SECONDS.into())).await;
    assert_eq!(followed.asked()[..2], [("5".to_owned(), WATCH_SECONDS), ("9".to_owned(), WATCH_SECONDS)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_app_slows_the_list_down_and_is_behind() {
    let objects: Vec<Value> = (0..20).map(|index| value(&format!("t-{index}"), "1")).collect();
    let mut followed = Followed::start(vec![Ok(page_of(&objects, "5", ""))], vec![Ok((Vec::new(), Then::Last))]);
    sleep(seconds(20)).await;
    assert_eq!(followed.health.sent(), 4, "the room of the channel");
    assert!(!followed.health.is_current(4), "the list is not complete");
    assert_eq!(followed.during(seconds(1)).await.split(' ').count(), 22);
    assert!(followed.health.is_current(22));
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_is_away_nothing_is_taken_back_and_afterwards_it_catches_up() {
    let failures = |count| (0..count).map(|_| Err(status(503)));
    let mut watches: Vec<_> = vec![Ok((vec![bookmark("6")], Then::End))];
    watches.extend(failures(10));
    watches.push(Ok((vec![applied("b", "7")], Then::Silence)));
    let mut followed = Followed::start(vec![Ok(page_of(&[value("a", "1")], "5", ""))], watches);
    assert_eq!(followed.during(seconds(5)).await, "begin a end");
    assert!(!followed.health.is_current(3) && !followed.is_shown_as_healthy());
    assert_eq!(
        followed.health.problems()[0],
        "changes of the kind ClusterInjectionTemplate do not arrive: no; the last known objects are used"
    );
    assert_eq!(followed.during(seconds(40)).await, "b");
    // What was missed begins to arrive, but nothing says that it is all.
    assert!(!followed.health.is_current(4));
    let asked = followed.asked();
    assert!(asked.len() >= 12 && asked[11] == ("6".to_owned(), RECOVERY_SECONDS), "{asked:?}");
    assert!(asked.len() < 25, "no busy loop: {}", asked.len());
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_healthy_again_with_its_first_bookmark() {
    let watches =
        vec![Err(status(503)), Ok((vec![applied("b", "7"), bookmark("8")], Then::Last)), Ok((Vec::new(), Then::Last))];
    let mut followed = Followed::start(vec![empty_list()], watches);
    assert_eq!(followed.during(seconds(10)).await, "begin end b");
    assert!(followed.health.is_current(3) && followed.health.problems().is_empty() && followed.is_shown_as_healthy());
    assert_eq!(followed.asked()[2], ("8".to_owned(), WATCH_SECONDS));
    assert_eq!(followed.script.lists.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_bookmarks_is_healthy_again_after_another_list() {
    let watches = vec![Err(status(503)), Ok((Vec::new(), Then::Last)), Ok((Vec::new(), Then::Last))];
    let mut followed = Followed::start(vec![empty_list(), Ok(page_of(&[value("b", "7")], "8", ""))], watches);
    assert_eq!(followed.during(seconds(10)).await, "begin end begin b end");
    assert!(followed.health.is_current(5));
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_or_an_unreadable_event_is_followed_by_a_list() {
    let expired = Ok(WatchEvent::Error(Status::failure("too old", "Expired").with_code(410).boxed()));
    let unreadable = Err(kube::Error::SerdeError(serde_json::from_str::<u8>("x").expect_err("no number")));
    let watches = vec![
        Err(status(410)),
        Ok((vec![expired], Then::Silence)),
        Ok((vec![unreadable], Then::Silence)),
        Ok((Vec::new(), Then::Silence)),
    ];
    let mut followed = Followed::start(vec![empty_list(), empty_list(), empty_list(), empty_list()], watches);
    assert_eq!(followed.during(seconds(10)).await, "begin end begin end begin end begin end");
    assert!(followed.health.is_current(8));
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_noticed_soon_after_it_should_have_ended() {
    let watches = vec![Ok((Vec::new(), Then::Silence))];
    let mut followed = Followed::start(vec![empty_list()], watches);
    followed.during(seconds(39)).await;
    assert!(followed.health.is_healthy());
    followed.during(seconds(2)).await;
    assert!(!followed.health.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_is_begun_anew() {
    let pages = vec![
        Ok(page_of(&[value("a", "1")], "5", "more")),
        Err(status(410)),
        Ok(page_of(&[value("a", "1"), value("b", "1")], "6", "")),
    ];
    let mut followed = Followed::start(pages, vec![Ok((Vec::new(), Then::Silence))]);
    assert_eq!(followed.during(seconds(2)).await, "begin a begin a b end");
}

#[tokio::test(start_paused = true)]
async fn a_missing_kind_is_told_once_and_looked_for_every_few_seconds() {
    let mut pages: Vec<_> = (0..4).map(|_| Err(status(404))).collect();
    pages.push(Ok(page_of(&[value("a", "1")], "5", "")));
    let mut followed = Followed::start(pages, vec![Ok((Vec::new(), Then::Last)), Ok((Vec::new(), Then::Last))]);
    assert_eq!(followed.during(seconds(1)).await, "missing");
    assert!(followed.health.is_current(1) && followed.health.list_state(KIND) == ListState::Missing);
    assert_eq!(followed.during(seconds(3)).await, "");
    assert_eq!(followed.during(seconds(9)).await, "begin a end");
    assert_eq!(followed.health.list_state(KIND), ListState::Listed);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_was_there_is_missing_only_after_half_a_minute() {
    let mut pages = vec![Ok(page_of(&[value("a", "1")], "5", ""))];
    pages.extend((0..100).map(|_| Err(status(404))));
    let mut followed = Followed::start(pages, vec![Err(status(404))]);
    assert_eq!(followed.during(seconds(25)).await, "begin a end");
    assert!(!followed.health.is_healthy());
    assert_eq!(followed.during(seconds(30)).await, "missing");
    assert!(followed.health.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_a_problem_like_any_other() {
    let mut followed = Followed::start((0..100).map(|_| Err(status(403))).collect(), Vec::new());
    assert_eq!(followed.during(seconds(60)).await, "");
    assert_eq!(followed.health.problems()[0], "objects of the kind ClusterInjectionTemplate cannot be read: no");
    let lists = followed.script.lists.load(Ordering::SeqCst);
    assert!((10..25).contains(&lists), "{lists}");
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_again_after_an_hour() {
    let watches = (0..200).map(|_| Ok((vec![bookmark("6")], Then::Last))).collect();
    let mut followed = Followed::start(vec![empty_list(), empty_list()], watches);
    assert_eq!(followed.during(seconds(3500)).await, "begin end");
    assert_eq!(followed.during(seconds(900)).await, "begin end");
}

#[test]
fn the_callback_is_called_for_what_was_sent_before_it_was_set() {
    let (wakeup, calls) = (Wakeup::default(), Arc::new(AtomicUsize::new(0)));
    wakeup.call();
    let counter = Arc::clone(&calls);
    wakeup.set(move || _ = counter.fetch_add(1, Ordering::SeqCst));
    wakeup.call();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

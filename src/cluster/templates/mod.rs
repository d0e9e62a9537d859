//! Template objects: their feed to the app, and their status.
//!
//! Every replica has the feed; the leader alone writes the status, counts pods and sends Events.
//! Nothing is compiled here: the app does that and reports. Invariant: of a template object, only
//! the status is written.

mod feed;
mod health;
pub(crate) mod object;
mod plan;
mod pods;
mod queue;
mod seen;
mod source;
mod writer;

use std::sync::Arc;

use kube::Client;
use tokio::sync::{mpsc, watch};

use self::feed::Feed;
pub use self::feed::Wakeup;
pub use self::health::{FeedHealth, ListState};
use self::pods::PodCounter;
pub use self::queue::Reports;
use self::seen::SeenStatuses;
use self::writer::StatusWriter;
use super::EventQueue;
use super::leader::Leadership;
use super::task::supervise;
use crate::api::template_object::{TemplateChange, TemplateKind};
use crate::telemetry::metrics::ClusterMetrics;

/// Changes that wait for the app. Few, since an object may be large.
const CHANGES: usize = 32;

/// What the app gets and gives to serve template objects.
pub struct TemplateFeed {
    /// What happens to template objects, in order for each kind. A list that breaks off is begun
    /// anew by another [`TemplateChange::ListBegins`].
    pub changes: mpsc::Receiver<TemplateChange>,
    /// Whether changes arrive.
    pub health: FeedHealth,
    /// Takes what the statuses should say: of every object that was applied and not deleted.
    pub reports: watch::Sender<Arc<Reports>>,
    /// Calls back when there are changes.
    pub wakeup: Wakeup,
}

/// What the tasks of the leader work with.
pub(super) struct StatusSettings {
    pub domain: String,
    pub events: EventQueue,
    pub leadership: Leadership,
}

/// Starts the tasks.
pub(super) fn start(client: &Client, settings: StatusSettings, metrics: &ClusterMetrics) -> TemplateFeed {
    let (sender, changes) = mpsc::channel(CHANGES);
    let (wakeup, health, seen) = (Wakeup::default(), FeedHealth::default(), SeenStatuses::default());
    for kind in TemplateKind::ALL {
        let feed = Feed {
            source: client.clone(),
            kind,
            changes: sender.clone(),
            wakeup: wakeup.clone(),
            health: health.clone(),
            seen: seen.clone(),
            metrics: metrics.clone(),
        };
        supervise("templates", move || feed.clone().run());
    }
    let (reports, reported) = watch::channel(Arc::new(Reports::new()));
    let (publish_counts, counts) = watch::channel(None);
    let counter = PodCounter {
        client: client.clone(),
        domain: settings.domain,
        reports: reported.clone(),
        counts: publish_counts,
    };
    let writer = StatusWriter {
        client: client.clone(),
        reports: reported,
        counts,
        seen,
        events: settings.events,
        metrics: metrics.clone(),
    };
    let (tasks, leadership) = (Arc::new((writer, counter)), settings.leadership);
    supervise("template status", move || write_while_leading(Arc::clone(&tasks), leadership.clone()));
    TemplateFeed { changes, health, reports, wakeup }
}

async fn write_while_leading(tasks: Arc<(StatusWriter, PodCounter)>, mut leadership: Leadership) {
    let (writer, counter) = &*tasks;
    loop {
        leadership.gained().await;
        tokio::select! {
            () = writer.run() => {}
            () = counter.run() => {}
            () = leadership.lost() => {}
        }
        // When this replica leads again, they are too old.
        counter.counts.send_replace(None);
    }
}

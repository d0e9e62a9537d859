//! Takes events, makes lines of those that are to be logged, and hands these to the queue.
//!
//! There are no spans: what belongs together stands on one line.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use super::line::{Line, Style};
use super::queue::{Queue, Subject};

/// Name of the events that are decisions.
pub const DECISION: &str = "decision";

thread_local! {
    /// The memory of a thread's last line serves the next.
    static LINE: RefCell<Line> = RefCell::default();
}

/// The log of this process.
pub struct LogSubscriber {
    pub style: Style,
    pub filter: Filter,
    pub queue: Arc<Queue>,
}

/// Which events are logged.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// Our own from this level on.
    pub ours: LevelFilter,
    /// Of the libraries below from this one on.
    pub libraries: LevelFilter,
}

impl Filter {
    pub fn passes(self, metadata: &Metadata<'_>) -> bool {
        // It writes out answers that it cannot read, and such an answer may be a Secret. What goes wrong there reaches us as an
        // error, and we say it.
        if metadata.target().starts_with("kube") {
            return false;
        }
        let is_ours = metadata.target().starts_with(env!("CARGO_CRATE_NAME"));
        *metadata.level() <= if is_ours { self.ours } else { self.libraries }
    }
}

impl Subscriber for LogSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() && self.filter.passes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.filter.passes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.ours.max(self.filter.libraries))
    }

    fn event(&self, event: &Event<'_>) {
        let now = SystemTime::now();
        let subject = if event.metadata().name() == DECISION { Subject::Decision } else { Subject::Process };
        let log = |line: &mut Line| self.queue.push(line.write(self.style, event, now).as_bytes(), subject);
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => log(&mut line),
            // A value logged while it was being written.
            Err(_) => log(&mut Line::default()),
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

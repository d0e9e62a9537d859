//! Turns `tracing` events into log lines and passes them to the queue.
//!
//! Spans are ignored: one line has all the fields of a decision. Invariant: no line of `kube` is
//! logged at any level, since it writes out responses, and a response may be a Secret.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::metadata::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

use super::line::{Line, Style};
use super::queue::{LineClass, LineQueue};
use crate::config::{LogFilter, LogLevel};

/// Name of the events that are decisions.
pub(super) const DECISION: &str = "decision";

thread_local! {
    /// Each thread formats all its lines in the same memory.
    static LINE: RefCell<Line> = RefCell::default();
}

struct LogLayer {
    style: Style,
    queue: Arc<LineQueue>,
}

/// A subscriber that logs the events that pass the filter.
pub(super) fn subscriber(style: Style, filter: &LogFilter, queue: Arc<LineQueue>) -> impl Subscriber + Send + Sync {
    registry().with(targets(filter)).with(LogLayer { style, queue })
}

/// Libraries log only warnings and errors: at finer levels they write what peers sent. Errors of
/// `kube` reach Outrigger as values, which it logs itself.
fn targets(filter: &LogFilter) -> Targets {
    let modules = filter.modules.iter().map(|(module, level)| (module.clone(), level_filter(*level)));
    Targets::new()
        .with_default(level_filter(filter.level).min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), level_filter(filter.level))
        .with_targets(modules)
        .with_target("kube", LevelFilter::OFF)
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = SystemTime::now();
        let class = if event.metadata().name() == DECISION { LineClass::Decision } else { LineClass::Process };
        let log = |line: &mut Line| self.queue.push(line.write(self.style, event, now).as_bytes(), class);
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => log(&mut line),
            // Formatting a value has logged another event.
            Err(_) => log(&mut Line::default()),
        });
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn modules_have_levels_of_their_own_and_kube_is_never_logged() {
        let modules = vec![("outrigger::tls".to_owned(), LogLevel::Debug)];
        let targets = targets(&LogFilter { level: LogLevel::Info, modules });
        for (target, level, is_logged) in [
            ("outrigger", Level::INFO, true),
            ("outrigger::server", Level::DEBUG, false),
            ("outrigger::tls::resolver", Level::DEBUG, true),
            ("outrigger::tls", Level::TRACE, false),
            ("hyper", Level::WARN, true),
            ("hyper", Level::INFO, false),
            ("kube_client::client", Level::ERROR, false),
        ] {
            assert_eq!(targets.would_enable(target, &level), is_logged, "{target} {level}");
        }
    }
}

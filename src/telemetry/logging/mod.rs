//! The log on stderr: one line for each decision, as JSON or text.
//!
//! A separate thread writes the lines. If nothing reads them, they are dropped and counted; no
//! request waits. Invariant: what is logged of a request is its [`Record`] and its duration; never
//! an object, a patch or a value.

mod layer;
mod line;
mod queue;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::IntCounter;
use tracing::Level;

use self::layer::DECISION;
use self::line::Style;
use self::queue::LineQueue;
use crate::admission::{Record, ReviewResult};
use crate::config::{LogFilter, LogFormat};

/// How long shutdown waits for a slow reader of the log.
const FLUSH: Duration = Duration::from_secs(1);

/// The queue of the process's log.
static QUEUE: OnceLock<Arc<LineQueue>> = OnceLock::new();

/// Flushes the log when it is dropped.
#[must_use = "lines that are not yet written when the process ends are lost"]
pub(crate) struct Log(());

impl Drop for Log {
    fn drop(&mut self) {
        flush();
    }
}

/// Installs the log of the process; `dropped` counts dropped lines. Only the first call has an
/// effect.
pub(crate) fn init(format: LogFormat, filter: &LogFilter, dropped: IntCounter) -> io::Result<Log> {
    let queue = LineQueue::start(stderr(), dropped)?;
    let subscriber = layer::subscriber(style(format), filter, Arc::clone(&queue));
    // The only way to fail is that a log is installed already.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        _ = QUEUE.set(queue);
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(Log(()))
}

/// Waits until all lines are written, at most for [`FLUSH`].
pub(crate) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH);
    }
}

/// Stderr without the lock of `io::stderr()`, since the writer may block for long while it holds
/// it.
fn stderr() -> Box<dyn Write + Send> {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        Err(_) => Box::new(io::stderr()),
    }
}

fn style(format: LogFormat) -> Style {
    let wants_colour = || std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match format {
        LogFormat::Json => Style::Json,
        LogFormat::Text if io::stderr().is_terminal() && wants_colour() => Style::Coloured,
        LogFormat::Text => Style::Text,
    }
}

/// Where a panic was, without its message: that may quote what was being worked on.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic; this is a fault of outrigger");
}

/// Logs one decision.
pub(crate) fn decision(record: &Record, duration: Duration) {
    match record.result {
        ReviewResult::Injected | ReviewResult::Unchanged | ReviewResult::Skipped => line(record, duration, Level::INFO),
        ReviewResult::Denied => line(record, duration, Level::WARN),
        ReviewResult::Error => line(record, duration, Level::ERROR),
    }
}

/// Logs the advice about one workload. Its author has seen the warnings, so the line is no warning.
pub(crate) fn advice(record: &Record, warnings: usize, duration: Duration) {
    tracing::info!(
        name: DECISION,
        uid = some(&record.uid),
        namespace = some(&record.namespace),
        name = some(&record.name),
        templates = joined(&record.templates, String::as_str),
        result = record.result.code(),
        reasons = joined(&record.reasons, |reason| reason.code()),
        errors = joined(&record.errors, |code| code),
        annotations = joined(&record.annotations, String::as_str),
        warnings,
        dry_run = record.dry_run,
        duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        "advice"
    );
}

/// One line about a template that was checked.
pub(crate) fn validation(record: &Record, warnings: usize, duration: Duration) {
    tracing::info!(
        name: DECISION,
        uid = some(&record.uid),
        namespace = some(&record.namespace),
        name = some(&record.name),
        result = if record.result == ReviewResult::Unchanged { "allowed" } else { record.result.code() },
        errors = joined(&record.errors, |code| code),
        warnings,
        dry_run = record.dry_run,
        duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        "validation"
    );
}

fn line(record: &Record, duration: Duration, level: Level) {
    // The level of a log statement is fixed when it is compiled.
    macro_rules! statement {
        ($level:ident) => {
            tracing::$level!(
                name: DECISION,
                uid = some(&record.uid),
                namespace = some(&record.namespace),
                name = some(&record.name),
                templates = joined(&record.templates, String::as_str),
                result = record.result.code(),
                reasons = joined(&record.reasons, |reason| reason.code()),
                errors = joined(&record.errors, |code| code),
                annotations = joined(&record.annotations, String::as_str),
                dry_run = record.dry_run,
                duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
                "decision"
            )
        };
    }
    match level {
        Level::ERROR => statement!(error),
        Level::WARN => statement!(warn),
        _ => statement!(info),
    }
}

/// Fields that are absent are not written.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn joined<T>(items: &[T], text: fn(&T) -> &str) -> Option<tracing::field::DisplayValue<Joined<'_, T>>> {
    (!items.is_empty()).then_some(tracing::field::display(Joined { items, text }))
}

/// Items with commas between them.
struct Joined<'i, T> {
    items: &'i [T],
    text: fn(&T) -> &str,
}

impl<T> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str((self.text)(item))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::config::LogLevel;
    use crate::inject::SkipReason;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic while writing").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(record: &Record) -> serde_json::Value {
        captured(|| decision(record, Duration::from_micros(42)))
    }

    /// The only line that `log` logs.
    fn captured(log: impl FnOnce()) -> serde_json::Value {
        let captured = Captured::default();
        let dropped = IntCounter::new("dropped", "lines").expect("a name");
        let queue = LineQueue::start(captured.clone(), dropped).expect("a thread");
        let filter = LogFilter { level: LogLevel::Info, modules: Vec::new() };
        let subscriber = layer::subscriber(Style::Json, &filter, Arc::clone(&queue));
        tracing::subscriber::with_default(subscriber, log);
        queue.flush(Duration::from_secs(30));
        let bytes = captured.0.lock().expect("no panic while writing").clone();
        serde_json::from_slice(&bytes).expect("one line of JSON")
    }

    fn record() -> Record {
        Record {
            uid: "u-1".to_owned(),
            namespace: "demo".to_owned(),
            name: "web-*".to_owned(),
            templates: vec!["proxy".to_owned()],
            result: ReviewResult::Injected,
            reasons: vec![SkipReason::AlreadyInjected],
            errors: Vec::new(),
            template_errors: Vec::new(),
            annotations: Vec::new(),
            dry_run: true,
        }
    }

    #[test]
    fn one_line_has_the_fields_that_there_are() {
        let line = logged(&record());
        for (field, value) in [
            ("level", "INFO"),
            ("message", "decision"),
            ("uid", "u-1"),
            ("namespace", "demo"),
            ("name", "web-*"),
            ("templates", "proxy"),
            ("result", "injected"),
            ("reasons", "already_injected"),
        ] {
            assert_eq!(line[field], value, "{line}");
        }
        assert_eq!((&line["dry_run"], &line["duration_us"]), (&true.into(), &42.into()));
        assert!(line.get("errors").is_none() && line.get("annotations").is_none(), "{line}");
    }

    /// A panic's message may quote anything.
    #[test]
    fn of_a_panic_only_the_place_is_logged() {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        let line = captured(|| _ = std::panic::catch_unwind(|| panic!("s3cr3t-canary")));
        std::panic::set_hook(before);
        let place = line["place"].as_str().expect("a place");
        assert!(place.contains("logging/mod.rs:") && !line.to_string().contains("s3cr3t"), "{line}");
    }

    #[test]
    fn refusals_and_errors_stand_out() {
        let line = logged(&Record { result: ReviewResult::Denied, errors: vec!["conflict"], ..record() });
        assert_eq!((&line["level"], &line["errors"]), (&"WARN".into(), &"conflict".into()));
        assert_eq!(logged(&Record { result: ReviewResult::Error, ..record() })["level"], "ERROR");
    }
}

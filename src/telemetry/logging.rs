//! Logs on standard error: one line a decision, as JSON or text.
//!
//! Invariant: what is logged of a request is its [`Record`] and its duration; never an object, a patch or a value.

use std::panic::PanicHookInfo;
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::admission::{Record, ReviewResult};
use crate::config::{LogFormat, LogLevel};

/// Installs the log for the process. A second call changes nothing: the first one holds.
pub fn init(format: LogFormat, level: LogLevel) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(std::io::stderr)
        // A line that cannot be written (a full disk, a reader that is gone) is lost. Complaining about it on the same
        // standard error would panic, in the middle of a request.
        .log_internal_errors(false);
    // The only way to fail is that a log is installed already.
    _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Text => builder.with_target(false).with_ansi(is_terminal()).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
}

/// Our own lines at `level`. Of the libraries below only what went wrong: at a finer level they write what peers sent.
fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let libraries = level.min(LevelFilter::WARN);
    EnvFilter::new(format!("{libraries},outrigger={level}"))
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Where a panic was, without its message: that may quote what was being worked on.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic; this is a fault of outrigger");
}

/// Logs one decision.
pub fn decision(record: &Record, duration: Duration) {
    match record.result {
        ReviewResult::Injected | ReviewResult::Unchanged | ReviewResult::Skipped => line(record, duration, Level::INFO),
        ReviewResult::Denied => line(record, duration, Level::WARN),
        ReviewResult::Error => line(record, duration, Level::ERROR),
    }
}

fn line(record: &Record, duration: Duration, level: Level) {
    // The level of a log statement is fixed when it is compiled.
    macro_rules! statement {
        ($level:ident) => {
            tracing::$level!(
                uid = some(&record.uid),
                namespace = some(&record.namespace),
                name = some(&record.name),
                templates = joined(&record.templates),
                result = record.result.code(),
                reasons = joined(&record.reasons.iter().map(|reason| reason.code()).collect::<Vec<_>>()),
                errors = joined(&record.errors),
                annotations = joined(&record.annotations),
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

fn joined<T: AsRef<str>>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
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
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(filter(LogLevel::Info))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || decision(record, Duration::from_micros(42)));
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

    #[test]
    fn refusals_and_errors_stand_out() {
        let line = logged(&Record { result: ReviewResult::Denied, errors: vec!["conflict"], ..record() });
        assert_eq!((&line["level"], &line["errors"]), (&"WARN".into(), &"conflict".into()));
        assert_eq!(logged(&Record { result: ReviewResult::Error, ..record() })["level"], "ERROR");
    }
}

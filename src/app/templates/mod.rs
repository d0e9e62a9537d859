//! The templates that `serve` starts with, and how they change while it serves.
//!
//! Invariants: a broken template keeps the others from being served only at the start, and only where the operator says so
//! (`--strict`); afterwards whatever was good goes on; a look that finds nothing changed says nothing.

mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{anyhow, bail};

use self::report::LoadReport;
use super::readiness_details::{ReadinessDetails, Topic};
use crate::config::{Config, TemplateSource};
use crate::inject::{CompiledSource, Injector, LoadProblem, Settings, TemplateSet};
use crate::reload::settled::Reloaded;
use crate::reload::watch;
use crate::reload::watch::{Scan, Watch};
use crate::source::built_in;
use crate::source::directories::Directories;
use crate::source::store::InjectorStore;
use crate::telemetry::metrics::{Metrics, Reload};
use crate::telemetry::throttle::{LineLimit, Notice, ProblemThrottle, Urgency};

/// Where templates come from, what was found there last, and who is to know.
pub struct Templates {
    /// The templates of the program where they are wanted; they never change.
    built_in: Vec<Arc<CompiledSource>>,
    directories: Directories,
    store: Arc<InjectorStore>,
    settings: Settings,
    /// Settings that take the place of these.
    changed: Option<Receiver<Settings>>,
    metrics: Arc<Metrics>,
    details: ReadinessDetails,
    report: LoadReport,
    /// The snapshot before this one, kept until no request can be the last to let go of it and have the work of freeing it.
    retired: Option<Arc<Injector>>,
    /// What the log has said last, where it has not yet said what `report` says.
    logged: Option<LoadReport>,
    problem_throttle: ProblemThrottle,
    line_limit: LineLimit,
}

impl Templates {
    /// Loads the templates of all sources that the operator names.
    pub fn load(
        config: &Config,
        settings: Settings,
        metrics: Arc<Metrics>,
        details: ReadinessDetails,
    ) -> anyhow::Result<Self> {
        let directories = Directories::open(&directories(config), Instant::now())
            .map_err(|(path, error)| anyhow!(error).context(format!("cannot read the template directory {path:?}")))?;
        let has_built_in = config.templates.contains(&TemplateSource::BuiltIn);
        let built_in = if has_built_in { built_in::sources() } else { Vec::new() };
        let sources = [built_in.clone(), directories.sources()].concat();
        let loaded = TemplateSet::assemble(&sources, &TemplateSet::default());
        if config.strict && !loaded.problems.is_empty() {
            bail!("{}", listed(&loaded.problems));
        }
        let report = LoadReport::new(&loaded.templates, &loaded.problems, &loaded.warnings);
        metrics.templates_served(&loaded.templates);
        metrics.templates_loaded(SystemTime::now());
        let store = Arc::new(InjectorStore::new(Injector::new(loaded.templates, settings.clone())));
        let (problem_throttle, line_limit) = (ProblemThrottle::default(), LineLimit::default());
        let (changed, retired, logged) = (None, None, None);
        let templates = Self {
            built_in,
            directories,
            store,
            settings,
            changed,
            metrics,
            details,
            report,
            retired,
            logged,
            problem_throttle,
            line_limit,
        };
        templates.update_details();
        Ok(templates)
    }

    /// From now on settings may change: whoever has this says so.
    pub fn settings_changed(&mut self) -> Sender<Settings> {
        let (sender, changed) = channel();
        self.changed = Some(changed);
        sender
    }

    /// The same templates under other settings, if there are any.
    fn take_settings(&mut self) {
        let Some(settings) = self.changed.as_ref().and_then(|changed| changed.try_iter().last()) else { return };
        self.settings = settings;
        let sources = self.sources();
        let last = self.store.current();
        let loaded = TemplateSet::assemble(&sources, last.templates());
        self.store.replace(Injector::new(loaded.templates, self.settings.clone()));
        self.retired = Some(last);
    }

    fn sources(&self) -> Vec<Arc<CompiledSource>> {
        [self.built_in.clone(), self.directories.sources()].concat()
    }

    /// The snapshots that requests see.
    pub fn store(&self) -> Arc<InjectorStore> {
        Arc::clone(&self.store)
    }

    /// Says what the start has loaded.
    pub fn log(&self) {
        self.report.log();
    }

    /// Puts what was read in the place of what is served.
    fn reload(&mut self, sources: &[Arc<CompiledSource>], is_complete: bool) {
        let last = self.store.current();
        let loaded = TemplateSet::assemble(sources, last.templates());
        let report = LoadReport::new(&loaded.templates, &loaded.problems, &loaded.warnings);
        self.metrics.templates_served(&loaded.templates);
        self.store.replace(Injector::new(loaded.templates, self.settings.clone()));
        if is_complete && !report.has_problems() {
            self.metrics.templates_reloaded(Reload::Success);
            self.metrics.templates_loaded(SystemTime::now());
        } else {
            self.metrics.templates_reloaded(Reload::Error);
        }
        self.retired = Some(last);
        let before = std::mem::replace(&mut self.report, report);
        self.logged.get_or_insert(before);
    }

    /// Says what has changed since it was said last. Sources that flap are no reason for a flood: it may have to wait.
    fn log_changes_if_due(&mut self, now: Instant) {
        if self.logged.as_ref().is_some_and(|logged| self.report == *logged) {
            self.logged = None;
        }
        if let Some(logged) = &self.logged
            // Every pod that asks is refused from now on, which cannot wait.
            && (self.line_limit.allow(now) || self.report.has_become_empty_since(logged))
        {
            self.report.log_changes(logged);
            self.logged = None;
        }
    }

    /// Says that something cannot be read, or can again.
    fn log_problem(&mut self, troubles: &[String], urgency: Urgency, now: Instant) -> Option<Notice> {
        let problem = (!troubles.is_empty()).then(|| troubles.join("; "));
        let notice = self.problem_throttle.observe(problem, urgency, now);
        match notice {
            Some(Notice::Problem) => {
                let problem = self.problem_throttle.problem();
                tracing::error!(problem, "not all templates can be read; those read earlier are still served");
            }
            Some(Notice::Cleared) => tracing::info!("all templates can be read again"),
            None => {}
        }
        notice
    }

    fn update_details(&self) {
        let problem_throttle = self.problem_throttle.problem().map(str::to_owned);
        self.details.replace(Topic::Templates, problem_throttle.into_iter().chain(self.report.details()).collect());
    }
}

impl Watch for Templates {
    fn scan(&mut self, scan: Scan) -> Duration {
        self.retired = None;
        self.take_settings();
        let now = Instant::now();
        let change = self.directories.scan(scan, now);
        let (troubles, had_problem) = (self.directories.troubles(), self.problem_throttle.problem().is_some());
        if change == Reloaded::Replaced(()) {
            let sources = self.sources();
            self.reload(&sources, troubles.is_empty());
        }
        let urgency = if scan == Scan::Full { Urgency::Requested } else { Urgency::Immediate };
        let notice = self.log_problem(&troubles, urgency, now);
        if notice == Some(Notice::Problem) && change != Reloaded::Replaced(()) {
            self.metrics.templates_reloaded(Reload::Error);
        }
        self.log_changes_if_due(now);
        if change == Reloaded::Replaced(()) || had_problem || !troubles.is_empty() {
            self.update_details();
        }
        // Where one directory has changed, another may be about to.
        if change == Reloaded::Unchanged { watch::CALM } else { watch::SOON }
    }
}

fn directories(config: &Config) -> Vec<PathBuf> {
    let directory = |source: &TemplateSource| match source {
        TemplateSource::BuiltIn => None,
        TemplateSource::Directory(path) => Some(path.clone()),
    };
    config.templates.iter().filter_map(directory).collect()
}

fn listed(problems: &[LoadProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

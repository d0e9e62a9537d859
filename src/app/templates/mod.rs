//! Loads the templates at the start and reloads them while `serve` runs.
//!
//! Invariants: a broken template keeps the others from being served only at the start and only with
//! `--strict`; later, the last good revisions stay in use; a scan that finds no change logs
//! nothing.

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
use crate::reload::watch::{self, Scan, Watch};
use crate::source::built_in;
use crate::source::directories::{Directories, Trouble};
use crate::source::store::InjectorStore;
use crate::telemetry::metrics::{Metrics, Reload};
use crate::telemetry::throttle::{LineLimit, Notice, ProblemThrottle, Urgency};

/// The template sources, the last state read from them, and the parts that a reload informs.
pub(super) struct Templates {
    /// The built-in templates, if selected; they never change.
    built_in: Vec<Arc<CompiledSource>>,
    directories: Directories,
    store: Arc<InjectorStore>,
    settings: Settings,
    /// Receives new settings.
    changed: Option<Receiver<Settings>>,
    metrics: Arc<Metrics>,
    details: ReadinessDetails,
    report: LoadReport,
    /// The previous snapshot, kept so that no request is the last to drop it and has to free it.
    retired: Option<Arc<Injector>>,
    /// The state that was logged last, if `report` has not been logged yet.
    logged: Option<LoadReport>,
    problem_throttle: ProblemThrottle,
    line_limit: LineLimit,
}

impl Templates {
    /// Loads the templates of all configured sources.
    pub(super) fn load(
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
        if config.strict && loaded.faults(true).next().is_some() {
            bail!("{}", listed(loaded.faults(true)));
        }
        let report = LoadReport::new(&loaded.templates, &loaded.problems, &loaded.warnings);
        metrics.templates_served(&loaded.templates);
        metrics.template_warnings(loaded.warnings.len());
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

    /// Returns the channel for new settings.
    pub(super) fn settings_changed(&mut self) -> Sender<Settings> {
        let (sender, changed) = channel();
        self.changed = Some(changed);
        sender
    }

    /// Applies the latest new settings, if any, to the same templates.
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

    /// The store of the current snapshot.
    pub(super) fn store(&self) -> Arc<InjectorStore> {
        Arc::clone(&self.store)
    }

    /// Logs what was loaded at the start.
    pub(super) fn log(&self) {
        self.report.log();
        for directory in self.directories.without_files() {
            let directory = directory.display();
            tracing::info!(%directory, "the template directory has no template file: no template comes from it");
        }
    }

    /// Replaces the served snapshot by what was read.
    fn reload(&mut self, sources: &[Arc<CompiledSource>], is_complete: bool) {
        let last = self.store.current();
        let loaded = TemplateSet::assemble(sources, last.templates());
        let report = LoadReport::new(&loaded.templates, &loaded.problems, &loaded.warnings);
        self.metrics.templates_served(&loaded.templates);
        self.metrics.template_warnings(loaded.warnings.len());
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

    /// Logs the changes since the last report. Sources that change rapidly must not flood the log,
    /// so a report may have to wait.
    fn log_changes_if_due(&mut self, now: Instant) {
        if self.logged.as_ref().is_some_and(|logged| self.report == *logged) {
            self.logged = None;
        }
        if let Some(logged) = &self.logged
            // Every pod that requests injection is denied from now on, so this cannot wait.
            && (self.line_limit.allow(now) || self.report.has_become_empty_since(logged))
        {
            self.report.log_changes(logged);
            self.logged = None;
        }
    }

    /// Logs that a source cannot be read or is gone, or is there again.
    fn log_problem(&mut self, troubles: &[Trouble], urgency: Urgency, now: Instant) -> Option<Notice> {
        let sentences: Vec<&str> = troubles.iter().map(Trouble::sentence).collect();
        let is_unreadable = troubles.iter().any(|trouble| matches!(trouble, Trouble::Unreadable(_)));
        let problem = (!troubles.is_empty()).then(|| sentences.join("; "));
        let notice = self.problem_throttle.observe(problem, urgency, now);
        match notice {
            Some(Notice::Problem) => {
                let problem = self.problem_throttle.problem();
                if is_unreadable {
                    tracing::error!(problem, "not all templates can be read; those read earlier are still served");
                } else {
                    tracing::warn!(problem, "a source of templates is empty; its last templates are still served");
                }
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
        // If one directory has changed, another may be about to.
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

fn listed<'a>(problems: impl Iterator<Item = &'a LoadProblem>) -> String {
    let lines: Vec<String> = problems.map(ToString::to_string).collect();
    lines.join("\n")
}

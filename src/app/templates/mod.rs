//! Loads the templates at the start and reloads them while `serve` runs.
//!
//! Invariants: a broken template keeps the others from being served only at the start and only with
//! `--strict`; later, the last good revisions stay in use; a scan that finds no change logs
//! nothing.

mod objects;
mod report;
mod reports;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{anyhow, bail};

pub(super) use self::objects::ObjectFreshness;
use self::objects::{ObjectFollower, Taken};
use self::report::LoadReport;
use super::readiness_details::{ReadinessDetails, Topic};
use crate::cluster::templates::TemplateFeed;
use crate::config::{Config, TemplateSource};
use crate::inject::{AutomaticConflicts, CompiledSource, Injector, LoadProblem, Settings, TemplateSet};
use crate::process::health::Promise;
use crate::reload::settled::Reloaded;
use crate::reload::watch::{self, Scan, Watch};
use crate::source::built_in;
use crate::source::directories::{Directories, Trouble};
use crate::source::store::InjectorStore;
use crate::telemetry::metrics::{Metrics, Reload};
use crate::telemetry::throttle::{LineLimit, Notice, ProblemThrottle, Urgency};

/// While a list of objects is being read, requests see its progress this often.
const LISTING: Duration = Duration::from_secs(1);
/// The same before the replica is ready: hardly any request sees it.
const FIRST_LISTING: Duration = Duration::from_secs(10);

/// The template sources, the last state read from them, and the parts that a reload informs.
pub(super) struct Templates {
    /// The built-in templates, if selected; they never change.
    built_in: Vec<Arc<CompiledSource>>,
    directories: Directories,
    /// The objects of the cluster, if one is connected.
    objects: Option<ObjectFollower>,
    store: Arc<InjectorStore>,
    /// Notified when requests see other templates.
    replaced: tokio::sync::watch::Sender<()>,
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
    /// Whether objects have brought new templates that requests do not see yet.
    has_untold: bool,
    /// What was found in the Automatic templates.
    conflicts: Option<AutomaticConflicts>,
    reloaded: Instant,
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
        let mut conflicts = None;
        let (injector, warnings) = injector(loaded.templates, settings.clone(), loaded.warnings, &mut conflicts);
        let report = LoadReport::new(injector.templates(), &loaded.problems, &warnings);
        metrics.templates_served(injector.templates());
        metrics.template_warnings(warnings.len());
        metrics.templates_loaded(SystemTime::now());
        let store = Arc::new(InjectorStore::new(injector));
        let (problem_throttle, line_limit) = (ProblemThrottle::default(), LineLimit::default());
        let (changed, retired, logged, objects) = (None, None, None, None);
        let templates = Self {
            built_in,
            directories,
            objects,
            store,
            replaced: tokio::sync::watch::Sender::default(),
            settings,
            changed,
            metrics,
            details,
            report,
            retired,
            logged,
            problem_throttle,
            line_limit,
            has_untold: false,
            conflicts,
            reloaded: Instant::now(),
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

    /// Follows the template objects of the cluster as well. The replica is not ready until they were
    /// read once.
    pub(super) fn follow_objects(&mut self, feed: TemplateFeed, promise: Promise) -> ObjectFreshness {
        let (follower, freshness) = ObjectFollower::new(feed, promise);
        self.objects = Some(follower);
        freshness
    }

    /// Notified when requests see other templates.
    pub(super) fn replaced(&self) -> tokio::sync::watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// Applies the latest new settings, if any, to the same templates.
    fn take_settings(&mut self) {
        let Some(settings) = self.changed.as_ref().and_then(|changed| changed.try_iter().last()) else { return };
        self.settings = settings;
        let sources = self.sources();
        let last = self.store.current();
        let loaded = TemplateSet::assemble(&sources, last.templates());
        let (injector, _) = injector(loaded.templates, self.settings.clone(), Vec::new(), &mut self.conflicts);
        self.serve(injector, last);
    }

    /// From now on requests see these templates.
    fn serve(&mut self, injector: Injector, last: Arc<Injector>) {
        self.store.replace(injector);
        self.replaced.send_replace(());
        self.retired = Some(last);
    }

    fn sources(&self) -> Vec<Arc<CompiledSource>> {
        let objects = self.objects.as_ref().map(|follower| follower.objects.sources()).unwrap_or_default();
        [self.built_in.clone(), self.directories.sources(), objects].concat()
    }

    /// Whether a list of objects is being read and its beginning was shown to requests a short while
    /// ago: assembling all templates for each page would take too long.
    fn is_listing_since(&self, now: Instant) -> bool {
        self.objects.as_ref().is_some_and(|follower| {
            let interval = if follower.objects.are_known() { LISTING } else { FIRST_LISTING };
            follower.objects.is_listing() && now.saturating_duration_since(self.reloaded) < interval
        })
    }

    /// Sources that are not as they should be.
    fn troubles(&self) -> Vec<Trouble> {
        let of_objects = self.objects.as_ref().map(|follower| follower.objects.troubles()).unwrap_or_default();
        [self.directories.troubles(), of_objects].concat()
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
        let (injector, warnings) =
            injector(loaded.templates, self.settings.clone(), loaded.warnings, &mut self.conflicts);
        let report = LoadReport::new(injector.templates(), &loaded.problems, &warnings);
        self.metrics.templates_served(injector.templates());
        self.metrics.template_warnings(warnings.len());
        self.serve(injector, last);
        self.reloaded = Instant::now();
        if let Some(objects) = &self.objects {
            objects.report(&self.store.current(), &loaded.problems);
        }
        if is_complete && !report.has_problems() {
            self.metrics.templates_reloaded(Reload::Success);
            self.metrics.templates_loaded(SystemTime::now());
        } else {
            self.metrics.templates_reloaded(Reload::Error);
        }
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
        let problem = self.problem_throttle.problem().map(str::to_owned);
        let of_objects = self.objects.as_ref().map(ObjectFollower::problems).unwrap_or_default();
        let details = problem.into_iter().chain(of_objects).chain(self.report.details());
        self.details.replace(Topic::Templates, details.collect());
    }
}

impl Watch for Templates {
    fn scan(&mut self, scan: Scan) -> Duration {
        self.retired = None;
        self.take_settings();
        let now = Instant::now();
        let change = match scan {
            Scan::Woken => Reloaded::Unchanged,
            Scan::Quick | Scan::Full => self.directories.scan(scan, now),
        };
        let (mut is_new, mut troubles) = (false, self.troubles());
        let had_problem = self.problem_throttle.problem().is_some();
        let mut is_changed = change == Reloaded::Replaced(());
        loop {
            let taken = self.objects.as_mut().map_or(Taken::Nothing, ObjectFollower::take);
            self.has_untold |= taken == Taken::NewTemplates;
            if is_changed || (self.has_untold && !self.is_listing_since(now)) {
                troubles = self.troubles();
                let sources = self.sources();
                self.reload(&sources, troubles.is_empty());
                (is_new, is_changed, self.has_untold) = (true, false, false);
            }
            let Some(objects) = &mut self.objects else { break };
            if taken != Taken::Nothing {
                objects.applied();
            }
            if !objects.has_more() {
                break;
            }
        }
        let urgency = if scan == Scan::Full { Urgency::Requested } else { Urgency::Immediate };
        let notice = self.log_problem(&troubles, urgency, now);
        if notice == Some(Notice::Problem) && !is_new {
            self.metrics.templates_reloaded(Reload::Error);
        }
        self.log_changes_if_due(now);
        if is_new || had_problem || !troubles.is_empty() || self.objects.is_some() {
            self.update_details();
        }
        // If one directory has changed, another may be about to.
        if change == Reloaded::Unchanged { watch::CALM } else { watch::SOON }
    }
}

/// The injector of these templates, and all warnings about them.
fn injector(
    templates: TemplateSet,
    settings: Settings,
    mut warnings: Vec<LoadProblem>,
    before: &mut Option<AutomaticConflicts>,
) -> (Injector, Vec<LoadProblem>) {
    let (injector, conflicts) = Injector::new(templates, settings).with_conflicts(before);
    warnings.extend(conflicts);
    (injector, warnings)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::template_object::{ObjectKey, TemplateChange, TemplateKind, TemplateObject, TemplateObjectStatus};
    use crate::cluster::templates::{FeedHealth, Wakeup};
    use crate::config::SettingsArgs;
    use crate::process::health::Readiness;

    fn object(name: &str) -> TemplateChange {
        let document = format!(
            r#"{{"apiVersion":"outrigger.dev/v1alpha1","kind":"ClusterInjectionTemplate","metadata":{{"name":"{name}"}},"spec":{{"sidecars":[{{"name":"s","image":"i"}}]}}}}"#
        );
        let key = ObjectKey { namespace: None, name: name.to_owned() };
        let (uid, status) = ("u".to_owned(), TemplateObjectStatus::default());
        TemplateChange::Applied(Box::new(TemplateObject { key, uid, generation: 1, document, status }))
    }

    #[test]
    fn a_list_is_shown_when_it_is_complete_or_has_taken_long() {
        let dev = SettingsArgs::default().with(&crate::config::settings::DEV, "true");
        let config = Config::resolve(&dev, |_| None).expect("the defaults are valid");
        let metrics = Arc::new(Metrics::new().expect("the names are unique"));
        let mut templates =
            Templates::load(&config, Settings::default(), metrics, ReadinessDetails::default()).expect("no directory");
        let (sender, changes) = tokio::sync::mpsc::channel(64);
        let (reports, _reported) = tokio::sync::watch::channel(Arc::new(BTreeMap::new()));
        let feed = TemplateFeed { changes, health: FeedHealth::default(), reports, wakeup: Wakeup::default() };
        templates.follow_objects(feed, Readiness::default().promise("template objects"));
        let mut shows = |changes: Vec<TemplateChange>, age: Duration, name: &str| {
            changes.into_iter().for_each(|change| sender.try_send(change).expect("there is room"));
            templates.reloaded = Instant::now().checked_sub(age).expect("the machine has run for longer");
            templates.scan(Scan::Woken);
            templates.store.current().templates().names().contains(&name)
        };
        let (begins, ends) = (TemplateChange::ListBegins, TemplateChange::ListEnds);
        let (cluster, namespaced) = (TemplateKind::Cluster, TemplateKind::Namespaced);
        assert!(!shows(vec![begins(cluster), object("a")], LISTING, "a"), "the first list is not complete");
        assert!(shows(Vec::new(), FIRST_LISTING, "a"), "it takes long");
        assert!(shows(vec![object("b"), ends(cluster), TemplateChange::KindMissing(namespaced)], Duration::ZERO, "b"));
        assert!(
            !shows(vec![begins(cluster), object("c")], Duration::ZERO, "c"),
            "requests saw the last state just now"
        );
        assert!(shows(Vec::new(), LISTING, "c"));
    }
}

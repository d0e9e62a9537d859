//! `outrigger upgrade`: brings running pods to the current revision of a template.
//!
//! The calls are made with the caller's own rights. Invariant: a pod is changed only if everything
//! that differs can be changed; what was done, what was not, and how to go on is told at every end.

mod calls;
mod change;
mod group;
mod others;
mod plan;
mod pod_state;
mod ready;
mod report;
mod restart;
mod restartable;
mod roll;
mod rollout;
mod stop;
mod trial;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};

use self::group::{Group, Way};
use self::plan::Planner;
use self::report::{Line, Outcome, Report};
use self::roll::{Limits, Roll, merged};
use self::stop::StopFlag;
use super::cluster::{self, Caller, ClusterArgs, Failure, Lookup};
use super::fleet::{self, CarrierSearch, ScopeArgs, TemplatePod};
use super::terminal::{self, Colours, printable};
use super::{check, complete, stdio, values};
use crate::config::settings;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::text::suggest;

/// Bring running pods to the current revision of a template
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct UpgradeArgs {
    /// The template
    #[arg(value_name = "TEMPLATE", value_parser = values::template, add = complete::templates())]
    template: String,

    /// Only these workloads, such as deploy/web
    #[arg(value_name = "KIND/NAME", value_parser = values::workload)]
    workloads: Vec<String>,

    #[command(flatten)]
    scope: ScopeArgs,

    /// Most pods that may be unavailable at once: a number, or a share of the chosen pods such as 10%
    #[arg(long, value_name = "NUMBER|PERCENT", default_value = "1")]
    max_unavailable: MaxUnavailable,

    /// How long to wait after each pod, such as 10s
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = values::duration)]
    pause: Duration,

    /// How long a pod may take to get ready
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration)]
    ready_timeout: Duration,

    /// How long a changed pod must stay ready before it counts, such as minReadySeconds of a workload
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    min_ready: Duration,

    /// Restart nothing: change only pods that can be changed while they run
    #[arg(long)]
    no_restart: bool,

    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: UpgradeFormat,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default, value_parser = values::domain)]
    domain: String,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UpgradeFormat {
    /// A line for the pods of each workload
    Text,
    /// One object
    Json,
}

/// A number of pods, or a share of the chosen ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MaxUnavailable {
    Pods(usize),
    Percent(usize),
}

impl std::str::FromStr for MaxUnavailable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a number of pods from 1, or a share such as 10%".to_owned();
        let (digits, is_percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        match digits.parse::<usize>() {
            Ok(number @ 1..=100) if is_percent => Ok(Self::Percent(number)),
            Ok(number @ 1..) if !is_percent => Ok(Self::Pods(number)),
            _ => Err(expected()),
        }
    }
}

impl MaxUnavailable {
    /// At least one pod.
    fn of(self, pods: usize) -> usize {
        match self {
            Self::Pods(number) => number,
            Self::Percent(share) => (pods * share).div_ceil(100).max(1),
        }
    }
}

/// Why it stops at Ctrl-C.
const INTERRUPTED: &str = "interrupted";

const LONG_ABOUT: &str = "\
Brings running pods to the revision of a template that new pods get, with your own rights.

Examples:
  What would be done in all namespaces:
    outrigger upgrade log-collector -A --dry-run
  One pod at a time, in one namespace:
    outrigger upgrade log-collector -n shop
  A tenth of the pods at once, half a minute after each:
    outrigger upgrade log-collector -A --max-unavailable 10% --pause 30s
  Only one workload, and without a restart:
    outrigger upgrade log-collector -n shop deploy/web --no-restart

For each workload the API server is asked, by a dry run, which pod it would create now. Where only images of the \
template's containers differ, the running pod gets the new image: the container restarts alone, and the app is not \
touched. Where only amounts of CPU or memory differ, the pod is resized without a restart. Everything else needs new pods: \
then the Deployment, StatefulSet or DaemonSet is restarted as by `kubectl rollout restart`, within its own strategy.

A changed pod counts as ready when it has stayed so for --min-ready. Pods that are not ready anyway count as unavailable. \
It stops when a pod does not get ready, and says where. Run the same command again to go on: pods that have the revision \
are left alone. Ctrl-C stops after the pods that are being changed. PodDisruptionBudgets play no part: no pod is evicted. \
Rights: list and get pods, create pods (dry runs), \
patch pods and pods/resize, get and patch the workloads that are restarted; get replicasets, to know the pods of \
a Deployment; list jobs, to name the CronJob of a pod.";

/// Plans, and carries out the plan.
pub(super) fn run(args: &UpgradeArgs) -> anyhow::Result<()> {
    let report = cluster::block_on(upgrade(args))?;
    stdio::print(&match args.output {
        UpgradeFormat::Text => report.text(Colours::of_stdout()),
        UpgradeFormat::Json => terminal::json(&report)?,
    })?;
    if report.is_complete() {
        stdio::print_message(&report.summary());
        return Ok(());
    }
    let unchanged = if report.has_changed() { "" } else { "; nothing was changed" };
    match &report.stopped {
        Some(reason) => {
            let go_on = match reason.as_str() {
                INTERRUPTED => "run the same command again: it goes on with the rest",
                _ => "mend the cause and run the same command again: it goes on with the rest",
            };
            bail!("stopped: {}\n{}{unchanged}; {go_on}", printable(reason), report.summary())
        }
        None => bail!("not every pod has the current revision and is ready: {}{unchanged}", report.summary()),
    }
}

async fn upgrade(args: &UpgradeArgs) -> anyhow::Result<Report> {
    let (client, address) = cluster::connect(&args.cluster.selection(), args.cluster.timeout()).await?;
    check::ensure_reachable(&client, &address, args.cluster.timeout()).await?;
    let caller = Caller::new(client, args.cluster.timeout());
    let keys = AnnotationKeys::new(&args.domain);
    let (pods, selected) = chosen(args, &caller, &keys).await?;
    let max_unavailable = args.max_unavailable.of(pods.len());
    let planner = || Planner {
        caller: &caller,
        keys: &keys,
        template: &args.template,
        max_unavailable,
        selected: selected.as_ref(),
        restarts: !args.no_restart,
    };
    let limits =
        Limits { max_unavailable, pause: args.pause, ready_timeout: args.ready_timeout, min_ready: args.min_ready };
    let groups = planner()
        .plan(pods)
        .await
        .map_err(|problem| anyhow!("{problem}\nnothing was changed; run the command again"))?;
    let (lines, stopped) = if args.dry_run {
        (merged(groups.iter().flat_map(planned).collect()), None)
    } else {
        let stop = StopFlag::default();
        let interrupts = tokio::spawn(stop_at_interrupt(stop.clone()));
        let count = groups.iter().filter(|group| !is_settled(group)).map(|group| group.pods.len()).sum();
        let roll = Roll::new(planner(), limits, stop.clone(), count);
        let lines = roll.run(&groups).await;
        interrupts.abort();
        (lines, stop.reason())
    };
    Ok(Report { template: args.template.clone(), dry_run: args.dry_run, workloads: lines, stopped })
}

/// Namespaces and names of pods.
type PodNames = BTreeSet<(String, String)>;

/// The pods that carry the template, of the chosen workloads; and all pods that labels choose, if there are any.
async fn chosen(
    args: &UpgradeArgs,
    caller: &Caller,
    keys: &AnnotationKeys,
) -> anyhow::Result<(Vec<TemplatePod>, Option<PodNames>)> {
    let scope = args.scope.scope(&caller.client);
    let search = CarrierSearch { keys, scope: &scope };
    let Lookup::Found(all) = search.pods(caller).await else {
        let problems = caller.failures().into_iter().map(told);
        bail!("{}", problems.collect::<Vec<_>>().join("\n"));
    };
    let mut carriers: Vec<TemplatePod> =
        all.iter().filter(|pod| pod.carried.contains_key(&args.template)).cloned().collect();
    fleet::resolve_cron_jobs(caller, &scope, &mut carriers).await;
    for failure in caller.failures() {
        stdio::print_message(&format!("warning: {}", printable(&told(failure))));
    }
    if carriers.is_empty() {
        scope.ensure_exists(caller).await?;
        let carried: Vec<&str> = all.iter().flat_map(|pod| pod.carried.keys()).map(String::as_str).collect();
        let hint = suggest::did_you_mean(&args.template, carried);
        let hint = hint.map_or_else(|| "`outrigger get -A` lists all that do".to_owned(), |hint| hint.to_string());
        bail!("no pod {} carries the template {:?}; {hint}", scope.place(), args.template);
    }
    let titles: Vec<String> = carriers.iter().map(|pod| pod.owner.to_string()).collect();
    let wanted: Vec<String> = args.workloads.iter().map(|text| with_short_kind(text)).collect();
    if let Some(unknown) = wanted.iter().find(|wanted| !titles.contains(wanted)) {
        let names: BTreeSet<&str> = titles.iter().map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        bail!(
            "no workload {} that carries the template is called {unknown:?}; there are: {}",
            scope.place(),
            suggest::listed(&names)
        );
    }
    let is_chosen = |pod: &TemplatePod| wanted.is_empty() || wanted.contains(&pod.owner.to_string());
    let names = || all.iter().map(|pod| (pod.namespace.clone(), pod.name.clone())).collect();
    let selected = args.scope.has_selector().then(names);
    Ok((carriers.into_iter().filter(is_chosen).collect(), selected))
}

fn told(failure: Failure) -> String {
    match failure {
        Failure::Forbidden { right } => format!("the right to {right} is missing"),
        Failure::Other { what, problem } => format!("cannot {what}: {problem}"),
    }
}

/// `deployment/web` and `deployments/web` as `deploy/web`.
fn with_short_kind(text: &str) -> String {
    let Some((kind, name)) = text.split_once('/') else { return text.to_owned() };
    let kind = kind.to_lowercase();
    let kind = match kind.split('.').next().unwrap_or(&kind) {
        "deployment" | "deployments" => "deploy",
        "statefulset" | "statefulsets" => "sts",
        "daemonset" | "daemonsets" => "ds",
        "replicaset" | "replicasets" => "rs",
        "replicationcontroller" | "replicationcontrollers" => "rc",
        "jobs" => "job",
        "cronjobs" | "cj" => "cronjob",
        "pods" | "po" => "pod",
        kind => kind,
    };
    format!("{kind}/{name}")
}

const fn is_settled(group: &Group) -> bool {
    matches!(group.way, Way::Current(_) | Way::Impossible(_))
}

fn planned(group: &Group) -> Vec<Line> {
    let settled = roll::settled(std::slice::from_ref(group));
    if settled.is_empty() { vec![Line::of(group, group.names(), Outcome::Planned, None)] } else { settled }
}

/// The first Ctrl-C, or SIGTERM, lets the pods that are being changed get ready; the second ends the
/// waits, and what was done is still listed; the third ends without a list.
async fn stop_at_interrupt(stop: StopFlag) {
    let Some(signal) = interrupt().await else { return };
    stdio::print_message(&format!(
        "{signal}: stopping after the pods that are being changed; another one, or Ctrl-C, waits for none of them"
    ));
    stop.set(INTERRUPTED.to_owned());
    if interrupt().await.is_none() {
        return;
    }
    stdio::print_message("ending as soon as the API server has answered; a third Ctrl-C ends without a list");
    stop.set_at_once();
    if interrupt().await.is_some() {
        stdio::print_message("ended; `outrigger get` shows the revisions of the pods, and the same command goes on");
        std::process::exit(130);
    }
}

/// The name of the next signal that asks to stop; `None` if signals cannot be received.
#[cfg(unix)]
async fn interrupt() -> Option<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).ok()?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.ok().map(|()| "Ctrl-C"),
        found = terminate.recv() => found.map(|()| "SIGTERM"),
    }
}

#[cfg(not(unix))]
async fn interrupt() -> Option<&'static str> {
    tokio::signal::ctrl_c().await.ok().map(|()| "Ctrl-C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_pods_is_at_least_one() {
        for (text, pods, expected) in [("1", 30, 1), ("3", 1, 3), ("10%", 30, 3), ("10%", 31, 4), ("1%", 5, 1)] {
            assert_eq!(text.parse::<MaxUnavailable>().map(|max| max.of(pods)), Ok(expected), "{text}");
        }
        for text in ["0", "0%", "101%", "-1", "x", ""] {
            assert!(text.parse::<MaxUnavailable>().is_err(), "{text}");
        }
    }

    #[test]
    fn kinds_have_the_names_of_kubectl() {
        for (text, expected) in [
            ("Deployment/web", "deploy/web"),
            ("deployments.apps/web", "deploy/web"),
            ("sts/db", "sts/db"),
            ("po/x", "pod/x"),
        ] {
            assert_eq!(with_short_kind(text), expected);
        }
    }
}

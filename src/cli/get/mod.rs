//! `outrigger get`: which workloads carry which template at which revision.
//!
//! Invariant: what could not be read is said, and never counted as if it were not there.

mod rows;
mod table;

use std::collections::BTreeSet;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Serialize;

use self::rows::{Row, Rows, State};
use super::cluster::{self, Caller, ClusterArgs, Failure, Lookup};
use super::fleet::{self, CarrierSearch, RequestingWorkload, ScopeArgs, Served};
use super::terminal::{self, Colours, printable};
use super::{check, complete, stdio, values};
use crate::config::settings;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::text::suggest;

/// Show which workloads carry which template at which revision
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct GetArgs {
    /// Only this template
    #[arg(value_name = "TEMPLATE", value_parser = values::template, add = complete::templates())]
    template: Option<String>,

    #[command(flatten)]
    scope: ScopeArgs,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: GetFormat,

    /// Namespace of the installation, whose replicas tell the current revisions
    #[arg(long, value_name = "NAMESPACE", default_value = check::NAMESPACE, value_parser = values::namespace)]
    installation: String,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default, value_parser = values::domain)]
    domain: String,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How the rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum GetFormat {
    /// A line for each workload and template
    Table,
    /// The same with the current revision and the pods that are not as they should be
    Wide,
    /// One object
    Json,
}

const LONG_ABOUT: &str = "\
Shows which workloads of a cluster carry which template at which revision, which have requested one and run without it, \
and which carry an older revision than new pods get.

Examples:
  The workloads of the context's namespace:
    outrigger get
  Those of the whole cluster that have the template log-collector:
    outrigger get log-collector -A
  With the current revision, and the pods that are not as they should be:
    outrigger get -A -o wide
  The workloads that `outrigger upgrade` would change:
    outrigger get -A -o json | jq '.workloads[] | select(.state == \"outdated\")'

States: `current`; `outdated` (another revision than new pods get); `missing` (pods request the template and run without \
it); `not-found` (no such template); `no-pods` (no pod requests it yet: the workload is scaled to zero, its pods are \
refused, which `outrigger check` tells, or it is a CronJob between its runs); `pinned` (the pods ask for a revision of \
their own); `unknown` (the current revision could not be read, or the template does not load, or conditions of an Automatic template \
decide).

The current revisions are those that the replicas of the installation serve; if none responds, those in the status of \
template objects. With -l, workloads without pods count if their pod template has the labels. Pods are read in pages, by \
their metadata alone. Pods without an annotation request what the default list of their namespace names, and pods get the \
Automatic templates whose selectors match; where such a template has further conditions, a pod without it is `unknown`, \
and `outrigger explain` tells. Pods of Automatic templates of files are not looked for. Nothing is changed.";

/// What is printed as JSON.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Report<'r> {
    /// Each workload with each of its templates.
    workloads: &'r [Row],
    /// What could not be read; the rest may lack it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_read: Vec<String>,
    /// Automatic templates of files: pods that do not carry them are not looked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_looked_for: Vec<String>,
}

/// What a cluster has.
struct Found {
    rows: Vec<Row>,
    /// What is said if there is no row.
    nothing: String,
    not_read: Vec<String>,
    /// Automatic templates whose pods are not looked for.
    not_looked_for: Vec<String>,
}

/// What is said of Automatic templates of files, of which a replica tells nothing but the names.
fn automatic(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!(
        "pods that only an Automatic template of a file would give something are not looked for ({}); `outrigger explain` \
         tells",
        names.join(", ")
    )
}

/// Reads the cluster and prints the rows.
pub(super) fn run(args: &GetArgs) -> anyhow::Result<()> {
    let Found { rows, nothing, not_read, not_looked_for } = cluster::block_on(read(args))?;
    match args.output {
        GetFormat::Json => {
            if !not_looked_for.is_empty() {
                stdio::print_message(&automatic(&not_looked_for));
            }
            stdio::print(terminal::json(&Report { workloads: &rows, not_read, not_looked_for })?)
        }
        format => {
            for problem in not_read {
                stdio::print_message(&format!("warning: {problem}"));
            }
            stdio::print(table::render(&rows, format == GetFormat::Wide, Colours::of_stdout()))?;
            stdio::print_message(&if rows.is_empty() { nothing } else { summary(&rows) });
            if !not_looked_for.is_empty() {
                stdio::print_message(&automatic(&not_looked_for));
            }
            Ok(())
        }
    }
}

async fn read(args: &GetArgs) -> anyhow::Result<Found> {
    let (client, address) = cluster::connect(&args.cluster.selection(), args.cluster.timeout()).await?;
    check::ensure_reachable(&client, &address, args.cluster.timeout()).await?;
    let scope = args.scope.scope(&client);
    let caller = Caller::new(client, args.cluster.timeout());
    let keys = AnnotationKeys::new(&args.domain);
    let search = CarrierSearch { keys: &keys, scope: &scope };
    let (pods, mut workloads, replicas) = tokio::join!(
        search.pods(&caller),
        RequestingWorkload::all(&caller, &keys, &scope),
        check::served_templates(&caller, &args.installation, &args.domain),
    );
    let served = Served::read(&caller, &scope, replicas).await;
    let pods = match pods {
        Lookup::Found(mut pods) => {
            let carriers = (&mut pods, workloads.as_mut_slice());
            fleet::add_default_requests(&caller, &keys, &scope, &served, carriers).await;
            fleet::resolve_cron_jobs(&caller, &scope, &mut pods).await;
            Lookup::Found(pods)
        }
        unknown => unknown,
    };
    let mut not_read = problems(&caller.failures());
    if !served.is_complete {
        not_read.push(no_replica(&args.installation));
    }
    let Lookup::Found(pods) = pods else {
        let reasons: Vec<String> = caller.failures().iter().map(|failure| printable(&reason(failure))).collect();
        bail!("the pods {} could not be read: {}", scope.place(), reasons.join("; "));
    };
    let mut rows = Rows::default();
    pods.iter().for_each(|pod| rows.add_pod(pod, &served));
    workloads.iter().for_each(|workload| rows.add_workload(workload, &served));
    let names = rows.templates();
    let rows = rows.finish(args.template.as_deref(), &served);
    let mut nothing = format!("no pod {} carries or requests a template", scope.place());
    if rows.is_empty() {
        scope.ensure_exists(&caller).await?;
        if let Some(template) = &args.template {
            nothing = nothing_of(template, &served, names, &scope.place())?;
        }
    }
    let not_looked_for = served.automatic_of_files.into_iter().collect();
    Ok(Found { rows, nothing, not_read, not_looked_for })
}

/// What is said if no pod has the template, with the names of those that pods have. Fails if it is known that
/// no template has this name.
fn nothing_of(template: &str, served: &Served, of_pods: BTreeSet<String>, place: &str) -> anyhow::Result<String> {
    let sentence = format!("no pod {place} carries or requests the template {template:?}");
    if served.names().any(|name| name == template) {
        return Ok(sentence);
    }
    let names: BTreeSet<&str> = served.names().chain(of_pods.iter().map(String::as_str)).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let near = suggest::did_you_mean(template, names.iter().copied()).map(|hint| hint.to_string());
    let hint = near.or_else(|| (!names.is_empty()).then(|| format!("there are: {}", suggest::listed(&names))));
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    if served.is_complete {
        bail!("no template is called {template:?}, and no pod {place} requests it{hint}");
    }
    Ok(sentence + &hint)
}

/// Without a replica only the status of template objects tells what is current.
fn no_replica(installation: &str) -> String {
    format!(
        "no replica in namespace {installation:?} responds; revisions of template objects are those in their status, all \
         others are not known; see --installation"
    )
}

fn problems(failures: &[Failure]) -> Vec<String> {
    let problem = |failure: &Failure| match failure {
        Failure::Forbidden { .. } => format!("{}; what it would show is left out", reason(failure)),
        Failure::Other { .. } => reason(failure),
    };
    failures.iter().map(problem).map(|line| printable(&line)).collect()
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Forbidden { right } => format!("the right to {right} is missing"),
        Failure::Other { what, problem } => format!("cannot {what}: {problem}"),
    }
}

fn summary(rows: &[Row]) -> String {
    let of = |state: State| (rows.iter().filter(|row| row.state == state).count(), state.as_str());
    let states = [
        State::Current,
        State::Pinned,
        State::Outdated,
        State::Missing,
        State::NotFound,
        State::NoPods,
        State::Unknown,
    ];
    let counts = states.map(of).into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, state)| format!("{count} {state}")).collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::schemas::tests::assert_published;
    use super::*;

    #[test]
    fn published_schema_is_that_of_the_rows() {
        assert_published::<Report<'_>>("get");
    }

    #[test]
    fn an_unknown_template_is_told_with_the_nearest_name() {
        use super::super::fleet::ServedTemplate;
        use crate::api::template_object::ObjectKey;
        let key = ObjectKey { namespace: None, name: "proxy".to_owned() };
        let served: Served = [(key, ServedTemplate::default())].into_iter().collect();
        let error = nothing_of("prxy", &served, BTreeSet::new(), "in any namespace").expect_err("unknown").to_string();
        assert!(error.contains("did you mean \"proxy\""), "{error}");
        let told = |template, served: &Served, of_pods: &[&str]| {
            let of_pods = of_pods.iter().map(|name| (*name).to_owned()).collect();
            nothing_of(template, served, of_pods, "in namespace \"shop\"").expect("no error")
        };
        let start = "no pod in namespace \"shop\" carries or requests the template ";
        assert_eq!(told("proxy", &served, &[]), format!("{start}\"proxy\""));
        // No replica responds.
        let unknown = Served::default();
        assert_eq!(told("prxy", &unknown, &["proxy"]), format!("{start}\"prxy\"; did you mean \"proxy\"?"));
        assert_eq!(told("tz", &unknown, &["logs", "proxy"]), format!("{start}\"tz\"; there are: logs, proxy"));
        assert_eq!(told("tz", &unknown, &[]), format!("{start}\"tz\""));
    }
}

//! `outrigger get`: which workloads carry which template at which revision.
//!
//! Invariant: what could not be read is said, and never counted as if it were not there.

mod rows;
mod table;

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
    #[arg(value_name = "TEMPLATE", add = complete::templates())]
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
their own); `unknown` (the current revision could not be read, or the template does not load).

The current revisions are those that the replicas of the installation serve; if none responds, those in the status of \
template objects. With -l, workloads without pods count if their pod template has the labels. Pods are read in pages, by \
their metadata alone. Pods without an annotation request what the default list of their namespace names; those that only \
an Automatic template would give something are not looked for. Nothing is changed.";

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
}

/// What a cluster has.
struct Found {
    rows: Vec<Row>,
    not_read: Vec<String>,
    /// Whether a template chooses its pods itself.
    has_automatic: bool,
}

const AUTOMATIC: &str = "pods without a template that only an Automatic template would give them are not looked for; \
                         `outrigger explain` tells";

/// Reads the cluster and prints the rows.
pub(super) fn run(args: &GetArgs) -> anyhow::Result<()> {
    let Found { rows, not_read, has_automatic } = cluster::block_on(read(args))?;
    match args.output {
        GetFormat::Json => stdio::print(terminal::json(&Report { workloads: &rows, not_read })?),
        format => {
            for problem in not_read {
                stdio::print_message(&format!("warning: {problem}"));
            }
            stdio::print(table::render(&rows, format == GetFormat::Wide, Colours::of_stdout()))?;
            stdio::print_message(&summary(&rows));
            if has_automatic {
                stdio::print_message(AUTOMATIC);
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
            fleet::add_default_requests(&caller, &keys, &scope, &mut pods, &mut workloads).await;
            fleet::resolve_cron_jobs(&caller, &scope, &mut pods).await;
            Lookup::Found(pods)
        }
        unknown => unknown,
    };
    let not_read = problems(&caller.failures());
    let Lookup::Found(pods) = pods else {
        let reasons: Vec<String> = caller.failures().iter().map(|failure| printable(&reason(failure))).collect();
        bail!("the pods {} could not be read: {}", scope.place(), reasons.join("; "));
    };
    let mut rows = Rows::default();
    pods.iter().for_each(|pod| rows.add_pod(pod, &served));
    workloads.iter().for_each(|workload| rows.add_workload(workload, &served));
    let rows = rows.finish(args.template.as_deref(), &served);
    if rows.is_empty() {
        scope.ensure_exists(&caller).await?;
    }
    if let Some(template) = args.template.as_deref().filter(|_| rows.is_empty()) {
        not_found(template, &served, &scope.place())?;
    }
    Ok(Found { rows, not_read, has_automatic: served.has_automatic })
}

/// Fails if no template has the name that was asked for.
fn not_found(template: &str, served: &Served, place: &str) -> anyhow::Result<()> {
    if !served.is_complete || served.names().any(|name| name == template) {
        return Ok(());
    }
    let names: Vec<&str> = served.names().collect();
    let hint = suggest::did_you_mean(template, names.iter().copied());
    let hint = hint.map_or_else(|| format!("there are: {}", suggest::listed(&names)), |hint| hint.to_string());
    bail!("no template is called {template:?}, and no pod {place} requests it; {hint}")
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
    if rows.is_empty() {
        return "no pod carries or requests a template".to_owned();
    }
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
        let error = not_found("prxy", &served, "in any namespace").expect_err("unknown").to_string();
        assert!(error.contains("did you mean \"proxy\""), "{error}");
        assert!(not_found("proxy", &served, "").is_ok() && not_found("prxy", &Served::default(), "").is_ok());
    }
}

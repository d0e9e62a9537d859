//! Completes words of the command line in shells: flags, and names of templates and namespaces.
//!
//! The script of a shell asks the program, so that it knows every command of the program that it
//! calls. Invariant: whatever is wrong, completion offers less and prints no error.

use std::ffi::OsString;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{EnvCompleter, Fish, Powershell, Zsh};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;

use super::cluster::{self, ClusterSelection};
use super::given::given;
use super::stdio;
use super::template_texts::template_names;
use crate::api::template_object::{GROUP, TemplateKind, VERSION};
use crate::config::TemplateSource;
use crate::inject::text::is_unprintable;
use crate::source::built_in;

/// The variable by which a shell's script asks for words.
const VARIABLE: &str = "OUTRIGGER_COMPLETE";
/// Nobody waits longer for a word.
const LIMIT: Duration = Duration::from_secs(2);
/// More names than this help nobody.
const MOST: u32 = 500;

/// The script of bash: that of `clap_complete`, but bash splits words at `=` and `:`, as in
/// `--context=staging` and in the names of contexts of EKS, and the program wants them whole.
const BASH: &str = include_str!("complete.bash");

/// A shell with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    Pwsh,
}

/// Answers a shell's script; whether it was one that has asked.
pub(super) fn answer(command: fn() -> clap::Command, arguments: &[OsString]) -> bool {
    let directory = std::env::current_dir().ok();
    if std::env::var_os(VARIABLE).is_some() {
        be_quiet();
    }
    let environment = CompleteEnv::with_factory(command).var(VARIABLE);
    environment.try_complete(arguments, directory.as_deref()).unwrap_or(true)
}

/// Credential plugins write to stderr what would stand in the midst of a command line.
#[cfg(unix)]
fn be_quiet() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
        // Without it the words are the same.
        let _ = rustix::stdio::dup2_stderr(null);
    }
}

#[cfg(not(unix))]
fn be_quiet() {}

/// Prints the script that makes a shell ask this program.
pub(super) fn print_script(shell: Shell, program: &str) -> anyhow::Result<()> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => return stdio::print(BASH.replace("PROGRAM", program)),
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Pwsh => &Powershell,
    };
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, program, program, program, &mut script)
        .context("cannot write the script")?;
    stdio::print(script)
}

/// Names of templates: those of `--templates`, or the built-in ones and those of the cluster.
pub(super) fn templates() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let named: Vec<TemplateSource> = given("--templates").iter().filter_map(|path| path.parse().ok()).collect();
        if !named.is_empty() {
            return candidates(template_names(&named));
        }
        let of_cluster = names(|client| async move {
            let mut names = Vec::new();
            for kind in TemplateKind::ALL {
                let gvk = GroupVersionKind::gvk(GROUP, VERSION, kind.kind());
                let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural());
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
                let listed = api.list_metadata(&ListParams::default().limit(MOST)).await;
                names.extend(listed.into_iter().flatten().filter_map(|object| object.metadata.name));
            }
            names
        });
        candidates(built_in::names().map(str::to_owned).chain(of_cluster))
    })
}

/// Names of the cluster's namespaces.
pub(super) fn namespaces() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        candidates(names(|client| async move {
            let listed = Api::<Namespace>::all(client).list_metadata(&ListParams::default().limit(MOST)).await;
            listed.into_iter().flatten().filter_map(|object| object.metadata.name).collect()
        }))
    })
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    // Nobody types control characters, and a terminal obeys them.
    let is_typed = |name: &String| !name.chars().any(is_unprintable);
    let names: std::collections::BTreeSet<String> = names.into_iter().filter(is_typed).collect();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Asks the cluster of the flags, or of the current context; no names if it does not answer in time.
fn names<F: Future<Output = Vec<String>>>(ask: impl FnOnce(kube::Client) -> F + Send + 'static) -> Vec<String> {
    let selection =
        ClusterSelection { kubeconfig: given("--kubeconfig").pop().map(Into::into), context: given("--context").pop() };
    // A credential plugin blocks the thread that runs it, so no timeout of the runtime would end the wait.
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || {
        let found = cluster::block_on(async {
            let (client, _) = cluster::connect(&selection, LIMIT).await?;
            Ok(ask(client).await)
        });
        // Nobody waits for it any more where this fails.
        let _ = answer.send(found.unwrap_or_default());
    });
    answered.recv_timeout(LIMIT).unwrap_or_default()
}

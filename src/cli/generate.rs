//! `outrigger generate`: prints what an installation needs.
//!
//! It builds nothing itself. Invariant: what is printed comes from the value that the program uses.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::complete::{self, Shell};
use super::errors::{ErrorList, unreadable};
use super::{manual, output, schemas, stdio, values};
use crate::api::crd;
use crate::api::template_object::TemplateKind;
use crate::api::webhook_configuration::{AdviceWebhook, Endpoint, FailurePolicy, WebhookConfiguration, WebhookUrl};
use crate::config::settings;
use crate::inject::editor_schema;

/// Port of the Service: the default of the API server.
const SERVICE_PORT: u16 = 443;

/// Print what an installation needs
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Webhook(WebhookArgs),
    Schema(SchemaArgs),
    Policy(super::generate_policy::PolicyArgs),
    #[command(long_about = CRDS_LONG_ABOUT)]
    /// Print the CustomResourceDefinitions of templates
    Crds,
    Completions(CompletionsArgs),
    Man(ManArgs),
    #[command(long_about = REFERENCE_LONG_ABOUT)]
    /// Print the reference of all commands in Markdown, or write all generated pages
    Reference(ReferenceArgs),
}

/// Print the JSON Schema of templates, for editors, or of what a command prints as JSON
#[derive(Args, Debug)]
#[command(long_about = SCHEMA_LONG_ABOUT)]
struct SchemaArgs {
    /// What the schema describes
    #[arg(value_name = "NAME", default_value = TEMPLATE, value_parser = schema_names())]
    name: String,
}

/// The schema of templates, which is built and not published as a file.
const TEMPLATE: &str = "template";

/// The names of all schemas, for messages and completions.
fn schema_names() -> clap::builder::PossibleValuesParser {
    let published = schemas::ALL.iter().map(|schema| schema.name);
    clap::builder::PossibleValuesParser::new(std::iter::once(TEMPLATE).chain(published))
}

/// Print the completions of a shell: commands, flags, and names of templates, contexts and namespaces
#[derive(Args, Debug)]
#[command(long_about = COMPLETIONS_LONG_ABOUT)]
struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Print the reference of all commands in Markdown, or write all generated pages
#[derive(Args, Debug)]
struct ReferenceArgs {
    /// Write the reference of the commands and a page for each code of `outrigger lint` into this directory
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// Print the man page, or write those of all commands
#[derive(Args, Debug)]
#[command(long_about = MAN_LONG_ABOUT)]
struct ManArgs {
    /// Write a page for each command into this directory
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

const COMPLETIONS_LONG_ABOUT: &str = "\
Prints a script that makes a shell complete words of this program: commands, flags and their values, and the names of \
templates, contexts and namespaces. Templates are those of --templates. Otherwise the cluster of --context, or of the \
current context, is asked (two seconds at most).

Examples:
  Bash, in ~/.bashrc:
    source <(outrigger generate completions bash)
  Zsh, in ~/.zshrc, after compinit:
    autoload -Uz compinit && compinit
    source <(outrigger generate completions zsh)
  Fish:
    mkdir -p ~/.config/fish/completions
    outrigger generate completions fish > ~/.config/fish/completions/outrigger.fish
  PowerShell, in $PROFILE:
    outrigger generate completions powershell | Out-String | Invoke-Expression";

const MAN_LONG_ABOUT: &str = "\
Prints the man page of the program, or writes a page for each command.

Examples:
  Read it:
    outrigger generate man | man -l -
  Install the pages of all commands:
    outrigger generate man --directory ~/.local/share/man/man1";

const REFERENCE_LONG_ABOUT: &str = "\
Prints the reference of all commands and their flags in Markdown, or writes it into a directory, with a page for each \
code of `outrigger lint`.

Examples:
  Read it:
    outrigger generate reference | less
  As docs/reference has it:
    outrigger generate reference --directory docs/reference";

/// Print the webhook configurations for a server at a URL, or behind a Service
#[derive(Args, Debug)]
#[command(long_about = WEBHOOK_LONG_ABOUT)]
#[command(group = clap::ArgGroup::new("endpoint").required(true))]
struct WebhookArgs {
    /// Where the API server reaches the webhook, such as https://10.0.0.5:9443/mutate
    #[arg(long, value_name = "URL", group = "endpoint")]
    url: Option<WebhookUrl>,

    /// Service of the cluster in front of the webhook, such as outrigger-system/outrigger
    #[arg(long, value_name = "NAMESPACE/NAME", group = "endpoint", value_parser = values::service)]
    service: Option<values::ServiceName>,

    /// Failure policy for pods that request templates by annotation: Fail or Ignore
    #[arg(long, value_name = "POLICY", default_value_t = FailurePolicy::Fail)]
    pods_failure_policy: FailurePolicy,

    /// Failure policy for all other pods of namespaces with injection enabled: Fail or Ignore
    #[arg(long, value_name = "POLICY", default_value_t = FailurePolicy::Ignore)]
    namespaces_failure_policy: FailurePolicy,

    /// File with the certificates (PEM) that the API server trusts; may be repeated
    #[arg(long, value_name = "FILE")]
    ca_file: Vec<PathBuf>,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default, value_parser = values::domain)]
    domain: String,

    /// Name of the installation, and so of both configurations
    #[arg(long, value_name = "NAME", default_value = settings::WEBHOOK_CONFIGURATION.default, value_parser = values::name)]
    name: String,

    /// Leave out the webhook that asks for advice about workloads
    #[arg(long)]
    no_advice: bool,
}

const LONG_ABOUT: &str = "\
Prints what an installation needs.

Examples:
  Make an API server call a server at a URL:
    outrigger generate webhook --url https://10.0.0.5:9443/mutate

  What manifests and chart apply:
    outrigger generate webhook --service outrigger-system/outrigger

  Let a cluster have templates as objects:
    outrigger generate crds | kubectl apply -f -

  Have an editor check and complete templates:
    outrigger generate schema > template.schema.json";

const CRDS_LONG_ABOUT: &str = "\
Prints the CustomResourceDefinitions of ClusterInjectionTemplate and InjectionTemplate, as manifests and chart apply \
them. The API server then stores templates as objects, describes their fields (kubectl explain), and refuses what the \
definitions rule out.

Examples:
  Let a cluster have templates as objects:
    outrigger generate crds | kubectl apply -f -";

const SCHEMA_LONG_ABOUT: &str = "\
Prints the JSON Schema (draft 2020-12) of templates. An editor that knows it completes the fields of a template, \
describes them, and marks misspelt ones. What JSON Schema cannot express is found by `outrigger lint`: the text of \
expressions, rules between fields, and misspelt fields of Kubernetes' own types.

Examples:
  For one file, in editors with the YAML language server (VS Code, Neovim, Helix, Emacs): write the schema, and put \
this comment into the first line of the template:
    outrigger generate schema > template.schema.json
    # yaml-language-server: $schema=../template.schema.json

  Check files of one template each in a pipeline, with any validator:
    outrigger generate schema > template.schema.json
    ls templates/*.yaml | grep -v .test.yaml | \\\n      xargs check-jsonschema --schemafile template.schema.json";

const WEBHOOK_LONG_ABOUT: &str = "\
Prints the configurations that make an API server call a server at a URL, or behind a Service on port 443: the \
MutatingWebhookConfiguration for pods, and the ValidatingWebhookConfiguration that checks templates and asks for \
advice about workloads (Deployments and others), at the same URL with /validate and /advise as its last part.

Examples:
  For a server that was started with `outrigger serve --dev`:
    outrigger generate webhook --url https://127.0.0.1:9443/mutate \\\n      --ca-file .outrigger/ca.crt | kubectl apply -f -

  What manifests and chart apply; the program sets caBundle itself:
    outrigger generate webhook --service outrigger-system/outrigger

Without --ca-file the field caBundle is left out: with --url the API server then trusts its system's certificates.";

/// Prints the requested object.
pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Webhook(args) => webhook(args),
        What::Schema(args) => match schemas::find(&args.name) {
            Some(schema) => stdio::print(schema.text),
            None => {
                let schema = serde_json::to_string_pretty(&editor_schema()).context("cannot write the schema")?;
                stdio::print(schema + "\n")
            }
        },
        What::Policy(args) => super::generate_policy::run(args),
        What::Crds => {
            let [cluster, namespaced] = TemplateKind::ALL.map(crd::definition);
            stdio::print(&output::yaml(&[&cluster, &namespaced])?)
        }
        What::Completions(args) => complete::print_script(args.shell, "outrigger"),
        What::Man(args) => manual::man(super::command(), args.directory.as_deref()),
        What::Reference(args) => match &args.directory {
            None => stdio::print(manual::reference(super::command())),
            Some(directory) => manual::write_reference(super::command(), directory),
        },
    }
}

fn webhook(args: &WebhookArgs) -> anyhow::Result<()> {
    let configuration = WebhookConfiguration {
        ca_bundle: ca_bundle(&args.ca_file)?,
        domain: args.domain.clone(),
        pods_failure_policy: args.pods_failure_policy,
        namespaces_failure_policy: args.namespaces_failure_policy,
        name: args.name.clone(),
        advice: if args.no_advice { AdviceWebhook::LeftOut } else { AdviceWebhook::Included },
        ..WebhookConfiguration::new(args.endpoint()?)
    };
    let pods = configuration.to_value().context("cannot write the configuration")?;
    let validating = configuration.to_validating_value().context("cannot write the configuration")?;
    stdio::print(&output::yaml(&[&pods, &validating])?)
}

impl WebhookArgs {
    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        match (&self.url, &self.service) {
            (Some(url), None) => Ok(Endpoint::Url(url.clone())),
            (None, Some(service)) => {
                let (namespace, name) = (service.namespace.clone(), service.name.clone());
                Ok(Endpoint::Service { namespace, name, port: SERVICE_PORT })
            }
            _ => anyhow::bail!("expected one of --url and --service"),
        }
    }
}

/// The certificates of all files in one bundle, without any other content such as a key.
fn ca_bundle(files: &[PathBuf]) -> Result<Option<Vec<u8>>, ErrorList> {
    let mut problems = ErrorList::default();
    let bundles = files.iter().filter_map(|file| problems.keep(certificates(file).map_err(ErrorList::from)));
    let bundle = bundles.collect::<Vec<_>>().concat();
    problems.or(Some(bundle.into_bytes()).filter(|_| !files.is_empty()))
}

/// The certificates of a file, without the text around them.
fn certificates(file: &Path) -> Result<String, String> {
    let path = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(&path, &error))?;
    if text.contains("PRIVATE KEY-----") {
        return Err(format!("{path}: contains a private key, expected certificates alone"));
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let certificates = certificates.map_err(|error| format!("{path}: no valid PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("{path}: contains no certificate, expected at least one in PEM"));
    }
    for certificate in certificates {
        x509_parser::parse_x509_certificate(&certificate)
            .map_err(|error| format!("{path}: a certificate cannot be parsed: {error}"))?;
    }
    Ok(blocks(&text))
}

/// The certificate blocks of a PEM text.
fn blocks(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let bodies = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    bodies.map(|(body, _)| format!("{BEGIN}{body}{END}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_around_certificates_is_left_out() {
        let one = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let text = format!("token: s3cr3t\n{}subject=/CN=x\n{}", one("YQ=="), one("Yg=="));
        assert_eq!(blocks(&text), one("YQ==") + &one("Yg=="));
    }
}

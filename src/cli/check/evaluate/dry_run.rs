//! Chooses the dry-run pod, and derives from its outcome whether the API server can call a replica.

use std::collections::BTreeSet;

use super::super::finding::{Code, Finding, Severity};
use super::super::observations::{DryRun, DryRunOutcome, Observations};
use super::APPLY_AGAIN;
use super::configuration::{self, covers};
use super::namespaces::labels;
use crate::cli::cluster::Lookup;
use crate::inject::annotations::AnnotationKeys;

/// The built-in template that any pod can have.
const USUAL_TEMPLATE: &str = "log-collector";
/// Maximum number of templates to try: some are for certain pods only, and deny others.
const MAX_TEMPLATES: usize = 3;

/// A namespace in which a requesting pod would be injected.
pub(crate) fn choose_namespace(observations: &Observations) -> Option<String> {
    let Some(namespaces) = observations.namespaces.found() else { return Some("default".to_owned()) };
    let keys = AnnotationKeys::new(&observations.target.domain);
    let entry = observations.pods_entry();
    let mut fit = namespaces.iter().filter(|namespace| {
        let is_disabled = namespace.labels.get(&keys.injection).is_some_and(|label| label == "disabled");
        let is_left_out = entry.is_some_and(|entry| !covers(entry, &labels(namespace)));
        let is_system = namespace.name.starts_with("kube-") || namespace.name == observations.target.namespace;
        !is_disabled && !is_left_out && !is_system
    });
    let first = fit.clone().next();
    fit.find(|namespace| namespace.name == "default").or(first).map(|namespace| namespace.name.clone())
}

/// Templates to try, in this order.
pub(crate) fn choose_templates(observations: &Observations) -> Vec<String> {
    if observations.responding().next().is_none() {
        return vec![USUAL_TEMPLATE.to_owned()];
    }
    let loaded = observations.templates().filter(|(_, template)| {
        template.namespace.is_none() && template.revision.is_some() && template.problem.is_none()
    });
    let loaded: BTreeSet<&str> = loaded.map(|(_, template)| &*template.name).collect();
    let usual = loaded.get(USUAL_TEMPLATE).copied().into_iter();
    let others = loaded.iter().copied().filter(|name| *name != USUAL_TEMPLATE);
    usual.chain(others).take(MAX_TEMPLATES).map(str::to_owned).collect()
}

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let finding = match &observations.dry_run {
        DryRun::NotSent(why) => Code::TrialImpossible.found(
            format!("no dry-run pod was sent: {why}"),
            "name a namespace with --test-namespace and a template with --template",
        ),
        DryRun::Sent { namespace, template, outcome } => {
            let sent = SentPod { observations, namespace, template };
            match outcome {
                DryRunOutcome::Admitted { templates } if templates.contains(template) => Code::Injection
                    .good(format!("a dry-run pod in namespace {namespace:?} was injected with template {template:?}")),
                DryRunOutcome::Admitted { .. } => sent.untouched(),
                DryRunOutcome::Refused { message, .. } => sent.refused(message),
                DryRunOutcome::NoResponse(problem) => Code::TrialImpossible.found(
                    format!("the dry-run pod in namespace {namespace:?} got no response: {problem}"),
                    "try again, with a longer --timeout: the API server may be waiting for a webhook",
                ),
            }
        }
    };
    vec![finding]
}

/// Whether a message of the API server names an entry of this installation.
pub(crate) fn is_of_ours(message: &str, domain: &str) -> bool {
    message.contains(&format!(".inject.{domain}\""))
}

/// The webhook that a message of the API server names.
fn other_webhook(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("failed calling webhook \"").or(message.split_once("admission webhook \""))?;
    rest.split_once('"').map(|(name, _)| name)
}

/// The dry-run pod that was sent.
struct SentPod<'f> {
    observations: &'f Observations,
    namespace: &'f str,
    template: &'f str,
}

/// Parts of API server messages and their code. The first match counts.
const CALLS: [(&[&str], Code); 6] = [
    (&["no endpoints available", "not found"], Code::CallNoEndpoints),
    (&["expired or is not yet valid"], Code::CallExpired),
    (&["certificate is valid for", "doesn't contain any IP SANs", "not valid for any names"], Code::CallWrongName),
    (&["x509:", "tls: failed to verify certificate"], Code::CallUntrusted),
    (&["connection refused"], Code::CallRefused),
    (
        &[
            "context deadline exceeded",
            "Client.Timeout",
            "i/o timeout",
            "no route to host",
            "network is unreachable",
            "TLS handshake timeout",
        ],
        Code::CallTimeout,
    ),
];

impl SentPod<'_> {
    fn refused(&self, message: &str) -> Finding {
        let namespace = self.namespace;
        let is_ours = is_of_ours(message, &self.observations.target.domain);
        if is_ours && message.contains("failed calling webhook") {
            return self.failed_call(message);
        }
        if is_ours && message.contains("denied the request") {
            return Code::Denied.found(
                format!("the webhook is called and denies the dry-run pod for template {:?} in namespace {namespace:?}: {message}", self.template),
                "the message says what the template requires; name one that fits a plain pod with --template, or a namespace with --test-namespace",
            );
        }
        let hint = match other_webhook(message) {
            Some(name) => format!(
                "webhook {name:?} belongs to another program, and real pods meet it too: find its configuration with `kubectl get mutatingwebhookconfigurations,validatingwebhookconfigurations -o yaml`, and look at the program that it calls; or choose a namespace that it leaves alone with --test-namespace"
            ),
            None => "name a namespace in which such a pod may be created with --test-namespace; the right to create pods there is needed".to_owned(),
        };
        Code::TrialRefused.found(
            format!("the dry-run pod in namespace {namespace:?} was refused, not by this webhook: {message}"),
            hint,
        )
    }

    fn failed_call(&self, message: &str) -> Finding {
        let found = CALLS.iter().find(|(parts, _)| parts.iter().any(|part| message.contains(part)));
        let code = found.map_or(Code::CallFailed, |(_, code)| *code);
        let namespace = &self.observations.target.namespace;
        let hint = match code {
            Code::CallNoEndpoints => format!(
                "bring a replica up (see the lines on endpoints and replicas); `kubectl -n {namespace} get endpointslices,pods` shows who is there"
            ),
            Code::CallUntrusted | Code::CallExpired => {
                "see the lines on certificates: the caBundle of the configuration and the certificates of the replicas have to match".to_owned()
            }
            Code::CallWrongName => {
                "see the lines on certificates; a foreign name belongs to something in between, such as a proxy: add .svc to NO_PROXY of the API server".to_owned()
            }
            Code::CallRefused | Code::CallTimeout => self.unreachable(),
            _ => format!("`kubectl -n {namespace} logs deployment/outrigger` says whether the call arrived, and the API server's log why it failed"),
        };
        code.found(format!("the API server cannot call the webhook: {message}"), hint)
    }

    /// The hint for a refused connection or a timeout.
    fn unreachable(&self) -> String {
        let namespace = &self.observations.target.namespace;
        let is_anybody_ready = self.observations.responding().any(|(replica, _)| replica.is_ready);
        if !is_anybody_ready {
            return format!(
                "no replica is ready: see the lines on endpoints and replicas, and `kubectl -n {namespace} get pods`"
            );
        }
        format!(
            "the replicas respond through port-forward, but the API server does not reach them: look for a NetworkPolicy or a firewall that keeps it from TCP 9443 of the pods (`kubectl -n {namespace} get networkpolicy`; docs/operations.md, Private clusters and firewalls), and whether the Service's targetPort is the port that they listen on"
        )
    }

    /// The pod was admitted unchanged: the webhook was not called, or its failure was ignored.
    fn untouched(&self) -> Finding {
        let (why, hint) = self.why_untouched();
        Code::NotInjected.found(
            format!(
                "a dry-run pod that requests template {:?} was admitted without injection in namespace {:?}: {why}",
                self.template, self.namespace
            ),
            hint,
        )
    }

    fn why_untouched(&self) -> (String, String) {
        let (observations, name) = (self.observations, self.namespace);
        let keys = AnnotationKeys::new(&observations.target.domain);
        let namespace = observations.namespaces.found().and_then(|all| all.iter().find(|one| one.name == name));
        if matches!(observations.configuration, Lookup::Absent) {
            return ("there is no webhook configuration".to_owned(), APPLY_AGAIN.to_owned());
        }
        if let Some(namespace) = namespace {
            let label = namespace.labels.get(&keys.injection);
            if label.is_some_and(|label| label == "disabled") {
                let hint = format!(
                    "`kubectl label namespace {name} {}=enabled --overwrite`, or another --test-namespace",
                    keys.injection
                );
                return (format!("the namespace has the label {}=disabled", keys.injection), hint);
            }
            if observations.pods_entry().is_some_and(|entry| !covers(entry, &labels(namespace))) {
                let why = "the namespaceSelector of the webhook configuration excludes this namespace".to_owned();
                return (why, "choose another --test-namespace".to_owned());
            }
        }
        let Some(entry) = observations.pods_entry() else {
            return ("the webhook is not called, or does nothing".to_owned(), APPLY_AGAIN.to_owned());
        };
        if entry.failure_policy.as_deref() == Some("Ignore") && self.has_failures() {
            let why = "the call failed, and failurePolicy Ignore admits the pod anyway".to_owned();
            return (why, "see the failed lines above for why".to_owned());
        }
        if !super::drift::evaluate(entry, &observations.target).is_empty() {
            let why =
                "the webhook configuration differs from what is expected, and does not match such pods".to_owned();
            return (why, format!("see the lines on drift; {APPLY_AGAIN}"));
        }
        (
            "the webhook is not called (more conditions in the configuration?), its call fails and failurePolicy is Ignore, or the setting excludeNamespaces names the namespace".to_owned(),
            format!("`kubectl -n {} logs deployment/outrigger` has a line for each call that arrives, with its reasons", observations.target.namespace),
        )
    }

    /// Whether another finding explains why the call fails.
    fn has_failures(&self) -> bool {
        let subjects = [configuration::evaluate, super::endpoints::evaluate, super::certificates::evaluate];
        subjects
            .iter()
            .flat_map(|evaluate| evaluate(self.observations))
            .any(|finding| finding.severity == Severity::Failed)
    }
}

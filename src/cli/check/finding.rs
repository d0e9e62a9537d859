//! What can be found, each with a stable code, how bad it is, and what it means.
//!
//! It examines nothing. Invariant: a code never changes its name or meaning, since scripts read it; docs/reference/check.md lists
//! them in this order.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// The installation works, and something requesters to be looked at; also what any tenant of the cluster can do wrong by himself.
    Warning,
    /// Pods that ask do not get what they ask for, or soon will not.
    Failed,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    pub message: String,
    /// What to do; absent where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Declares the codes with all that is said of each, so that no table can forget one.
macro_rules! codes {
    ($($variant:ident $severity:ident $code:literal $meaning:literal,)+) => {
        /// What can be found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($variant,)+ }

        impl Code {
            /// All of them, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// What it means, as a sentence of the reference.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

codes! {
    Configuration Ok "webhook_configuration" "the webhook configuration is there and calls this installation",
    WebhookDeleted Failed "webhook_deleted" "there is no webhook configuration: the API server calls nobody",
    EntryMissing Failed "entry_missing" "the webhook configuration lacks one of its two entries",
    WrongTarget Failed "wrong_target" "an entry calls something else than this installation",
    Drift Warning "drift" "an entry differs from what this program generates",
    Endpoints Ok "endpoints" "the Service has ready endpoints",
    ServiceMissing Failed "service_missing" "the Service that the entries call does not exist",
    ServicePortMissing Failed "service_port_missing" "the Service lacks the port that the entries call",
    NoEndpoints Failed "no_endpoints" "nobody is behind the Service",
    Replicas Ok "replicas" "all replicas that are wanted are ready",
    DeploymentMissing Warning "deployment_missing" "no Deployment of Outrigger is in the namespace",
    NoReplicas Failed "no_replicas" "the Deployment is scaled to nothing",
    ReplicasNotReady Warning "replicas_not_ready" "not all replicas that are wanted are ready",
    ReplicaSilent Warning "replica_silent" "a replica cannot be asked",
    ReplicaNote Warning "replica_note" "a replica says that something is wrong with it",
    Versions Ok "versions" "all replicas run one version",
    VersionSkew Failed "version_skew" "the replicas run different versions",
    ProgramDiffers Warning "program_differs" "this program has another version than the replicas",
    Certificates Ok "certificates" "the API server trusts the certificate that is served",
    BundleEmpty Failed "bundle_empty" "an entry has no caBundle",
    BundleInvalid Failed "bundle_invalid" "the caBundle of an entry holds no certificate",
    WrongBundle Failed "wrong_bundle" "the caBundle does not cover the certificate that is served",
    WrongName Failed "wrong_name" "the certificate that is served is for another name",
    LeafExpired Failed "leaf_expired" "the certificate that is served has expired",
    LeafNotYetValid Failed "leaf_not_yet_valid" "the certificate that is served holds only later",
    CaExpired Failed "ca_expired" "the authority of the certificate that is served has expired",
    LeafOverdue Warning "leaf_overdue" "the certificate that is served should have been renewed by now",
    CaOverdue Warning "ca_overdue" "the authority of the certificate should have been renewed by now",
    FromSecret Warning "from_secret" "the certificate was read from its Secret instead of from a replica",
    NoCertificate Warning "no_certificate" "the certificate that is served could not be seen",
    Templates Ok "templates" "all templates are good, and the same on all replicas",
    NoTemplates Warning "no_templates" "no template is loaded: every pod that requesters is refused",
    TemplateInvalid Warning "template_invalid" "a template is broken",
    TemplateSkew Warning "template_skew" "the replicas have different templates, or revisions of them",
    TemplateMissing Warning "template_missing" "a template is asked for that no replica has",
    Namespaces Ok "namespaces" "labels and annotations of namespaces fit together",
    LabelUnknown Warning "label_unknown" "the label of a namespace is neither enabled nor disabled",
    DefaultListWithoutLabel Warning "default_list_without_label" "a namespace has a default list without the label that it needs",
    NamespaceDisabled Warning "namespace_disabled" "pods ask in a namespace whose label disables injection",
    NamespaceExcluded Warning "namespace_excluded" "pods ask in a namespace that the webhook leaves alone",
    Injection Ok "injection" "a dry-run pod came back injected",
    CallNoEndpoints Failed "call_no_endpoints" "the API server finds nobody behind the Service",
    CallRefused Failed "call_refused" "the API server's connection is refused",
    CallUntrusted Failed "call_untrusted" "the API server does not trust the certificate",
    CallExpired Failed "call_expired" "the API server finds the certificate expired, or not valid yet",
    CallWrongName Failed "call_wrong_name" "the API server finds the certificate made for another name",
    CallTimeout Failed "call_timeout" "the API server gets no answer in time",
    CallFailed Failed "call_failed" "the API server's call fails otherwise",
    Denied Warning "denied" "the webhook is called and refuses the dry-run pod",
    NotInjected Failed "not_injected" "the dry-run pod came back as it was",
    TrialRefused Warning "trial_refused" "somebody else refuses the dry-run pod",
    TrialImpossible Warning "trial_impossible" "no dry-run pod could be sent",
    Sidecars Ok "sidecars" "every pod that requesters has its sidecar",
    SidecarMissing Warning "sidecar_missing" "pods that ask were created without their sidecar",
    Forbidden Warning "forbidden" "a right is missing to look at something",
    NotExamined Warning "not_examined" "something could not be looked at",
    NothingKnown Failed "nothing_known" "too little could be looked at to call it healthy",
}

impl Code {
    /// A finding where all is well.
    pub fn good(self, message: impl Into<String>) -> Finding {
        Finding { code: self.code(), severity: self.severity(), message: message.into(), hint: None }
    }

    /// A finding with what to do about it.
    pub fn found(self, message: impl Into<String>, hint: impl Into<String>) -> Finding {
        Finding { code: self.code(), severity: self.severity(), message: message.into(), hint: Some(hint.into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_words() {
        let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        assert!(codes.iter().all(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '_')), "{codes:?}");
    }
}

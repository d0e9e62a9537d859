//! The codes of all findings of `outrigger check`, each with its severity and meaning.
//!
//! Invariant: a code never changes its name or meaning, since scripts read it;
//! docs/reference/check.md lists the codes in this order.

use serde::Serialize;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// The installation works, but something needs attention. Mistakes that a tenant can make alone
    /// too.
    Warning,
    /// Pods that request templates do not get them, or soon will not.
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    pub message: String,
    /// What to do; absent if the severity is ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Declares each code once with its severity and meaning, so that no table can lack one.
macro_rules! codes {
    ($($variant:ident $severity:ident $code:literal $meaning:literal,)+) => {
        /// The code of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $(#[doc = $meaning] $variant,)+ }

        impl Code {
            /// All codes, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable code, as scripts read it.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// How bad a finding with this code is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// The meaning, as docs/reference/check.md prints it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

codes! {
    Configuration Ok "webhook_configuration" "the webhook configuration exists and calls this installation",
    WebhookDeleted Failed "webhook_deleted" "there is no webhook configuration: the API server does not call Outrigger",
    EntryMissing Failed "entry_missing" "the webhook configuration lacks one of its two entries",
    WrongTarget Failed "wrong_target" "an entry calls another target than this installation",
    Drift Warning "drift" "an entry differs from what this program generates",
    Endpoints Ok "endpoints" "the Service has ready endpoints",
    ServiceMissing Failed "service_missing" "the Service that the entries call does not exist",
    ServicePortMissing Failed "service_port_missing" "the Service lacks the port that the entries call",
    NoEndpoints Failed "no_endpoints" "the Service has no ready endpoint",
    Replicas Ok "replicas" "all desired replicas are ready",
    DeploymentMissing Warning "deployment_missing" "no Deployment of Outrigger is in the namespace",
    NoReplicas Failed "no_replicas" "the Deployment is scaled to zero",
    ReplicasNotReady Warning "replicas_not_ready" "not all desired replicas are ready",
    ReplicaSilent Warning "replica_silent" "a ready replica does not respond",
    ReplicaNote Warning "replica_note" "a replica reports a problem",
    LeaseMissing Warning "lease_missing" "the lease of the leader election does not exist",
    NoLeader Warning "no_leader" "no replica holds the lease of the leader election",
    Versions Ok "versions" "all replicas run the same version",
    VersionSkew Failed "version_skew" "the replicas run different versions",
    ProgramDiffers Warning "program_differs" "this program and the replicas have different versions",
    Certificates Ok "certificates" "the API server trusts the serving certificate",
    BundleEmpty Failed "bundle_empty" "an entry has no caBundle",
    BundleInvalid Failed "bundle_invalid" "the caBundle of an entry contains no certificate",
    WrongBundle Failed "wrong_bundle" "the caBundle does not cover the serving certificate",
    WrongName Failed "wrong_name" "the serving certificate is for another name",
    AdviceUntrusted Warning "advice_untrusted" "the API server does not trust the certificate when it asks for advice about workloads",
    LeafExpired Failed "leaf_expired" "the serving certificate has expired",
    LeafNotYetValid Failed "leaf_not_yet_valid" "the serving certificate is not valid yet",
    CaExpired Failed "ca_expired" "the authority of the serving certificate has expired",
    LeafOverdue Warning "leaf_overdue" "the serving certificate should have been renewed by now",
    CaOverdue Warning "ca_overdue" "the authority of the serving certificate should have been renewed by now",
    FromSecret Warning "from_secret" "the certificate was read from its Secret instead of from a replica",
    NoCertificate Warning "no_certificate" "the serving certificate could not be read",
    Templates Ok "templates" "all templates are valid, and the same on all replicas",
    NoTemplates Warning "no_templates" "no template is loaded: every pod that requests one is refused",
    TemplateInvalid Warning "template_invalid" "a template is broken",
    TemplateOrphaned Warning "template_orphaned" "templates are served whose source has vanished",
    TemplateWarning Warning "template_warning" "a template that is served has a warning",
    TemplateSkew Warning "template_skew" "the replicas have different templates, or revisions of them",
    TemplateMissing Warning "template_missing" "a requested template is on no replica",
    Namespaces Ok "namespaces" "labels and annotations of namespaces are consistent",
    LabelUnknown Warning "label_unknown" "the label of a namespace is neither enabled nor disabled",
    DefaultListWithoutLabel Warning "default_list_without_label" "a namespace has a default list without the label that it needs",
    NamespaceDisabled Warning "namespace_disabled" "pods request templates in a namespace whose label disables injection",
    NamespaceExcluded Warning "namespace_excluded" "pods request templates in a namespace that the webhook excludes",
    Injection Ok "injection" "a dry-run pod was injected",
    CallNoEndpoints Failed "call_no_endpoints" "the API server finds no endpoint of the Service",
    CallRefused Failed "call_refused" "the API server's connection is refused",
    CallUntrusted Failed "call_untrusted" "the API server does not trust the certificate",
    CallExpired Failed "call_expired" "for the API server, the certificate has expired or is not valid yet",
    CallWrongName Failed "call_wrong_name" "for the API server, the certificate is for another name",
    CallTimeout Failed "call_timeout" "the API server gets no response in time",
    CallFailed Failed "call_failed" "the API server's call fails for another reason",
    Denied Warning "denied" "the webhook is called and denies the dry-run pod",
    NotInjected Failed "not_injected" "the dry-run pod was admitted without injection",
    TrialRefused Warning "trial_refused" "the API server or another webhook refuses the dry-run pod",
    TrialImpossible Warning "trial_impossible" "no dry-run pod could be sent",
    Workloads Ok "workloads" "no pod of a workload is refused, and every key that looks like ours is read",
    WorkloadRefused Warning "workload_refused" "the pods of a workload are refused",
    KeyUnread Warning "key_unread" "nothing reads a key that looks like one of ours",
    Sidecars Ok "sidecars" "every pod that requests a sidecar has it, of the current revision",
    PodWithoutSidecar Warning "pod_without_sidecar" "pods that request a sidecar were created without it",
    PodOutdated Warning "pod_outdated" "pods carry an older revision of a template",
    Forbidden Warning "forbidden" "a permission to read something is missing",
    NotExamined Warning "not_examined" "something could not be read",
    NothingKnown Failed "nothing_known" "too little could be read for a verdict",
}

impl Code {
    /// A finding without a hint, for a healthy subject.
    pub fn good(self, message: impl Into<String>) -> Finding {
        Finding { code: self.code(), severity: self.severity(), message: message.into(), hint: None }
    }

    /// A finding with a hint that says what to do.
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

//! The reasons to skip a pod: each has one code for machines and one sentence for people.

use std::fmt;

/// Why a pod, or one template for it, is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// `unsupported_resource`
    UnsupportedResource,
    /// `unsupported_operation`
    UnsupportedOperation,
    /// `mirror_pod`
    MirrorPod,
    /// `windows_pod`
    WindowsPod,
    /// `namespace_excluded`
    NamespaceExcluded,
    /// `namespace_disabled`
    NamespaceDisabled,
    /// `namespace_not_enabled`
    NamespaceNotEnabled,
    /// `opted_out`
    OptedOut,
    /// `default_list_invalid`
    DefaultListInvalid,
    /// `default_template_missing`
    DefaultTemplateMissing,
    /// `default_template_broken`
    DefaultTemplateBroken,
    /// `not_requested`
    NotRequested,
    /// `already_injected`
    AlreadyInjected,
    /// `nothing_to_add`
    NothingToAdd,
}

impl SkipReason {
    /// All reasons, in the order of the reference.
    pub const ALL: [Self; 14] = [
        Self::UnsupportedResource,
        Self::UnsupportedOperation,
        Self::MirrorPod,
        Self::WindowsPod,
        Self::NamespaceExcluded,
        Self::NamespaceDisabled,
        Self::NamespaceNotEnabled,
        Self::OptedOut,
        Self::DefaultListInvalid,
        Self::DefaultTemplateMissing,
        Self::DefaultTemplateBroken,
        Self::NotRequested,
        Self::AlreadyInjected,
        Self::NothingToAdd,
    ];

    /// The stable code: metric label, log field, audit annotation.
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// One sentence for people. It names keys without their domain, which an operator can change.
    pub const fn sentence(self) -> &'static str {
        self.row().1
    }

    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::UnsupportedResource => {
                ("unsupported_resource", "only pods are injected, not other resources or subresources")
            }
            Self::UnsupportedOperation => ("unsupported_operation", "pods are injected only when they are created"),
            Self::MirrorPod => {
                ("mirror_pod", "a mirror pod represents a static pod of a kubelet and cannot be changed")
            }
            Self::WindowsPod => {
                ("windows_pod", "the pod runs on Windows, and no requested template has windows in match.os")
            }
            Self::NamespaceExcluded => ("namespace_excluded", "the configuration excludes the pod's namespace"),
            Self::NamespaceDisabled => ("namespace_disabled", "the namespace's label \"injection\" is \"disabled\""),
            Self::NamespaceNotEnabled => (
                "namespace_not_enabled",
                "the namespace has a default list, or an Automatic template matches, but its label \"injection\" is not \"enabled\"",
            ),
            Self::OptedOut => ("opted_out", "the pod's annotation \"inject\" is \"false\""),
            Self::DefaultListInvalid => {
                ("default_list_invalid", "the default list of the namespace cannot be read, so it is ignored")
            }
            Self::DefaultTemplateMissing => (
                "default_template_missing",
                "a template of the namespace's default list does not exist, so the pod is created without it",
            ),
            Self::DefaultTemplateBroken => (
                "default_template_broken",
                "a template of the namespace's default list never loaded, so the pod is created without it",
            ),
            Self::NotRequested => (
                "not_requested",
                "neither the pod nor its namespace requests a template, and no Automatic template matches",
            ),
            Self::AlreadyInjected => ("already_injected", "the pod already has the template"),
            Self::NothingToAdd => {
                ("nothing_to_add", "the template brings nothing for this pod; its expressions leave everything out")
            }
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.sentence())
    }
}

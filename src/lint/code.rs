//! The codes of the warnings of `outrigger lint`, each with its meaning and what to do.
//!
//! Invariant: a code never changes its name or meaning, since scripts and comments in templates name it.

/// Declares each code once, so that no table can lack one.
macro_rules! codes {
    ($($variant:ident $code:literal $meaning:literal $help:literal,)+) => {
        /// The code of a warning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Code { $(#[doc = $meaning] $variant,)+ }

        impl Code {
            /// All codes, in the order of the reference.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable code, as scripts and comments name it.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The meaning, in one line.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// What to do.
            pub(crate) const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

codes! {
    TemplateWarning "template_warning" "loading the template gives a warning, such as an unused parameter or volume"
        "do what the message says; the server logs the same warning",
    NoResources "no_resources" "a container has no requests, or no limit of memory"
        "set resources.requests and resources.limits.memory; the scheduler plans with them, and quotas require them",
    ImageTag "image_tag" "an image has no tag or digest, or the tag latest"
        "name a version or a digest; otherwise pods of one workload may run different images",
    EmptyDirSize "empty_dir_size" "an emptyDir on disk has no sizeLimit"
        "set emptyDir.sizeLimit; otherwise the volume may fill the node's disk",
    PodSecurity "pod_security" "the template needs more than Pod Security \"restricted\" or \"baseline\" allows"
        "remove the field, or allow the code where the sidecar needs the privilege",
    RootImage "root_image" "the template is hardened, and the image is known to run as root"
        "set securityContext.runAsUser, or take an image for users that are not root; kubelet refuses to start it",
    AutomaticEverywhere "automatic_everywhere" "injection is Automatic and match has no namespaceSelector"
        "set match.namespaceSelector, so that new namespaces do not get the sidecar unasked",
    ShellIgnoresSigterm "shell_ignores_sigterm" "a sidecar's first process is a shell that ignores SIGTERM"
        "begin the last command with exec, or set a trap; otherwise each pod takes its grace period to end",
    SecretInEnv "secret_in_env" "a variable with the name of a secret has its value in the template"
        "take the value from a Secret: valueFrom.secretKeyRef",
    ForeignSyntax "foreign_syntax" "a value has the syntax {{ }} of Helm or Go templates, which nothing evaluates here"
        "write an expression ${...}",
    KubernetesVersion "kubernetes_version" "the version of --kubernetes does not serve a field by default"
        "remove the field, or use the template on newer clusters only",
    AllowUnused "allow_unused" "a comment that allows a code names an unknown code, or silences nothing"
        "remove the comment, or correct the code",
}

impl Code {
    /// The code of this name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

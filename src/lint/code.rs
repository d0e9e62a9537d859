//! The codes of `outrigger lint`, each with its meaning, its reason and two example templates.
//!
//! Invariant: a code never changes its name or meaning, since scripts and comments in templates name it.

/// Declares each code once, so that no table can lack one. Its examples are the files
/// `codes/CODE/raises.yaml` and `codes/CODE/quiet.yaml`.
macro_rules! codes {
    ($($variant:ident $code:literal $meaning:literal $why:literal $help:literal,)+) => {
        /// The code of a finding.
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

            /// What happens in a cluster.
            pub(crate) const fn why(self) -> &'static str {
                match self { $(Self::$variant => $why,)+ }
            }

            /// What to do.
            pub(crate) const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }

            /// A template with the finding; the comments below its lines mark each place.
            pub(crate) const fn raises(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("codes/", $code, "/raises.yaml")),)+ }
            }

            /// A template without it.
            pub(crate) const fn quiet(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("codes/", $code, "/quiet.yaml")),)+ }
            }
        }
    };
}

codes! {
    TemplateInvalid "template_invalid" "the template cannot be loaded"
        "The server refuses the template; for a template that it has loaded before it keeps the last good revision. \
         A comment cannot allow an error."
        "correct the template; the server refuses it",
    UnusedParameter "unused_parameter" "no expression reads a parameter"
        "Pods can set the parameter, and nothing changes."
        "read it with ${params.NAME}, or remove it",
    UnusedVolume "unused_volume" "no container mounts a volume of the template"
        "Each pod gets a volume that nobody can use; the kubelet prepares it all the same."
        "mount it with volumeMounts in a sidecar, an init container or spec.app, or remove it",
    UnusedFile "unused_file" "no container mounts the files of an item of spec.files"
        "The files are carried by each pod, and no container can read them."
        "mount them with volumeMounts in a sidecar, an init container or spec.app, or remove them",
    UnknownField "unknown_field" "Kubernetes has no such field, as far as this build knows"
        "An API server drops fields that it does not know, without a word. The field is passed on, in case it is \
         newer than this build."
        "correct the name, or add it to spec.newFields if it is new",
    NoEffect "no_effect" "a value has no effect where it is"
        "The template seems to say something that nobody reads."
        "remove the value, or move it to the place that the message names",
    ForeignSyntax "foreign_syntax" "a value has the syntax {{ }} of Helm or Go templates"
        "Outrigger does not evaluate it: the text reaches the pod as it is."
        "write an expression ${...}, or allow the code if the program itself evaluates it, as consul-template and \
         docker --format do",
    UndefinedVariable "undefined_variable" "a value names a variable $(NAME) that its container does not define before"
        "Kubernetes leaves a reference to a variable that it does not find as the text $(NAME), without an error. \
         In env only the variables that stand before count. The commands of hooks are not expanded at all, those of \
         probes only by variables with a written value."
        "define the variable in env, before its first use; write $$(NAME) for the text itself",
    NoResources "no_resources" "a container has no requests, or no limit of memory"
        "The scheduler plans with requests. Without them a node is filled until pods are evicted, and a pod that was \
         Guaranteed no longer is. Without a limit of memory, a leak of the sidecar takes the memory of the app. \
         A request that is left out is the limit. A namespace refuses the pod if it has a ResourceQuota for a \
         request or limit that is missing."
        "set resources.requests and resources.limits.memory",
    ImageTag "image_tag" "an image has no tag or digest, or the tag latest"
        "Pods of one workload may run different images, depending on when their nodes pulled them, and no rollback \
         brings the earlier one back."
        "name a version or a digest",
    EmptyDirSize "empty_dir_size" "an emptyDir on disk has no sizeLimit"
        "What fills the volume fills the disk of the node, and the kubelet then evicts pods that have nothing to do \
         with it. A volume without a source is an emptyDir."
        "set emptyDir.sizeLimit",
    PodSecurity "pod_security" "the template needs more than a level of Pod Security allows"
        "A namespace that enforces the level refuses every pod that gets the template. What `hardened` fills in is \
         taken into account. \
         See <https://kubernetes.io/docs/concepts/security/pod-security-standards/>."
        "change the field, or allow the code where the container needs the privilege",
    RootImage "root_image" "the kubelet must not start root, and the image's user is root or a name"
        "With runAsNonRoot: true, which `hardened` sets too, the kubelet does not start an image whose user is root, \
         or a name instead of a number: the container stays in CreateContainerConfigError. The users of many official \
         images are known."
        "set a numeric securityContext.runAsUser, or take an image with one",
    AutomaticEverywhere "automatic_everywhere" "injection is Automatic and match selects every namespace"
        "Every namespace that takes part in injection gets the template, also those that are created later. A condition \
         that reads the namespace silences it."
        "set match.namespaceSelector, so that new namespaces do not get the sidecar unasked",
    AutomaticConflict "automatic_conflict" "two Automatic templates conflict, and some pods get both"
        "Pods that both select are refused, or get one of the two, as onConflict says. More than 200 Automatic \
         templates are not compared."
        "change match of one of them, so that no pod gets both, or remove what both bring",
    JobSidecar "job_sidecar" "the sidecars are plain containers, for which the pod of a Job waits"
        "A Job is complete when all containers of its pod have ended, and a plain sidecar never ends. A match \
         that leaves out the pods of Jobs silences it: a condition that holds for a pod of another controller and for \
         none of a Job, or a podSelector that asks for pod-template-hash or rules out job-name. See KEP-753."
        "use placement.sidecars: Native, or end the sidecar when the app has ended",
    SigtermIgnored "sigterm_ignored" "a sidecar's first process ignores SIGTERM"
        "The kernel gives the first process of a container only signals for which it has a handler. A shell has none \
         for SIGTERM, nor have tail, sleep, cat and tee: each pod takes its whole grace period to end, 30 seconds by \
         default, and is then killed. ash of busybox and bash replace themselves by the last simple command of a \
         list, dash does not; for pipelines, loops and commands before || all shells stay. A trap runs only after the \
         command in the foreground has ended, or during wait. Nothing is ignored where the pod has \
         shareProcessNamespace: true."
        "begin the last command with exec, or set a trap for TERM and wait for the command in the background",
    SecretInEnv "secret_in_env" "a secret has its value in the template"
        "Whoever may read the template or a pod reads the secret. The names of variables and flags tell secrets: those \
         that end in PASSWORD, TOKEN, SECRET, API_KEY and the like, also in the form dbPassword. Passwords of URLs are \
         secrets too, and those in the texts of spec.files. Paths of files, references to variables, switches, numbers \
         and durations are none."
        "take the value from a Secret: valueFrom.secretKeyRef",
    KubernetesVersion "kubernetes_version" "the version of --kubernetes does not serve a field by default"
        "An API server drops a field whose feature gate is off, or refuses the pod: the sidecar runs without what \
         the field says. The versions are those of the feature gates of Kubernetes 1.36, which list when each was on \
         by default; fields that all versions since 1.20 serve are not listed. Fields that this build knows and 1.36 does \
         not have are newer. By default Outrigger injects native \
         sidecars from 1.32 on, where every supported kubelet runs them."
        "remove the field, or use the template on newer clusters only",
    AllowUnused "allow_unused" "a comment that allows a code names an unknown code, or silences nothing"
        "The comment was for something that has gone, or silences nothing because it is misspelt. Codes whose rule \
         was not applied are not reported: those of a template that cannot be loaded, and kubernetes_version without \
         --kubernetes."
        "remove the comment, or correct it: # outrigger-lint: allow CODE",
}

impl Code {
    /// The code of this name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// Whether it is an error, which neither a comment nor `--allow` leaves out.
    pub(crate) const fn is_error(self) -> bool {
        matches!(self, Self::TemplateInvalid)
    }
}

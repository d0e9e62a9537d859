//! The table of rules: for each Kubernetes type the function of kube-apiserver that has them, and
//! the rules of its fields.
//!
//! A row says what is refused of every pod. Duplicates and references are not in it.

use super::Check::{
    AtMostOne, Entries, ExactlyOne, NonEmptyText, Numbers, OneOf, OneOfOrEmpty, Other, Range, Required, Text, Texts,
};
use super::{Check, Rule, containers, resources, scheduling, security, texts, volumes};
use crate::inject::text::names::{
    check_dns_label, check_dns_subdomain, check_env_var_name, check_label_value, check_port_name, check_qualified_name,
};

/// A row: the type, the function that checks it in `pkg/apis/core/validation`, and the rules.
type Row = (&'static str, &'static str, &'static [Rule]);

const PROBE_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const HOOK_HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];
const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const PROJECTIONS: &[&str] =
    &["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
const ENV_FROM: &[&str] = &["configMapRef", "secretRef"];
const ENV_SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
const FILE_SOURCES: &[&str] = &["fieldRef", "resourceFieldRef"];
const POLICIES: &[&str] = &["Honor", "Ignore"];
const CLAIM_SOURCES: &[&str] = &["resourceClaimName", "resourceClaimTemplateName"];
const FLOCKER: &[&str] = &["datasetName", "datasetUUID"];
const FIBRE_CHANNEL: &[&str] = &["targetWWNs", "wwids"];
/// User and group ids (`IsValidUserID`, `IsValidGroupID`).
const ID: Check = Range(0, i32::MAX as i64);
/// A number that is not negative.
const NOT_NEGATIVE: Check = Range(0, i64::MAX);
/// A number above zero.
const POSITIVE: Check = Range(1, i64::MAX);
/// A port; 0 is none.
const PORT: Check = Range(1, 65_535);

const fn rule(field: &'static str, check: Check) -> Rule {
    Rule { field, check }
}

/// A rule between fields.
const fn object(check: Check) -> Rule {
    Rule { field: "", check }
}

/// The rules of a type of core/v1.
pub(in crate::inject::schema) fn of(type_name: &str) -> &'static [Rule] {
    TABLE.iter().find(|(name, ..)| *name == type_name).map_or(&[], |(.., rules)| rules)
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("Container", "validateContainers", &[
        rule("image", Text(texts::trimmed)),
        rule("imagePullPolicy", OneOfOrEmpty(PULL_POLICIES)),
        rule("terminationMessagePolicy", OneOfOrEmpty(&["File", "FallbackToLogsOnError"])),
        object(Other(containers::container)),
    ]),
    ("AppDefaultsSpec", "validateContainers", &[
        rule("terminationMessagePolicy", OneOfOrEmpty(&["File", "FallbackToLogsOnError"])),
        object(Other(containers::probes)),
    ]),
    ("ContainerPort", "validateContainerPorts", &[
        rule("containerPort", Other(containers::container_port)),
        rule("hostPort", Other(containers::host_port)),
        rule("protocol", OneOfOrEmpty(&["TCP", "UDP", "SCTP"])),
        rule("name", Text(check_port_name)),
    ]),
    ("ContainerResizePolicy", "validateResizePolicy", &[
        rule("resourceName", OneOf(&["cpu", "memory"])),
        rule("restartPolicy", OneOf(&["NotRequired", "RestartContainer"])),
    ]),
    ("ContainerRestartRule", "validateContainerRestartPolicy", &[
        rule("action", OneOf(&["Restart", "RestartAllContainers"])),
        rule("exitCodes", Required),
    ]),
    ("ContainerRestartRuleOnExitCodes", "validateContainerRestartPolicy", &[
        rule("operator", OneOf(&["In", "NotIn"])),
    ]),
    ("Probe", "validateProbe", &[
        object(ExactlyOne(PROBE_HANDLERS)),
        rule("initialDelaySeconds", NOT_NEGATIVE),
        rule("timeoutSeconds", NOT_NEGATIVE),
        rule("periodSeconds", NOT_NEGATIVE),
        rule("successThreshold", NOT_NEGATIVE),
        rule("failureThreshold", NOT_NEGATIVE),
        rule("terminationGracePeriodSeconds", POSITIVE),
    ]),
    ("LifecycleHandler", "validateHandler", &[object(ExactlyOne(HOOK_HANDLERS))]),
    ("ExecAction", "validateExecAction", &[rule("command", Required)]),
    ("HTTPGetAction", "validateHTTPGetAction", &[
        rule("port", Other(containers::handler_port)),
        rule("scheme", OneOfOrEmpty(&["HTTP", "HTTPS"])),
    ]),
    ("HTTPHeader", "validateHTTPGetAction", &[rule("name", NonEmptyText(texts::header_name))]),
    ("TCPSocketAction", "validateTCPSocketAction", &[rule("port", Other(containers::handler_port))]),
    ("GRPCAction", "validateGRPCAction", &[rule("port", PORT)]),
    ("SleepAction", "validateSleepAction", &[rule("seconds", NOT_NEGATIVE)]),
    ("EnvVar", "ValidateEnv", &[object(Other(containers::env_var))]),
    ("EnvVarSource", "validateEnvVarValueFrom", &[
        object(ExactlyOne(ENV_SOURCES)),
        object(Other(containers::env_source)),
    ]),
    ("ConfigMapKeySelector", "validateConfigMapKeySelector", &[
        rule("name", Required), rule("name", Text(check_dns_subdomain)),
        rule("key", Required), rule("key", Text(texts::config_key)),
    ]),
    ("SecretKeySelector", "validateSecretKeySelector", &[
        rule("name", Required), rule("name", Text(check_dns_subdomain)),
        rule("key", Required), rule("key", Text(texts::config_key)),
    ]),
    ("FileKeySelector", "validateFileKeySelector", &[
        rule("volumeName", Required),
        rule("key", Required), rule("key", Text(check_env_var_name)),
        rule("path", Required), rule("path", Text(texts::no_backsteps)),
    ]),
    ("EnvFromSource", "ValidateEnvFrom", &[
        object(ExactlyOne(ENV_FROM)),
        rule("prefix", Text(check_env_var_name)),
    ]),
    ("ConfigMapEnvSource", "validateConfigMapEnvSource", &[rule("name", Required), rule("name", Text(check_dns_subdomain))]),
    ("SecretEnvSource", "validateSecretEnvSource", &[rule("name", Required), rule("name", Text(check_dns_subdomain))]),
    ("VolumeMount", "ValidateVolumeMounts", &[
        rule("subPath", Text(texts::descending_path)),
        rule("subPathExpr", Text(texts::descending_path)),
        rule("mountPropagation", OneOf(&["None", "HostToContainer", "Bidirectional"])),
        rule("recursiveReadOnly", OneOf(&["Disabled", "IfPossible", "Enabled"])),
        object(Other(containers::mount)),
    ]),
    ("VolumeDevice", "ValidateVolumeDevices", &[
        rule("name", Required),
        rule("devicePath", Required),
        rule("devicePath", Text(texts::no_backsteps)),
    ]),
    ("ResourceRequirements", "ValidateContainerResourceRequirements", &[object(Other(resources::requirements))]),
    ("ResourceClaim", "validateResourceClaimNames", &[rule("name", Required)]),
    ("SecurityContext", "ValidateSecurityContext", &[
        rule("runAsUser", ID),
        rule("runAsGroup", ID),
        rule("procMount", OneOf(&["Default", "Unmasked"])),
        object(Other(security::escalation)),
    ]),
    ("PodSecurityContext", "validatePodSpecSecurityContext", &[
        rule("runAsUser", ID),
        rule("runAsGroup", ID),
        rule("fsGroup", ID),
        rule("supplementalGroups", Numbers(0, i32::MAX as i64)),
        rule("fsGroupChangePolicy", OneOf(&["OnRootMismatch", "Always"])),
        rule("supplementalGroupsPolicy", OneOf(&["Merge", "Strict"])),
        rule("seLinuxChangePolicy", OneOf(&["Recursive", "MountOption"])),
        object(Other(security::sysctls)),
    ]),
    ("Sysctl", "validateSysctls", &[rule("name", Required), rule("name", Text(texts::sysctl))]),
    ("SeccompProfile", "validateSeccompProfileField", &[
        rule("type", OneOf(&["RuntimeDefault", "Localhost", "Unconfined"])),
        rule("localhostProfile", Text(texts::descending_path)),
        object(Other(security::seccomp)),
    ]),
    ("AppArmorProfile", "validateAppArmorProfileField", &[
        rule("type", OneOf(&["RuntimeDefault", "Localhost", "Unconfined"])),
        rule("localhostProfile", Text(texts::trimmed)),
        object(Other(security::app_armor)),
    ]),
    ("WindowsSecurityContextOptions", "validateWindowsSecurityContextOptions", &[
        rule("gmsaCredentialSpecName", NonEmptyText(check_dns_subdomain)),
        rule("gmsaCredentialSpec", NonEmptyText(security::credential_spec)),
        rule("runAsUserName", NonEmptyText(security::windows_user)),
    ]),
    ("Volume", "validateVolumeSource", &[object(Other(volumes::one_source))]),
    ("ShareSpec", "ValidateVolumeMounts", &[rule("mountedAt", NonEmptyText(texts::shared_path))]),
    ("FilesItem", "ValidateConfigMap", &[rule("items", Required), rule("items", Entries(texts::config_key, texts::any))]),
    ("EmptyDirVolumeSource", "validateEmptyDirVolumeSource", &[rule("sizeLimit", Other(resources::size_limit))]),
    ("HostPathVolumeSource", "validateHostPathVolumeSource", &[
        rule("path", Required),
        rule("path", Text(texts::no_backsteps)),
        rule("type", OneOf(&["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"])),
    ]),
    ("SecretVolumeSource", "validateSecretVolumeSource", &[rule("secretName", Required), rule("defaultMode", Other(volumes::default_mode))]),
    ("ConfigMapVolumeSource", "validateConfigMapVolumeSource", &[rule("name", Required), rule("defaultMode", Other(volumes::default_mode))]),
    ("DownwardAPIVolumeSource", "validateDownwardAPIVolumeSource", &[rule("defaultMode", Other(volumes::default_mode))]),
    ("ProjectedVolumeSource", "validateProjectedVolumeSource", &[
        rule("defaultMode", Other(volumes::default_mode)),
        object(Other(volumes::projected_paths)),
    ]),
    ("KeyToPath", "validateKeyToPath", &[
        rule("key", Required),
        rule("path", Required), rule("path", Text(texts::file_path)),
        rule("mode", Other(volumes::mode)),
    ]),
    ("DownwardAPIVolumeFile", "validateDownwardAPIVolumeFile", &[
        rule("path", Required), rule("path", Text(texts::file_path)),
        rule("mode", Other(volumes::mode)),
        object(ExactlyOne(FILE_SOURCES)),
        object(Other(containers::file_source)),
    ]),
    ("VolumeProjection", "validateProjectionSources", &[object(AtMostOne(PROJECTIONS))]),
    ("SecretProjection", "validateProjectionSources", &[rule("name", Required)]),
    ("ConfigMapProjection", "validateProjectionSources", &[rule("name", Required)]),
    ("ServiceAccountTokenProjection", "validateProjectionSources", &[
        rule("path", Required), rule("path", Text(texts::file_path)),
        rule("expirationSeconds", Range(600, 1 << 32)),
    ]),
    ("PersistentVolumeClaimVolumeSource", "validatePersistentClaimVolumeSource", &[rule("claimName", Required)]),
    ("EphemeralVolumeSource", "validateEphemeralVolumeSource", &[rule("volumeClaimTemplate", Required)]),
    ("PersistentVolumeClaimTemplate", "ValidatePersistentVolumeClaimTemplate", &[object(Other(volumes::claim_metadata))]),
    ("ObjectMeta", "ValidatePersistentVolumeClaimTemplate", &[
        rule("labels", Entries(check_qualified_name, check_label_value)),
        rule("annotations", Entries(texts::annotation_key, texts::any)),
    ]),
    ("PersistentVolumeClaimSpec", "ValidatePersistentVolumeClaimSpec", &[
        rule("accessModes", Required),
        rule("volumeMode", OneOf(&["Filesystem", "Block"])),
        rule("storageClassName", Text(check_dns_subdomain)),
        rule("volumeAttributesClassName", Text(check_dns_subdomain)),
        object(Other(volumes::claim)),
    ]),
    ("ImageVolumeSource", "validateImageVolumeSource", &[
        rule("reference", Required),
        rule("pullPolicy", OneOfOrEmpty(PULL_POLICIES)),
    ]),
    ("CSIVolumeSource", "validateCSIVolumeSource", &[
        rule("driver", Required), rule("driver", Text(volumes::driver)),
        rule("nodePublishSecretRef", Other(volumes::secret_reference)),
    ]),
    ("NFSVolumeSource", "validateNFSVolumeSource", &[
        rule("server", Required), rule("path", Required), rule("path", Text(texts::absolute_path)),
    ]),
    ("ISCSIVolumeSource", "validateISCSIVolumeSource", &[
        rule("targetPortal", Required), rule("iqn", Required), rule("iqn", Text(texts::iscsi_name)),
        rule("lun", Range(0, 255)),
        rule("initiatorName", NonEmptyText(texts::iscsi_name)),
        object(Other(volumes::iscsi_secret)),
    ]),
    ("AWSElasticBlockStoreVolumeSource", "validateAWSElasticBlockStoreVolumeSource", &[rule("volumeID", Required), rule("partition", Range(0, 255))]),
    ("GCEPersistentDiskVolumeSource", "validateGCEPersistentDiskVolumeSource", &[rule("pdName", Required), rule("partition", Range(0, 255))]),
    ("AzureDiskVolumeSource", "validateAzureDisk", &[
        rule("diskName", Required), rule("diskURI", Required),
        rule("cachingMode", OneOf(&["None", "ReadOnly", "ReadWrite"])),
        rule("kind", OneOf(&["Dedicated", "Shared", "Managed"])),
        object(Other(volumes::azure_uri)),
    ]),
    ("AzureFileVolumeSource", "validateAzureFile", &[rule("secretName", Required), rule("shareName", Required)]),
    ("CephFSVolumeSource", "validateCephFSVolumeSource", &[rule("monitors", Required)]),
    ("CinderVolumeSource", "validateCinderVolumeSource", &[rule("volumeID", Required), rule("secretRef", Other(volumes::secret_reference))]),
    ("FCVolumeSource", "validateFCVolumeSource", &[
        object(ExactlyOne(FIBRE_CHANNEL)), rule("lun", Range(0, 255)), object(Other(volumes::fibre_channel)),
    ]),
    ("FlexVolumeSource", "validateFlexVolumeSource", &[rule("driver", Required), object(Other(volumes::flex_options))]),
    ("FlockerVolumeSource", "validateFlockerVolumeSource", &[object(ExactlyOne(FLOCKER)), rule("datasetName", Text(texts::no_slash))]),
    ("GitRepoVolumeSource", "validateGitRepoVolumeSource", &[rule("repository", Required), rule("directory", Text(texts::descending_path))]),
    ("GlusterfsVolumeSource", "validateGlusterfsVolumeSource", &[rule("endpoints", Required), rule("path", Required)]),
    ("PhotonPersistentDiskVolumeSource", "validatePhotonPersistentDiskVolumeSource", &[rule("pdID", Required)]),
    ("PortworxVolumeSource", "validatePortworxVolumeSource", &[rule("volumeID", Required)]),
    ("QuobyteVolumeSource", "validateQuobyteVolumeSource", &[
        rule("registry", Required), rule("registry", Text(volumes::registries)),
        rule("volume", Required), rule("tenant", Text(volumes::tenant)),
    ]),
    ("RBDVolumeSource", "validateRBDVolumeSource", &[rule("monitors", Required), rule("image", Required)]),
    ("ScaleIOVolumeSource", "validateScaleIOVolumeSource", &[rule("gateway", Required), rule("system", Required), rule("volumeName", Required)]),
    ("StorageOSVolumeSource", "validateStorageOSVolumeSource", &[
        rule("volumeName", Required), rule("volumeName", Text(check_dns_label)),
        rule("volumeNamespace", Text(check_dns_label)),
        rule("secretRef", Other(volumes::secret_reference)),
    ]),
    ("VsphereVirtualDiskVolumeSource", "validateVsphereVolumeSource", &[rule("volumePath", Required)]),
    ("HostAlias", "ValidateHostAliases", &[rule("ip", NonEmptyText(texts::ip_address)), rule("hostnames", Texts(check_dns_subdomain))]),
    ("Toleration", "ValidateTolerations", &[
        rule("key", Text(check_qualified_name)),
        rule("operator", OneOfOrEmpty(&["Equal", "Exists"])),
        rule("effect", OneOfOrEmpty(&["NoSchedule", "PreferNoSchedule", "NoExecute"])),
        object(Other(scheduling::toleration)),
    ]),
    ("TopologySpreadConstraint", "validateTopologySpreadConstraints", &[
        rule("maxSkew", POSITIVE),
        rule("topologyKey", Required),
        rule("whenUnsatisfiable", OneOf(&["DoNotSchedule", "ScheduleAnyway"])),
        rule("minDomains", POSITIVE),
        rule("nodeAffinityPolicy", OneOf(POLICIES)),
        rule("nodeTaintsPolicy", OneOf(POLICIES)),
        rule("matchLabelKeys", Texts(check_qualified_name)),
        object(Other(scheduling::spread)),
    ]),
    ("NodeSelector", "ValidateNodeSelector", &[rule("nodeSelectorTerms", Required)]),
    ("NodeSelectorTerm", "ValidateNodeSelectorTerm", &[object(Other(scheduling::node_selector_term))]),
    ("PreferredSchedulingTerm", "ValidatePreferredSchedulingTerms", &[rule("weight", Range(1, 100))]),
    ("WeightedPodAffinityTerm", "validateWeightedPodAffinityTerms", &[rule("weight", Range(1, 100))]),
    ("PodAffinityTerm", "validatePodAffinityTerm", &[
        rule("topologyKey", NonEmptyText(check_qualified_name)),
        rule("namespaces", Texts(check_dns_label)),
        rule("matchLabelKeys", Texts(check_qualified_name)),
        rule("mismatchLabelKeys", Texts(check_qualified_name)),
        object(Other(scheduling::affinity_keys)),
    ]),
    ("LabelSelector", "ValidateLabelSelector", &[rule("matchLabels", Entries(check_qualified_name, check_label_value))]),
    ("LabelSelectorRequirement", "ValidateLabelSelectorRequirement", &[
        rule("key", NonEmptyText(check_qualified_name)),
        rule("operator", OneOf(&["In", "NotIn", "Exists", "DoesNotExist"])),
        rule("values", Texts(check_label_value)),
        object(Other(scheduling::values_of_operator)),
    ]),
    ("PodDNSConfig", "validatePodDNSConfig", &[
        rule("nameservers", Texts(texts::ip_address)),
        rule("searches", Texts(texts::search_domain)),
        object(Other(scheduling::dns_limits)),
    ]),
    ("PodDNSConfigOption", "validatePodDNSConfig", &[rule("name", Required)]),
    ("PodReadinessGate", "validateReadinessGates", &[rule("conditionType", NonEmptyText(check_qualified_name))]),
    ("PodResourceClaim", "validatePodResourceClaim", &[
        rule("name", Required), rule("name", Text(check_dns_label)),
        rule("resourceClaimName", NonEmptyText(check_dns_subdomain)),
        rule("resourceClaimTemplateName", NonEmptyText(check_dns_subdomain)),
        object(ExactlyOne(CLAIM_SOURCES)),
    ]),
    ("PodFieldsSpec", "ValidatePodSpec", &[
        rule("dnsPolicy", OneOfOrEmpty(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"])),
        rule("serviceAccountName", Text(check_dns_subdomain)),
        rule("priorityClassName", Text(check_dns_subdomain)),
        rule("runtimeClassName", NonEmptyText(check_dns_subdomain)),
        rule("nodeSelector", Entries(check_qualified_name, check_label_value)),
    ]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::inject::schema::recorded;

    /// A misspelt type or field would be a rule that nothing breaks.
    #[test]
    fn every_row_names_a_type_and_fields_of_the_schema() {
        let schema: serde_json::Value = serde_json::from_str(recorded::TEMPLATE).expect("JSON");
        let definitions = schema["$defs"].as_object().expect("definitions");
        let mut seen = BTreeSet::new();
        for (name, source, rules) in TABLE {
            assert!(seen.insert(name), "{name} has two rows");
            assert!(source.to_lowercase().starts_with("validate") && !rules.is_empty(), "{name}");
            let (_, definition) = definitions
                .iter()
                .find(|(key, _)| key.rsplit('.').next() == Some(name))
                .unwrap_or_else(|| panic!("{name} is no type of the schema"));
            let fields = definition["properties"].as_object().expect("fields");
            let groups = rules.iter().flat_map(|rule| match rule.check {
                AtMostOne(fields) | ExactlyOne(fields) => fields,
                _ => &[],
            });
            for field in rules.iter().map(|rule| &rule.field).chain(groups).filter(|field| !field.is_empty()) {
                assert!(fields.contains_key(*field), "{name}.{field}");
            }
        }
    }
}

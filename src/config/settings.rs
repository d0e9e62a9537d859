//! The table of all settings of `serve`, with their names, defaults and help texts.
//!
//! Flags, environment variables, keys of the configuration file, `--help` and the reference are
//! generated from this table or compared with it. [`super::Config`] parses and checks the values.
//! Invariant: the three names of a setting consist of the same words.

/// One setting of `outrigger serve`.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Key of the configuration file.
    pub key: &'static str,
    /// Flag, without the dashes.
    pub flag: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    /// How many values the setting takes.
    pub arity: Arity,
    /// Placeholder for the value in `--help`.
    pub value_name: &'static str,
    /// The default as text; empty if the setting has none.
    pub default: &'static str,
    /// One sentence for `--help` and the reference.
    pub help: &'static str,
}

/// How many values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// `true` or `false`; a flag without a value means `true`.
    Switch,
    /// Exactly one value.
    One,
    /// A list. The flag can be repeated; flags and variables are split at commas.
    Many,
}

macro_rules! settings {
    ($($name:ident: $arity:ident, $key:literal, $flag:literal, $variable:literal, $value_name:literal, $default:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $name: Setting = Setting {
                key: $key, flag: $flag, variable: $variable, arity: Arity::$arity, value_name: $value_name, default: $default, help: $help,
            };
        )*
        /// Every setting, in the order of `--help`.
        pub const ALL: &[Setting] = &[$($name),*];
    };
}

settings! {
    DEV: Switch, "dev", "dev", "OUTRIGGER_DEV", "BOOL", "false",
        "Create a certificate authority and a certificate for this machine, and print a curl command to try";
    DEV_DIR: One, "devDir", "dev-dir", "OUTRIGGER_DEV_DIR", "DIR", ".outrigger",
        "Directory in which --dev stores its certificate authority, certificate and keys";
    DEV_HOST: Many, "devHost", "dev-host", "OUTRIGGER_DEV_HOST", "NAME", "",
        "More host names or addresses for the certificate of --dev, besides localhost, 127.0.0.1 and ::1";
    TEMPLATES: Many, "templates", "templates", "OUTRIGGER_TEMPLATES", "DIR", "built-in",
        "Sources of templates: directories (*.yaml, *.yml, *.json; not recursive), and built-in for the templates of the program; write ./built-in for a directory of that name";
    STRICT: Switch, "strict", "strict", "OUTRIGGER_STRICT", "BOOL", "false",
        "Refuse to start with a wrong template, and list errors and warnings; true under --dev unless set";
    LISTEN: One, "listen", "listen", "OUTRIGGER_LISTEN", "ADDRESS:PORT", "127.0.0.1:9443",
        "Address of the webhook (HTTPS)";
    ADMIN_LISTEN: One, "adminListen", "admin-listen", "OUTRIGGER_ADMIN_LISTEN", "ADDRESS:PORT", "127.0.0.1:8080",
        "Address of /livez, /readyz, /metrics, /version and /templates (HTTP)";
    TLS_CERT: One, "tlsCert", "tls-cert", "OUTRIGGER_TLS_CERT", "FILE", "",
        "Certificate chain of the webhook in PEM, the leaf first";
    TLS_KEY: One, "tlsKey", "tls-key", "OUTRIGGER_TLS_KEY", "FILE", "",
        "Private key of the certificate in PEM";
    TLS_MIN_VERSION: One, "tlsMinVersion", "tls-min-version", "OUTRIGGER_TLS_MIN_VERSION", "VERSION", "1.3",
        "Oldest TLS version that clients may use: 1.2 or 1.3";
    CLIENT_CA: One, "clientCa", "client-ca", "OUTRIGGER_CLIENT_CA", "FILE", "",
        "Certificate authorities in PEM: only clients with a certificate from one of them may call the webhook";
    CLIENT_NAME: Many, "clientName", "client-name", "OUTRIGGER_CLIENT_NAME", "NAME", "",
        "Names of clients that may call the webhook: the common name of their certificate, or one of its DNS names or URIs. Requires --client-ca; an empty list allows all clients of these authorities";
    MAX_CONNECTIONS: One, "maxConnections", "max-connections", "OUTRIGGER_MAX_CONNECTIONS", "NUMBER", "4096",
        "Maximum number of open connections to the webhook; at the maximum, the server closes the connection that has been silent longest";
    CLUSTER: One, "cluster", "cluster", "OUTRIGGER_CLUSTER", "MODE", "auto",
        "Whether to use a cluster: auto (only in a pod), on (in a pod, or with KUBECONFIG elsewhere) or off";
    NAMESPACE: One, "namespace", "namespace", "OUTRIGGER_NAMESPACE", "NAME", "",
        "Namespace of the Service, the Secrets and the Lease; by default the namespace of the pod";
    SERVICE: One, "service", "service", "OUTRIGGER_SERVICE", "NAME", "outrigger",
        "Service through which API servers call the webhook; certificates are issued for its name";
    WEBHOOK_CONFIGURATION: One, "webhookConfiguration", "webhook-configuration", "OUTRIGGER_WEBHOOK_CONFIGURATION", "NAME", "outrigger",
        "Name of the MutatingWebhookConfiguration, and of the ValidatingWebhookConfiguration, whose caBundle the program keeps up to date";
    ADVICE: One, "advice", "advice", "OUTRIGGER_ADVICE", "MODE", "Warn",
        "Advice about Deployments and other workloads when they are applied: Warn (about pods that would be refused, and keys that nothing reads), Deny (refuses what its pods would be refused for) or Off";
    CERTIFICATES: One, "certificates", "certificates", "OUTRIGGER_CERTIFICATES", "MODE", "",
        "Origin of the certificate: self (created and rotated by the program, in a cluster), certManager or files (--tls-cert and --tls-key). Default in a cluster: self, unless files are named";
    CERTIFICATE_HOSTS: Many, "certificateHosts", "certificate-hosts", "OUTRIGGER_CERTIFICATE_HOSTS", "NAME", "",
        "More host names or addresses for certificates created in a cluster, besides the Service's";
    CERTIFICATE_DURATION: One, "certificateDuration", "certificate-duration", "OUTRIGGER_CERTIFICATE_DURATION", "DURATION", "168h",
        "Lifetime of certificates created in a cluster; they are replaced after two thirds of it";
    CERTIFICATE_RENEWAL: One, "certificateRenewal", "certificate-renewal", "OUTRIGGER_CERTIFICATE_RENEWAL", "DURATION", "",
        "Age at which to replace certificates created in a cluster, if that is less than two thirds of certificateDuration";
    CA_DURATION: One, "caDuration", "ca-duration", "OUTRIGGER_CA_DURATION", "DURATION", "8760h",
        "Lifetime of the certificate authority created in a cluster; it is replaced after two thirds of it";
    CA_RENEWAL: One, "caRenewal", "ca-renewal", "OUTRIGGER_CA_RENEWAL", "DURATION", "",
        "Age at which to replace the certificate authority created in a cluster, if that is less than two thirds of caDuration";
    CA_PROPAGATION: One, "caPropagation", "ca-propagation", "OUTRIGGER_CA_PROPAGATION", "DURATION", "10s",
        "Longest time until all API servers use a changed caBundle; a new authority does not sign earlier";
    CA_SECRET: One, "caSecret", "ca-secret", "OUTRIGGER_CA_SECRET", "NAME", "outrigger-ca",
        "Secret of the certificate authority; it must exist";
    SERVING_SECRET: One, "servingSecret", "serving-secret", "OUTRIGGER_SERVING_SECRET", "NAME", "outrigger-serving",
        "Secret of the serving certificate; it must exist";
    LEASE: One, "lease", "lease", "OUTRIGGER_LEASE", "NAME", "outrigger",
        "Lease that elects the replica that creates the certificates; it must exist";
    DOMAIN: One, "domain", "domain", "OUTRIGGER_DOMAIN", "DOMAIN", "outrigger.dev",
        "Domain of all annotations and labels";
    NATIVE_SIDECARS: One, "nativeSidecars", "native-sidecars", "OUTRIGGER_NATIVE_SIDECARS", "MODE", "auto",
        "Whether the cluster has native sidecars (Kubernetes 1.32 and newer): auto, always or never. Without a cluster, auto means always";
    EXCLUDE_NAMESPACES: Many, "excludeNamespaces", "exclude-namespaces", "OUTRIGGER_EXCLUDE_NAMESPACES", "NAME", "kube-system,kube-node-lease,kube-public",
        "Namespaces in which nothing is ever injected";
    NAMESPACE_DEFAULTS_MISSING: One, "namespaceDefaultsMissing", "namespace-defaults-missing", "OUTRIGGER_NAMESPACE_DEFAULTS_MISSING", "ACTION", "Skip",
        "What becomes of a pod whose namespace has a default list that cannot be read, or that names a template that does not exist or never loaded: Skip (the pod is created without it, with a warning) or Reject";
    IN_FLIGHT_BYTES: One, "inFlightBytes", "in-flight-bytes", "OUTRIGGER_IN_FLIGHT_BYTES", "BYTES", "16Mi",
        "Memory for requests in flight of up to 1 MiB; requests that do not fit get 503 with Retry-After, and API servers retry them";
    IN_FLIGHT_LARGE_BYTES: One, "inFlightLargeBytes", "in-flight-large-bytes", "OUTRIGGER_IN_FLIGHT_LARGE_BYTES", "BYTES", "48Mi",
        "Memory for requests in flight of more than 1 MiB, separate from inFlightBytes";
    SHUTDOWN_DELAY: One, "shutdownDelay", "shutdown-delay", "OUTRIGGER_SHUTDOWN_DELAY", "DURATION", "10s",
        "How long to keep serving after SIGTERM, until every API server uses another replica; 0s under --dev unless set";
    LOG_FORMAT: One, "logFormat", "log-format", "OUTRIGGER_LOG_FORMAT", "FORMAT", "auto",
        "Format of the log on stderr: json, text, or auto (json in a cluster, text elsewhere)";
    LOG_LEVEL: One, "logLevel", "log-level", "OUTRIGGER_LOG_LEVEL", "LEVEL", "info",
        "Lowest level that is logged: error, warn, info, debug or trace; with levels for modules, such as outrigger::tls=debug,info";
    OTLP_ENDPOINT: One, "otlpEndpoint", "otlp-endpoint", "OUTRIGGER_OTLP_ENDPOINT", "URL", "",
        "Collector of OpenTelemetry traces (OTLP over HTTP), such as http://collector:4318; without it, there are no traces";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `devDir` -> `dev`, `dir`.
    fn words(key: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for character in key.chars() {
            if character.is_ascii_uppercase() {
                words.push(String::new());
            }
            let last = words.len() - 1;
            words[last].push(character.to_ascii_lowercase());
        }
        words
    }

    #[test]
    fn flag_and_variable_have_the_words_of_the_key() {
        for setting in ALL {
            let words = words(setting.key);
            assert_eq!(setting.flag, words.join("-"));
            assert_eq!(setting.variable, format!("OUTRIGGER_{}", words.join("_").to_uppercase()));
        }
    }

    #[test]
    fn keys_are_unique_and_every_setting_has_help() {
        for (index, setting) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.key != setting.key), "{} occurs twice", setting.key);
            assert!(setting.help.len() > 20, "{} needs a sentence of help", setting.key);
        }
    }
}

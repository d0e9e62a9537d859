//! The one table of settings: what can be set, under which names, and what holds when nothing is said.
//!
//! Flags, environment variables, keys of the configuration file, `--help` and the reference all come from here. What a
//! text means is not decided here but in [`super::Config`].
//! Invariant: the three names of a setting are the same words (a test derives them from one another).

/// One setting of `outrigger serve`.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Key of the configuration file.
    pub key: &'static str,
    /// Flag, without the dashes.
    pub flag: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    pub arity: Arity,
    /// What stands for the value in `--help`.
    pub value_name: &'static str,
    /// What holds when nobody says anything, as text; empty when the setting is then absent.
    pub default: &'static str,
    pub help: &'static str,
}

/// How many values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// `true` or `false`; as a flag the bare name means `true`.
    Switch,
    One,
    /// A flag may be repeated; flags and variables are split at commas, the file has a list.
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
        "Make a certificate authority and a certificate for this machine, and print a curl line to try";
    DEV_DIR: One, "devDir", "dev-dir", "OUTRIGGER_DEV_DIR", "DIR", ".outrigger",
        "Where --dev keeps its certificate authority, certificate and keys";
    DEV_HOST: Many, "devHost", "dev-host", "OUTRIGGER_DEV_HOST", "NAME", "",
        "Further host names or addresses for the certificate of --dev, beside localhost, 127.0.0.1 and ::1";
    TEMPLATES: Many, "templates", "templates", "OUTRIGGER_TEMPLATES", "DIR", "built-in",
        "Directory of templates (*.yaml, *.yml, *.json; not recursive), or built-in for those that come with the program; a directory of that name is ./built-in";
    STRICT: Switch, "strict", "strict", "OUTRIGGER_STRICT", "BOOL", "false",
        "Do not start with a broken template but list what is wrong; true under --dev unless set";
    LISTEN: One, "listen", "listen", "OUTRIGGER_LISTEN", "ADDRESS:PORT", "127.0.0.1:9443",
        "Where the webhook listens (HTTPS)";
    ADMIN_LISTEN: One, "adminListen", "admin-listen", "OUTRIGGER_ADMIN_LISTEN", "ADDRESS:PORT", "127.0.0.1:8080",
        "Where /livez, /readyz, /metrics, /version and /templates are served (HTTP)";
    TLS_CERT: One, "tlsCert", "tls-cert", "OUTRIGGER_TLS_CERT", "FILE", "",
        "Certificate chain of the webhook in PEM, the leaf first";
    TLS_KEY: One, "tlsKey", "tls-key", "OUTRIGGER_TLS_KEY", "FILE", "",
        "Private key of the certificate in PEM";
    TLS_MIN_VERSION: One, "tlsMinVersion", "tls-min-version", "OUTRIGGER_TLS_MIN_VERSION", "VERSION", "1.3",
        "Oldest TLS version that clients may speak: 1.2 or 1.3";
    CLIENT_CA: One, "clientCa", "client-ca", "OUTRIGGER_CLIENT_CA", "FILE", "",
        "Certificate authorities in PEM: only clients with a certificate of theirs may call the webhook";
    CLIENT_NAME: Many, "clientName", "client-name", "OUTRIGGER_CLIENT_NAME", "NAME", "",
        "Names of clients that may call the webhook: the common name of their certificate, or one of its DNS names or URIs. Needs --client-ca; none means all its clients";
    MAX_CONNECTIONS: One, "maxConnections", "max-connections", "OUTRIGGER_MAX_CONNECTIONS", "NUMBER", "4096",
        "Connections of the webhook at a time; beyond them the one that has been silent longest makes room";
    CLUSTER: One, "cluster", "cluster", "OUTRIGGER_CLUSTER", "MODE", "auto",
        "Whether to work in a cluster: auto (in a pod), on (in a pod, or by KUBECONFIG elsewhere) or off";
    NAMESPACE: One, "namespace", "namespace", "OUTRIGGER_NAMESPACE", "NAME", "",
        "Namespace of our Service, Secrets and Lease; that of the pod where it is not set";
    SERVICE: One, "service", "service", "OUTRIGGER_SERVICE", "NAME", "outrigger",
        "Service by which API servers call the webhook; certificates are made for it";
    WEBHOOK_CONFIGURATION: One, "webhookConfiguration", "webhook-configuration", "OUTRIGGER_WEBHOOK_CONFIGURATION", "NAME", "outrigger",
        "MutatingWebhookConfiguration whose caBundle is kept";
    CERTIFICATES: One, "certificates", "certificates", "OUTRIGGER_CERTIFICATES", "MODE", "",
        "Where the certificate comes from: self (made and rotated by us, in a cluster), certManager or files (--tls-cert and --tls-key). In a cluster self unless files are named";
    CERTIFICATE_HOSTS: Many, "certificateHosts", "certificate-hosts", "OUTRIGGER_CERTIFICATE_HOSTS", "NAME", "",
        "Further host names or addresses for certificates made in a cluster, beside the Service's";
    CERTIFICATE_DURATION: One, "certificateDuration", "certificate-duration", "OUTRIGGER_CERTIFICATE_DURATION", "DURATION", "168h",
        "How long certificates made in a cluster last; they are replaced after two thirds of it";
    CERTIFICATE_RENEWAL: One, "certificateRenewal", "certificate-renewal", "OUTRIGGER_CERTIFICATE_RENEWAL", "DURATION", "",
        "After how long to replace certificates made in a cluster, where that is sooner than two thirds of certificateDuration";
    CA_DURATION: One, "caDuration", "ca-duration", "OUTRIGGER_CA_DURATION", "DURATION", "8760h",
        "How long the certificate authority made in a cluster lasts; it is replaced after two thirds of it";
    CA_RENEWAL: One, "caRenewal", "ca-renewal", "OUTRIGGER_CA_RENEWAL", "DURATION", "",
        "After how long to replace the certificate authority made in a cluster, where that is sooner than two thirds of caDuration";
    CA_PROPAGATION: One, "caPropagation", "ca-propagation", "OUTRIGGER_CA_PROPAGATION", "DURATION", "10s",
        "How long API servers may take to hear of a changed caBundle; a new authority signs no sooner";
    CA_SECRET: One, "caSecret", "ca-secret", "OUTRIGGER_CA_SECRET", "NAME", "outrigger-ca",
        "Secret of the certificate authority; it must be there";
    SERVING_SECRET: One, "servingSecret", "serving-secret", "OUTRIGGER_SERVING_SECRET", "NAME", "outrigger-serving",
        "Secret of the serving certificate; it must be there";
    LEASE: One, "lease", "lease", "OUTRIGGER_LEASE", "NAME", "outrigger",
        "Lease that says which replica makes the certificates; it must be there";
    DOMAIN: One, "domain", "domain", "OUTRIGGER_DOMAIN", "DOMAIN", "outrigger.dev",
        "Domain of all annotations and labels";
    NATIVE_SIDECARS: One, "nativeSidecars", "native-sidecars", "OUTRIGGER_NATIVE_SIDECARS", "MODE", "auto",
        "Whether the cluster has native sidecars (Kubernetes 1.32 and newer): auto, always or never. Without a cluster, auto is always";
    EXCLUDE_NAMESPACES: Many, "excludeNamespaces", "exclude-namespaces", "OUTRIGGER_EXCLUDE_NAMESPACES", "NAME", "kube-system,kube-node-lease,kube-public",
        "Namespaces in which nothing is ever injected";
    IN_FLIGHT_BYTES: One, "inFlightBytes", "in-flight-bytes", "OUTRIGGER_IN_FLIGHT_BYTES", "BYTES", "16Mi",
        "Memory for requests of up to 1 MiB that are being received or answered; what comes beyond is asked to come again (503)";
    IN_FLIGHT_LARGE_BYTES: One, "inFlightLargeBytes", "in-flight-large-bytes", "OUTRIGGER_IN_FLIGHT_LARGE_BYTES", "BYTES", "48Mi",
        "The same for requests of more than 1 MiB, which never take from the others";
    SHUTDOWN_DELAY: One, "shutdownDelay", "shutdown-delay", "OUTRIGGER_SHUTDOWN_DELAY", "DURATION", "10s",
        "How long to go on serving after SIGTERM, until every API server has heard of it; 0s under --dev unless set";
    LOG_FORMAT: One, "logFormat", "log-format", "OUTRIGGER_LOG_FORMAT", "FORMAT", "auto",
        "Form of the log on standard error: json, text, or auto: json in a cluster, text elsewhere";
    LOG_LEVEL: One, "logLevel", "log-level", "OUTRIGGER_LOG_LEVEL", "LEVEL", "info",
        "Lowest level that is logged: error, warn, info, debug or trace; with levels for modules, such as outrigger::tls=debug,info";
    OTLP_ENDPOINT: One, "otlpEndpoint", "otlp-endpoint", "OUTRIGGER_OTLP_ENDPOINT", "URL", "",
        "Collector of OpenTelemetry traces (OTLP over HTTP), such as http://collector:4318; without it no traces are made";
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
    fn flag_and_variable_are_the_words_of_the_key() {
        for setting in ALL {
            let words = words(setting.key);
            assert_eq!(setting.flag, words.join("-"));
            assert_eq!(setting.variable, format!("OUTRIGGER_{}", words.join("_").to_uppercase()));
        }
    }

    #[test]
    fn keys_are_unique_and_every_setting_is_explained() {
        for (index, setting) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.key != setting.key), "{} stands twice", setting.key);
            assert!(setting.help.len() > 20, "{} needs a sentence of help", setting.key);
        }
    }
}

//! The configuration that an operator writes: its layers, its problems, and the documented file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use outrigger::config::settings::{ALL, Arity};
use outrigger::config::{
    CertificateSettings, ClientName, ClientSettings, ClusterAccess, Config, LogFilter, LogFormat, LogLevel,
    SettingsArgs, TemplateSource, TlsVersion,
};
use pretty_assertions::assert_eq;

const DOCUMENTED: &str = include_str!("../../config/injector.yaml");

/// Resolves flags, environment and, if given, a file.
fn resolve(flags: &[&str], environment: &[(&str, &str)], file: Option<&str>) -> Result<Config, Vec<String>> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yaml");
    let mut args = parsed(flags);
    if let Some(text) = file {
        std::fs::write(&path, text).expect("a file");
        args.config = Some(path.clone());
    }
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    Config::resolve(&args, |name| environment.get(name).map(ToString::to_string)).map_err(|problems| {
        let shown = path.display().to_string();
        problems.iter().map(|problem| problem.to_string().replace(&shown, "config.yaml")).collect()
    })
}

fn parsed(flags: &[&str]) -> SettingsArgs {
    let command = SettingsArgs::augment_args(Command::new("serve").no_binary_name(true));
    let matches = command.try_get_matches_from(flags).expect("flags that exist");
    SettingsArgs::from_arg_matches(&matches).expect("the matches of these flags")
}

#[test]
fn dev_mode_needs_no_other_setting() {
    let config = resolve(&["--dev"], &[], None).expect("a configuration");
    let directory = PathBuf::from(".outrigger");
    assert_eq!(config.certificate, CertificateSettings::Dev { directory, hosts: Vec::new() });
    assert_eq!(
        (config.listen.to_string(), config.admin_listen.to_string()),
        ("127.0.0.1:9443".into(), "127.0.0.1:8080".into())
    );
    assert_eq!(config.shutdown_delay, Duration::ZERO);
    assert!(config.strict);
    assert_eq!(config.templates, [TemplateSource::BuiltIn]);
    assert_eq!(
        (config.tls_min_version, config.log_format, &config.log_filter),
        (TlsVersion::V1_3, LogFormat::Text, &LogFilter { level: LogLevel::Info, modules: Vec::new() })
    );
    let excluded: Vec<String> = config.excluded_namespaces.iter().map(ToString::to_string).collect();
    assert_eq!(excluded, ["kube-system", "kube-node-lease", "kube-public"]);
}

#[test]
fn flags_override_the_environment_and_the_environment_overrides_the_file() {
    let file = "dev: true\nlisten: 127.0.0.1:1\nadminListen: 127.0.0.1:1\nlogLevel: error\ntemplates: [from-file]\n";
    let environment =
        [("OUTRIGGER_LISTEN", "127.0.0.1:2"), ("OUTRIGGER_ADMIN_LISTEN", "127.0.0.1:2"), ("OUTRIGGER_LOG_FORMAT", "")];
    let config = resolve(&["--listen", "127.0.0.1:3"], &environment, Some(file)).expect("a configuration");
    assert_eq!((config.listen.port(), config.admin_listen.port()), (3, 2));
    assert_eq!(config.log_filter.level, LogLevel::Error);
    assert_eq!(config.templates, [directory("from-file")]);
    assert_eq!(config.log_format, LogFormat::Text, "an empty variable says nothing");
}

#[test]
fn the_environment_can_name_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("c.yaml");
    std::fs::write(&path, "dev: true\nshutdownDelay: 3s\n").expect("a file");
    let path = path.display().to_string();
    let config = Config::resolve(&SettingsArgs::default(), |name| (name == "OUTRIGGER_CONFIG").then(|| path.clone()));
    assert_eq!(config.expect("a configuration").shutdown_delay, Duration::from_secs(3));
}

fn directory(path: &str) -> TemplateSource {
    TemplateSource::Directory(path.into())
}

/// "built-in" is allowed in each of the three sources of a list, and is the default.
#[test]
fn built_in_templates_can_be_combined_with_directories() {
    let both = [TemplateSource::BuiltIn, directory("t")];
    let files = ["--tls-cert=c", "--tls-key=k"];
    let templates = |flags: &[&str], environment: &[(&str, &str)], file: Option<&str>| {
        resolve(&[&files, flags].concat(), environment, file).map(|config| config.templates)
    };
    assert_eq!(templates(&["--templates=built-in", "--templates=t"], &[], None), Ok(both.to_vec()));
    assert_eq!(templates(&[], &[("OUTRIGGER_TEMPLATES", "built-in,t")], None), Ok(both.to_vec()));
    assert_eq!(templates(&[], &[], Some("templates: [built-in, t]\n")), Ok(both.to_vec()));
    assert_eq!(templates(&["--templates=./built-in"], &[], None), Ok(vec![directory("./built-in")]));
    assert_eq!(templates(&[], &[], None), Ok(vec![TemplateSource::BuiltIn]));
    let empty = Err(vec!["config.yaml:1: templates: the list is empty; expected directories, or built-in".to_owned()]);
    assert_eq!(templates(&[], &[], Some("templates: []\n")), empty);
}

#[test]
fn lists_accept_commas_and_repeated_flags() {
    let config = resolve(&["--dev", "--templates", "a,b", "--templates", "c", "--dev-host=x.local, ::2"], &[], None);
    let config = config.expect("a configuration");
    assert_eq!(config.templates, ["a", "b", "c"].map(directory));
    let CertificateSettings::Dev { hosts, .. } = config.certificate else { panic!("--dev makes the certificate") };
    assert_eq!(hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["x.local", "::2"]);
}

#[test]
fn a_switch_can_be_turned_off_again() {
    let flags = ["--dev=false", "--tls-cert=c", "--tls-key=k", "--templates=t"];
    let config = resolve(&flags, &[("OUTRIGGER_DEV", "true")], None).expect("a configuration");
    assert_eq!(config.certificate, CertificateSettings::Files { certificate: "c".into(), key: "k".into() });
    assert!(!config.strict);
    assert_eq!(config.shutdown_delay, Duration::from_secs(10));
}

#[test]
fn the_log_is_json_in_a_cluster() {
    let config = resolve(&["--dev"], &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")], None).expect("a configuration");
    assert_eq!(config.log_format, LogFormat::Json);
}

const IN_POD: [(&str, &str); 3] =
    [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("POD_NAME", "outrigger-5"), ("POD_NAMESPACE", "outrigger-system")];

#[test]
fn in_a_pod_the_cluster_provides_the_certificate() {
    let config = resolve(&["--templates=t"], &IN_POD, None).expect("a configuration");
    let cluster = config.cluster.expect("a cluster");
    assert_eq!((cluster.access, cluster.name.as_str()), (ClusterAccess::Pod, "outrigger-5"));
    assert_eq!(cluster.namespace.map(|name| name.to_string()).as_deref(), Some("outrigger-system"));
    let objects = [cluster.webhook_configuration, cluster.ca_secret, cluster.serving_secret, cluster.lease];
    let objects = objects.map(|name| name.to_string());
    assert_eq!(objects, ["outrigger", "outrigger-ca", "outrigger-serving", "outrigger"]);
    let CertificateSettings::Cluster(made) = config.certificate else { panic!("made in the cluster") };
    let day = Duration::from_secs(24 * 3600);
    assert_eq!((made.certificate_duration, made.ca_duration), (7 * day, 365 * day));
    assert_eq!(made.ca_propagation, Duration::from_secs(10));
}

#[test]
fn the_cluster_is_used_in_a_pod_or_on_request() {
    let cluster = |flags: &[&str], environment: &[(&str, &str)]| {
        let flags = [&["--templates=t"], flags].concat();
        resolve(&flags, environment, None).expect("a configuration").cluster.map(|cluster| cluster.access)
    };
    let files = ["--tls-cert=c", "--tls-key=k"];
    assert_eq!(cluster(&files, &[]), None);
    assert_eq!(cluster(&["--dev"], &IN_POD), None);
    assert_eq!(cluster(&[&files[..], &["--cluster=off"]].concat(), &IN_POD), None);
    assert_eq!(cluster(&files, &IN_POD), Some(ClusterAccess::Pod));
    assert_eq!(cluster(&["--cluster=on"], &[]), Some(ClusterAccess::Kubeconfig));
    assert_eq!(cluster(&["--cluster=on", "--dev"], &[]), Some(ClusterAccess::Kubeconfig));
}

#[test]
fn the_certificates_setting_selects_the_source() {
    let files = CertificateSettings::Files { certificate: "c".into(), key: "k".into() };
    for mode in ["--certificates=files", "--certificates=certManager", "--strict=false"] {
        let config = resolve(&["--templates=t", "--tls-cert=c", "--tls-key=k", mode], &IN_POD, None);
        assert_eq!(config.expect("a configuration").certificate, files, "{mode}");
    }
    let problems = [
        (&["--certificates=self"][..], "--certificates: \"self\" requires a cluster"),
        (
            &["--certificates=self", "--cluster=on", "--tls-cert=c", "--tls-key=k"],
            "--certificates: \"self\" cannot be used with --tls-cert",
        ),
        (
            &["--certificates=files", "--cluster=on"],
            "configuration: no certificate is set: set --tls-cert and --tls-key",
        ),
        (&["--certificates=self", "--dev"], "--certificates: \"self\" cannot be used with --dev"),
        (&["--certificates=other", "--cluster=on"], "--certificates: \"other\": expected self, certManager or files"),
        (&["--cluster=on", "--ca-duration=500h"], "--ca-duration: a certificate authority must last at least 3 times"),
        (&["--cluster=on", "--certificate-duration=2s"], "--certificate-duration: a certificate must last at least 3s"),
        (&["--cluster=on", "--lease=No"], "--lease: \"No\": expected a DNS name"),
    ];
    for (flags, expected) in problems {
        let found = resolve(&[&["--templates=t"], flags].concat(), &[], None).expect_err("a problem");
        assert!(found.len() == 1 && found[0].starts_with(expected), "{flags:?}: {found:?}");
    }
}

#[test]
fn every_problem_is_listed_with_its_source() {
    let file = "lissten: x\nlogLevel: loud\ndomain: Not.A.Name\n";
    let environment = [("OUTRIGGER_ADMIN_LISTEN", "localhost"), ("OUTRIGGER_CLUSTER", "maybe")];
    let flags =
        ["--listen=:9443", "--strict=maybe", "--exclude-namespaces=ok,Bad", "--tls-key=k", "--shutdown-delay=10"];
    let problems = resolve(&flags, &environment, Some(file)).expect_err("problems");
    let expected = [
        "config.yaml:1: unknown setting \"lissten\"; did you mean \"listen\"?",
        "--strict: \"maybe\": expected true or false",
        "--listen: \":9443\": expected ADDRESS:PORT, such as 127.0.0.1:9443 or [::]:9443",
        "OUTRIGGER_ADMIN_LISTEN: \"localhost\": expected ADDRESS:PORT, such as 127.0.0.1:9443 or [::]:9443",
        "OUTRIGGER_CLUSTER: \"maybe\": expected auto, on or off (quote on and off in a file: unquoted, YAML reads them as booleans)",
        "--tls-key: a key requires its certificate: set --tls-cert too",
        "config.yaml:3: domain \"Not.A.Name\": expected a DNS name of lower case letters, digits, '-' and '.', at most 189 characters (annotation keys put a template's name before it)",
        "--exclude-namespaces: \"Bad\": expected a DNS name of lower case letters, digits, '-' and '.', at most 253 characters",
        "--shutdown-delay: \"10\": expected a duration, such as 10s or 1m30s",
        "config.yaml:2: logLevel \"loud\": expected error, warn, info, debug or trace, or with modules of outrigger, such as outrigger::tls=debug,info",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn without_settings_the_missing_ones_are_listed() {
    let problems = resolve(&[], &[], None).expect_err("problems");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("--tls-cert") && problems[0].contains("--dev"), "{problems:?}");
}

#[test]
fn dev_mode_and_a_certificate_exclude_each_other() {
    let problems = resolve(&["--dev", "--tls-cert=c", "--tls-key=k"], &[], None).expect_err("problems");
    assert_eq!(problems, ["--tls-cert: cannot be used with --dev, which creates its own certificate"]);
}

#[test]
fn clients_need_a_certificate_only_when_client_auth_is_configured() {
    let clients = |flags: &[&str]| {
        resolve(&[&["--dev"], flags].concat(), &[], None).map(|config| match config.clients {
            ClientSettings::Any => None,
            ClientSettings::WithCertificate { authorities, names } => {
                Some((authorities, names.into_iter().map(ClientName::into_string).collect::<Vec<_>>()))
            }
        })
    };
    assert_eq!(clients(&[]), Ok(None));
    assert_eq!(clients(&["--client-ca=ca"]), Ok(Some(("ca".into(), Vec::new()))));
    let names = ["--client-ca=ca", "--client-name=a,system:b", "--client-name=c"];
    assert_eq!(clients(&names), Ok(Some(("ca".into(), ["a", "system:b", "c"].map(str::to_owned).into()))));
    let problem = "--client-name: clientName requires a certificate authority: set --client-ca (clientCa) too";
    assert_eq!(clients(&["--client-name=a"]), Err(vec![problem.to_owned()]));
}

#[test]
fn the_number_of_connections_is_set_and_checked() {
    let config = resolve(&["--dev"], &[], None).expect("a configuration");
    assert_eq!(config.max_connections.get(), 4096);
    let variable = [("OUTRIGGER_MAX_CONNECTIONS", "9")];
    let config = resolve(&["--dev", "--max-connections=8"], &variable, None).expect("a configuration");
    assert_eq!(config.max_connections.get(), 8);
    let problems = resolve(&["--dev"], &[], Some("maxConnections: 0\n")).expect_err("problems");
    assert_eq!(problems, ["config.yaml:1: maxConnections \"0\": expected a number from 1 to 1000000"]);
}

#[test]
fn http2_is_an_unknown_setting() {
    let problems = resolve(&["--dev"], &[], Some("http2: true\n")).expect_err("problems");
    assert_eq!(problems, ["config.yaml:1: unknown setting \"http2\""]);
}

#[test]
fn the_error_names_an_unreadable_file() {
    let args = parsed(&["--dev", "--config", "no/such/file.yaml"]);
    let problems = Config::resolve(&args, |_| None).expect_err("a problem").to_string();
    assert!(problems.starts_with("no/such/file.yaml: cannot read the configuration file: "), "{problems}");
}

/// A setting that an unreadable file might contain is not reported as missing; other problems are
/// still reported.
#[test]
fn an_unreadable_file_neither_hides_nor_adds_other_problems() {
    for flags in [&["--config", "no/such.yaml"][..], &["--config", "no/such.yaml", "--tls-key=k"]] {
        let problems = Config::resolve(&parsed(flags), |_| None).expect_err("a problem");
        assert_eq!(problems.iter().count(), 1, "{problems}");
    }
    let problems = resolve(&["--listen=x"], &[], Some("dev: [\n")).expect_err("problems");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("config.yaml:") && problems[1].starts_with("--listen: "), "{problems:?}");
}

#[test]
fn an_endless_file_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo(1) runs").success());
    let large = directory.path().join("large.yaml");
    std::fs::write(&large, "#".repeat(1024 * 1024 + 1)).expect("a file");
    for (path, expected) in [
        (fifo.as_path(), "expected a regular file"),
        (Path::new("/dev/zero"), "expected a regular file"),
        (&large, "larger than 1048576 bytes"),
    ] {
        let args = parsed(&["--dev", "--config", &path.display().to_string()]);
        let problems = Config::resolve(&args, |_| None).expect_err("a problem").to_string();
        let expected = format!("{}: cannot read the configuration file: {expected}", path.display());
        assert_eq!(problems, expected);
    }
}

/// Template names before the domain are the longest names.
#[test]
fn a_domain_has_at_most_189_characters() {
    let domain = |length: usize| format!("--domain={}a", "a.".repeat(length / 2));
    assert!(resolve(&["--dev", &domain(189)], &[], None).is_ok());
    let problems = resolve(&["--dev", &domain(191)], &[], None).expect_err("a problem");
    assert!(problems[0].contains("at most 189 characters"), "{problems:?}");
}

#[test]
fn the_standard_open_telemetry_variables_are_read() {
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
    let endpoint = |flags: &[&str], environment: &[(&str, &str)], file: Option<&str>| {
        let config = resolve(&[&["--dev"], flags].concat(), environment, file).expect("a configuration");
        config.otlp_endpoint.map(|endpoint| endpoint.to_string())
    };
    assert_eq!(endpoint(&[], &[], None), None);
    assert_eq!(
        endpoint(&[], &[collector], Some("otlpEndpoint: http://f\n")).as_deref(),
        Some("http://a:4318/v1/traces")
    );
    let ours = ("OUTRIGGER_OTLP_ENDPOINT", "http://b:4318");
    assert_eq!(endpoint(&[], &[ours, collector], None).as_deref(), Some("http://b:4318/v1/traces"));
    assert_eq!(endpoint(&["--otlp-endpoint=http://c"], &[ours], None).as_deref(), Some("http://c/v1/traces"));
    let problems = resolve(&["--dev"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a")], None).expect_err("a problem");
    assert!(problems[0].starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: \"https://a/v1/traces\": expected"), "{problems:?}");
}

/// Prints the configuration that [`resolve`] reads from the same arguments.
fn printed(flags: &[&str], environment: &[(&str, &str)], file: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, file).expect("a file");
    let mut args = parsed(flags);
    args.config = Some(path.clone());
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    let (text, problems) = Config::print(&args, |name| environment.get(name).map(ToString::to_string));
    problems.expect("a configuration");
    text.replace(&path.display().to_string(), "config.yaml")
}

const FILE: &str = "dev: true\ndevHost: [x.local, '::2']\n\ntemplates:\n- \"a, b\"\n- 'it''s: #1'\nlogLevel: error\n";
const FLAGS: [&str; 2] = ["--listen=[::1]:9443", "--exclude-namespaces=a,b"];
const ENVIRONMENT: [(&str, &str); 2] = [("OUTRIGGER_LOG_FORMAT", "json"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")];

#[test]
fn the_printed_configuration_names_the_source_of_each_value() {
    let text = printed(&FLAGS, &ENVIRONMENT, FILE);
    for line in [
        "dev: true  # config.yaml:1",
        "devDir: \".outrigger\"  # default",
        "devHost: [x.local, \"::2\"]  # config.yaml:2",
        "templates: [\"a, b\", \"it's: #1\"]  # config.yaml:4",
        "strict: true  # config.yaml:1",
        "listen: \"[::1]:9443\"  # --listen",
        "tlsCert: null  # default",
        "excludeNamespaces: [a, b]  # --exclude-namespaces",
        "shutdownDelay: \"0s\"  # config.yaml:1",
        "logFormat: json  # OUTRIGGER_LOG_FORMAT",
        "logLevel: error  # config.yaml:7",
        "otlpEndpoint: \"http://c/v1/traces\"  # OTEL_EXPORTER_OTLP_ENDPOINT",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), ALL.len(), "{text}");
}

#[test]
fn a_configuration_with_problems_is_printed_with_all_of_them() {
    let args = parsed(&["--listen=nowhere", "--domain=a.b"]);
    let (text, problems) = Config::print(&args, |_| None);
    assert!(text.contains("\ndomain: a.b  # --domain\n") && text.contains("\nlisten: nowhere  # --listen\n"), "{text}");
    let problems = problems.expect_err("no certificate").to_string();
    assert_eq!(problems.lines().count(), 2, "{problems}");
    assert!(problems.contains("--listen: \"nowhere\"") && problems.contains("certificate"), "{problems}");
}

#[test]
fn the_printed_configuration_is_an_equivalent_file() {
    for (flags, environment, file) in [
        (&FLAGS[..], &ENVIRONMENT[..], FILE),
        (&["--dev"], &[], ""),
        (&["--dev", "--strict=false"], &[], "domain: a.b\n"),
    ] {
        let text = printed(flags, environment, file);
        let once = resolve(flags, environment, Some(file)).expect("a configuration");
        assert_eq!(resolve(&[], &[], Some(&text)), Ok(once), "{text}");
    }
}

#[test]
fn long_values_are_shortened_in_messages() {
    let problems = resolve(&["--dev", &format!("--listen={}", "x".repeat(5_000))], &[], None).expect_err("a problem");
    assert!(problems[0].len() < 250 && problems[0].contains('…'), "{problems:?}");
}

/// `key: value` lines from the comments of the documented file.
fn documented_settings() -> Vec<(&'static str, &'static str)> {
    let entry = |line: &'static str| {
        let (key, value) = line.strip_prefix("# ")?.split_once(": ")?;
        let is_key =
            key.starts_with(|c: char| c.is_ascii_lowercase()) && key.chars().all(|c| c.is_ascii_alphanumeric());
        is_key.then_some((key, value))
    };
    DOCUMENTED.lines().filter_map(entry).collect()
}

#[test]
fn the_documented_file_has_exactly_the_existing_settings() {
    let keys: Vec<&str> = documented_settings().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ALL.iter().map(|setting| setting.key).collect::<Vec<_>>());
}

#[test]
fn the_documented_values_are_the_defaults() {
    for (key, value) in documented_settings() {
        let setting = ALL.iter().find(|setting| setting.key == key).expect("a setting");
        // A setting without a default has an example.
        let is_example = setting.arity == Arity::One && setting.default.is_empty();
        if !is_example {
            let default = match setting.arity {
                Arity::Many => format!("[{}]", setting.default.replace(',', ", ")),
                Arity::One | Arity::Switch => setting.default.to_owned(),
            };
            assert_eq!(value, default, "{key}");
        }
    }
}

#[test]
fn the_documented_file_is_valid_with_every_setting_uncommented() {
    let text: String = documented_settings().into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    let config = resolve(&[], &[], Some(&text)).expect("a configuration");
    assert_eq!(config.templates, [TemplateSource::BuiltIn]);
    assert_eq!(
        resolve(&["--dev"], &[], Some(DOCUMENTED)),
        resolve(&["--dev"], &[], None),
        "as it stands it says nothing"
    );
}

#[test]
fn help_names_every_flag_with_its_variable() {
    let help = SettingsArgs::augment_args(Command::new("serve")).render_long_help().to_string();
    let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in ALL {
        assert!(flat.contains(&format!("--{}", setting.flag)), "{} is missing", setting.flag);
        assert!(flat.contains(&format!("[env: {}]", setting.variable)), "{} is missing", setting.variable);
    }
}

#[test]
fn dev_mode_is_strict_by_default() {
    let strict = |flags: &[&str]| resolve(flags, &[], None).expect("a configuration").strict;
    assert!(strict(&["--dev"]) && strict(&["--dev", "--strict"]));
    assert!(!strict(&["--dev", "--strict=false"]));
}

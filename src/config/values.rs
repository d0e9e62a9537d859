//! The types of settings' values. A value of such a type is valid: only parsing creates it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::from_text::FromText;

/// Declares an enum whose variants are parsed from fixed words.
macro_rules! words {
    ($(#[$doc:meta])* $visibility:vis enum $name:ident, $expected:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name { $(#[doc = concat!("`", $word, "`")] $(#[$variant_doc])* $variant),* }

        impl FromText for $name {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),* })
            }
        }
    };
}

words! {
    /// Oldest TLS version that clients may use.
    pub enum TlsVersion, "1.2 or 1.3" {
        V1_2 = "1.2",
        V1_3 = "1.3",
    }
}

words! {
    /// Whether to use a cluster.
    pub enum ClusterMode, "auto, on or off (quote on and off in a file: unquoted, YAML reads them as booleans)" {
        Auto = "auto",
        On = "on",
        Off = "off",
    }
}

words! {
    /// The origin of the webhook's certificate.
    pub enum CertificateMode, "self, certManager or files" {
        SelfIssued = "self",
        /// Files of a Secret that cert-manager fills.
        CertManager = "certManager",
        Files = "files",
    }
}

words! {
    /// Whether the cluster has native sidecars.
    pub enum NativeSidecarsMode, "auto, always or never" {
        Auto = "auto",
        Always = "always",
        Never = "never",
    }
}

words! {
    /// What becomes of a pod whose namespace lists a template by default that cannot be had.
    pub enum MissingDefaultsAction, "Skip or Reject" {
        Skip = "Skip",
        Reject = "Reject",
    }
}

words! {
    /// The lowest level that is logged.
    pub enum LogLevel, "error, warn, info, debug or trace" {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

/// The lowest levels that are logged: one for the program, and others for some of its modules.
///
/// Invariant: modules belong to Outrigger. Libraries log text from peers, so no setting lowers
/// their level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The level of all other modules.
    pub level: LogLevel,
    /// Module paths such as `outrigger::tls`; for each line, the longest path that matches applies.
    pub modules: Vec<(String, LogLevel)>,
}

impl FromText for LogFilter {
    const EXPECTED: &'static str = "error, warn, info, debug or trace, or with modules of outrigger, such as \
                                    outrigger::tls=debug,info";

    fn from_text(text: &str) -> Option<Self> {
        let (mut level, mut modules) = (None, Vec::new());
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                Some((module, level)) if is_module_of_outrigger(module) => {
                    modules.push((module.to_owned(), LogLevel::from_text(level)?));
                }
                None if level.is_none() => level = Some(LogLevel::from_text(directive)?),
                _ => return None,
            }
        }
        Some(Self { level: level.unwrap_or(LogLevel::Info), modules })
    }
}

fn is_module_of_outrigger(path: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    path.split("::").next() == Some(env!("CARGO_CRATE_NAME")) && path.split("::").all(is_name)
}

words! {
    /// Format of the log as set by the operator.
    pub(super) enum LogFormatChoice, "auto, json or text" {
        Auto = "auto",
        Json = "json",
        Text = "text",
    }
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

impl LogFormatChoice {
    pub(super) fn resolve(self, in_cluster: bool) -> LogFormat {
        match (self, in_cluster) {
            (Self::Json, _) | (Self::Auto, true) => LogFormat::Json,
            (Self::Text, _) | (Self::Auto, false) => LogFormat::Text,
        }
    }
}

/// A DNS name that Kubernetes accepts, such as a namespace or a domain of annotations: an
/// [RFC 1123](https://www.rfc-editor.org/rfc/rfc1123) subdomain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsName(String);

impl DnsName {
    /// `None` if the text is not a DNS name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::from_text(text)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromText for DnsName {
    const EXPECTED: &'static str = "a DNS name of lower case letters, digits, '-' and '.', at most 253 characters";

    fn from_text(text: &str) -> Option<Self> {
        (text.len() <= 253 && text.split('.').all(is_label)).then(|| Self(text.to_owned()))
    }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.len() <= 63
        && bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
        && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
}

/// A source of templates. A directory with the name `built-in` is written `./built-in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateSource {
    /// The templates of the program.
    BuiltIn,
    /// A directory of template files.
    Directory(PathBuf),
}

impl TemplateSource {
    /// The word for [`Self::BuiltIn`].
    pub const BUILT_IN: &'static str = "built-in";
}

impl FromText for TemplateSource {
    const EXPECTED: &'static str = "a directory, or built-in";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "" => None,
            Self::BUILT_IN => Some(Self::BuiltIn),
            path => Some(Self::Directory(path.into())),
        }
    }
}

impl FromStr for TemplateSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_text(text).ok_or_else(|| format!("expected {}", Self::EXPECTED))
    }
}

/// Maximum number of open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimit(usize);

impl ConnectionLimit {
    /// More files than one process can open.
    const MAX: usize = 1_000_000;

    /// The number of connections.
    pub fn get(self) -> usize {
        self.0
    }
}

impl FromText for ConnectionLimit {
    const EXPECTED: &'static str = "a number from 1 to 1000000";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|count| (1..=Self::MAX).contains(count)).map(Self)
    }
}

/// A name in a client's certificate. It is compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(String);

impl ClientName {
    /// The name as text.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromText for ClientName {
    const EXPECTED: &'static str = "a name in a certificate, without leading or trailing spaces";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty() && text.trim() == text && !text.contains(char::is_control)).then(|| Self(text.to_owned()))
    }
}

/// A host name or address in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl FromText for Host {
    const EXPECTED: &'static str = "a host name or an IP address";

    fn from_text(text: &str) -> Option<Self> {
        let address = text.parse().ok().map(Self::Address);
        address.or_else(|| DnsName::from_text(text).map(|name| Self::Name(name.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_filter_accepts_only_levels_and_modules_of_outrigger() {
        let filter = LogFilter::from_text("outrigger::tls=debug,warn").expect("a filter");
        assert_eq!(
            filter,
            LogFilter { level: LogLevel::Warn, modules: vec![("outrigger::tls".into(), LogLevel::Debug)] }
        );
        assert_eq!(LogFilter::from_text("outrigger=trace").expect("a filter").level, LogLevel::Info);
        for wrong in
            ["", "loud", "info,warn", "outrigger::tls", "outrigger::tls=loud", "outrigger:tls=debug", "hyper=debug"]
        {
            assert_eq!(LogFilter::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_rfc_1123_subdomains_are_dns_names() {
        for good in ["a", "outrigger.dev", "a-b.c1", &"a".repeat(63)] {
            assert!(DnsName::from_text(good).is_some(), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "-a", "a-", "A", "a_b", "a b", "a/b", &"a".repeat(64), &["a"; 128].join(".")] {
            assert!(DnsName::from_text(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        assert_eq!(Host::from_text("::1"), Some(Host::Address(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]))));
        assert_eq!(Host::from_text("web.local"), Some(Host::Name("web.local".to_owned())));
        assert_eq!(Host::from_text("a:1"), None);
    }

    #[test]
    fn only_the_word_built_in_is_not_a_directory() {
        assert_eq!(TemplateSource::from_text("built-in"), Some(TemplateSource::BuiltIn));
        for path in ["./built-in", "built-in/", "built-ins", "/etc/outrigger/templates"] {
            assert_eq!(TemplateSource::from_text(path), Some(TemplateSource::Directory(path.into())), "{path}");
        }
        assert_eq!("".parse::<TemplateSource>(), Err("expected a directory, or built-in".to_owned()));
    }

    #[test]
    fn a_connection_limit_is_a_number_from_one_to_a_million() {
        let read = |text: &str| ConnectionLimit::from_text(text).map(ConnectionLimit::get);
        assert_eq!([read("1"), read("4096"), read("1000000")], [Some(1), Some(4096), Some(1_000_000)]);
        for bad in ["", "0", "-1", "1000001", "4k", "1.5", " 1"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn client_names_have_no_outer_spaces_and_no_control_characters() {
        for good in ["kube-apiserver", "system:node:a b", "spiffe://cluster.local/ns/a", "Ä"] {
            assert!(ClientName::from_text(good).is_some(), "{good:?}");
        }
        for bad in ["", " a", "a ", "a\n", "a\0b"] {
            assert!(ClientName::from_text(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_log_format_auto_is_json_only_in_a_cluster() {
        assert_eq!(LogFormatChoice::Auto.resolve(true), LogFormat::Json);
        assert_eq!(LogFormatChoice::Auto.resolve(false), LogFormat::Text);
        assert_eq!(LogFormatChoice::Text.resolve(true), LogFormat::Text);
        assert_eq!(LogFormatChoice::Json.resolve(false), LogFormat::Json);
    }
}

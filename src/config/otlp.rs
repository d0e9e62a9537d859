//! The collector of traces, set by `--otlp-endpoint` or by OpenTelemetry's own variables.

use std::fmt;

use axum::http::Uri;

use super::from_text::FromText;
use super::given::GivenTexts;
use super::problem::SettingSource;

const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PATH: &str = "/v1/traces";

/// URL, with path, of a collector that accepts OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint(String);

impl OtlpEndpoint {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromText for OtlpEndpoint {
    const EXPECTED: &'static str = "an http:// URL without credentials, such as http://collector:4318; https:// is not \
                                    supported: use a collector in the same trusted network";

    /// Parses a URL. Without a path it gets OTLP's default path.
    fn from_text(text: &str) -> Option<Self> {
        let url: Uri = text.parse().ok()?;
        let authority = url.authority()?;
        if url.scheme_str() != Some("http") || authority.host().is_empty() || authority.as_str().contains('@') {
            return None;
        }
        let path = if url.path() == "/" { PATH } else { url.path() };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(Self(format!("http://{authority}{path}{query}")))
    }
}

/// The endpoint that OpenTelemetry's own variables set, unless they disable traces.
pub(super) fn from_standard_variables(environment: &impl Fn(&str) -> Option<String>) -> Option<GivenTexts> {
    let says = |variable: &'static str| environment(variable).filter(|value| !value.is_empty());
    let is_off = says("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || says("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if is_off {
        return None;
    }
    let given = |variable, value| GivenTexts { values: vec![value], source: SettingSource::Environment(variable) };
    // The variable for traces is a complete URL. The general one is a base URL without the path.
    let of_traces = says(TRACES_ENDPOINT).map(|value| given(TRACES_ENDPOINT, value));
    of_traces.or_else(|| says(ENDPOINT).map(|value| given(ENDPOINT, format!("{}{PATH}", value.trim_end_matches('/')))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_without_credentials_are_endpoints() {
        let url = |text: &str| OtlpEndpoint::from_text(text).map(|endpoint| endpoint.to_string());
        assert_eq!(url("http://collector:4318").as_deref(), Some("http://collector:4318/v1/traces"));
        assert_eq!(url("http://[::1]:4318/").as_deref(), Some("http://[::1]:4318/v1/traces"));
        assert_eq!(url("http://a/otlp/v1/traces?x=y").as_deref(), Some("http://a/otlp/v1/traces?x=y"));
        let refused =
            ["", "collector:4318", "https://a", "http://", "http://u:p@a", "grpc://a", "http://a b", "/v1/traces"];
        for text in refused {
            assert_eq!(url(text), None, "{text}");
        }
    }

    #[test]
    fn the_variable_for_traces_takes_precedence_over_the_general_one() {
        let said = |variables: &[(&str, &str)]| {
            let of =
                |name: &str| variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
            from_standard_variables(&of).map(|given| (given.values.concat(), given.source.to_string()))
        };
        let both = [(ENDPOINT, "http://a:4318/"), (TRACES_ENDPOINT, "http://b:4318/t")];
        assert_eq!(said(&both), Some(("http://b:4318/t".to_owned(), TRACES_ENDPOINT.to_owned())));
        assert_eq!(said(&both[..1]), Some(("http://a:4318/v1/traces".to_owned(), ENDPOINT.to_owned())));
        assert_eq!(said(&[(ENDPOINT, "")]), None);
        assert_eq!(said(&[both[0], ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(said(&[both[0], ("OTEL_SDK_DISABLED", "TRUE")]), None);
    }
}

//! Recognises the injector that a configuration is for.

use serde_json::Value;

use super::SourceFormat;

/// Fields that only configurations of tumblr's injector have, beside `name`.
const TUMBLR: [&str; 10] = [
    "containers",
    "initContainers",
    "volumes",
    "env",
    "volumeMounts",
    "hostAliases",
    "inherits",
    "hostNetwork",
    "hostPID",
    "serviceAccountName",
];

/// Where the templates of Istio stand: in the injector's configuration, in the values of its chart,
/// and in those of an IstioOperator.
pub(super) const ISTIO: [&str; 3] =
    ["/templates", "/sidecarInjectorWebhook/templates", "/spec/values/sidecarInjectorWebhook/templates"];

/// Why a configuration is not recognised.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It could be one of two.
    Ambiguous,
    /// It is none.
    Nothing,
}

/// The format of a configuration that is not wrapped in a ConfigMap or in values of a chart.
pub(super) fn format(value: &Value) -> Result<SourceFormat, Unknown> {
    let has = |key: &str| value.get(key).is_some();
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    match (text("apiVersion").split('/').next(), text("kind")) {
        (Some("apps.kruise.io"), "SidecarSet") => return Ok(SourceFormat::SidecarSet),
        (Some("settings.k8s.io"), "PodPreset") => return Ok(SourceFormat::PodPreset),
        _ => {}
    }
    if ISTIO.iter().any(|at| value.pointer(at).is_some_and(Value::is_object)) {
        return Ok(SourceFormat::Istio);
    }
    if has("kind") {
        return Err(Unknown::Nothing);
    }
    if has("name") && TUMBLR.iter().any(|key| has(key)) {
        return Ok(SourceFormat::Tumblr);
    }
    match (has("environmentVariables") || has("injectors"), has("initContainers"), has("containers")) {
        (true, _, _) => Ok(SourceFormat::Ricoberger),
        (false, true, _) => Ok(SourceFormat::Morvencao),
        (false, false, true) => Err(Unknown::Ambiguous),
        (false, false, false) => Err(Unknown::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_format_is_recognised_by_its_content() {
        for (value, expected) in [
            (json!({"apiVersion": "apps.kruise.io/v1beta1", "kind": "SidecarSet"}), Ok(SourceFormat::SidecarSet)),
            (json!({"apiVersion": "settings.k8s.io/v1alpha1", "kind": "PodPreset"}), Ok(SourceFormat::PodPreset)),
            (json!({"sidecarInjectorWebhook": {"templates": {}}}), Ok(SourceFormat::Istio)),
            (json!({"name": "a", "env": []}), Ok(SourceFormat::Tumblr)),
            (json!({"containers": [], "environmentVariables": []}), Ok(SourceFormat::Ricoberger)),
            (json!({"containers": [], "injectors": {}}), Ok(SourceFormat::Ricoberger)),
            (json!({"containers": [], "initContainers": []}), Ok(SourceFormat::Morvencao)),
            (json!({"containers": [], "volumes": []}), Err(Unknown::Ambiguous)),
            (json!({"kind": "Deployment", "name": "a", "env": []}), Err(Unknown::Nothing)),
            (json!([]), Err(Unknown::Nothing)),
        ] {
            assert_eq!(format(&value), expected, "{value}");
        }
    }
}

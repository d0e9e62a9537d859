//! The CEL of the well-known actions of a Go template.
//!
//! Invariant: an action whose meaning in a template could differ has none.

use super::draft::{cel_key, cel_string};

/// The CEL of an action that is well known.
pub(super) fn cel(action: &str, is_whole: bool) -> Option<String> {
    // Within a longer text the quotes would belong to it.
    let action = if is_whole { action.strip_suffix("| quote").unwrap_or(action).trim() } else { action };
    let words = words(action)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words.as_slice() {
        [".ObjectMeta.Name"] => "pod.metadata.?name.orValue('')".to_owned(),
        [".ObjectMeta.Namespace" | ".DeploymentMeta.Namespace"] => "namespace.name".to_owned(),
        [".DeploymentMeta.Name"] => WORKLOAD.to_owned(),
        [".Spec.ServiceAccountName"] => "pod.spec.?serviceAccountName.orValue('default')".to_owned(),
        ["index", ".ObjectMeta.Annotations", key] => cel_key("annotations", literal(key)?, ""),
        ["index", ".ObjectMeta.Labels", key] => cel_key("labels", literal(key)?, ""),
        ["annotation", ".ObjectMeta", key, default] => cel_key("annotations", literal(key)?, literal(default)?),
        [text] => match text.strip_prefix(".ObjectMeta.Labels.") {
            Some(key) if key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') => {
                cel_key("labels", key, "")
            }
            _ => cel_string(literal(text)?),
        },
        _ => return None,
    })
}

/// The name of the workload, as Istio finds it: that of the pod's controller, of a ReplicaSet without its
/// hash and of a Job without the time that its CronJob gave it. Offline a pod has no controller yet, and
/// its generated name tells.
const WORKLOAD: &str = "(pod.metadata.?ownerReferences.orValue([])\
.filter(o, o.?controller.orValue(false) && pod.metadata.?generateName.orValue('') != '')\
.map(o, o.kind == 'ReplicaSet' && o.name.endsWith('-' + pod.metadata.?labels[?'pod-template-hash'].orValue('')) \
? o.name.substring(0, o.name.lastIndexOf('-')) \
: o.kind == 'Job' && o.name.matches('^.+-[0-9]{8,10}$') ? o.name.substring(0, o.name.lastIndexOf('-')) : o.name) \
+ [pod.metadata.?generateName.orValue('') == '' ? pod.metadata.?name.orValue('') : \
(pod.metadata.generateName + '\\n').replace('-' + pod.metadata.?labels[?'pod-template-hash'].orValue('') + '-\\n', '')\
.replace('-\\n', '')])[0]";

/// The words of an action; a quoted one keeps its first quote.
fn words(action: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = action.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = if first == '"' || first == '`' {
            let (inner, after) = rest[1..].split_once(first)?;
            if inner.contains('\\') {
                return None;
            }
            (format!("\"{inner}"), after)
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        words.push(word);
        rest = after.trim_start();
    }
    Some(words)
}

fn literal(word: &str) -> Option<&str> {
    word.strip_prefix('"')
}

#[cfg(test)]
mod tests {
    use super::cel;

    #[test]
    fn well_known_actions_have_an_expression_and_others_none() {
        for (action, expected) in [
            (".ObjectMeta.Namespace", Some("namespace.name")),
            (".ObjectMeta.Namespace | quote", Some("namespace.name")),
            ("index .ObjectMeta.Labels \"app\"", Some("pod.metadata.?labels[?'app'].orValue('')")),
            (".ObjectMeta.Labels.app", Some("pod.metadata.?labels[?'app'].orValue('')")),
            ("annotation .ObjectMeta `k` `it's`", Some("pod.metadata.?annotations[?'k'].orValue('it\\'s')")),
            ("`text`", Some("'text'")),
            (".ObjectMeta.Labels.a-b", None),
            (".Values.port", None),
            ("index .ObjectMeta.Labels \"a\\\"b\"", None),
            ("index .ObjectMeta.Labels .Values.key", None),
        ] {
            assert_eq!(cel(action, true).as_deref(), expected, "{action}");
        }
        assert_eq!(cel(".ObjectMeta.Namespace | quote", false), None);
    }
}

//! Secrets that stand in a template: values of variables and flags, and URLs with a password.
//!
//! Invariant: no finding repeats the secret; `mask` hides each that is found here.

use super::code::Code;
use super::finding::Finding;
use super::script::{commands, is_assignment};
use super::secret_names::{is_literal, is_name, is_object_name};
use super::view::{View, at, below};
use crate::inject::text::FieldPath;
use crate::inject::text::json::items;
use serde_json::Value;

/// A secret, and what is said of it.
pub(super) struct Secret {
    /// The scalar that has it.
    pub path: FieldPath,
    /// The secret itself, with the constant defaults of parameters.
    pub text: String,
    message: String,
}

/// Commands that the kubelet runs in a container.
const COMMANDS: [&[&str]; 5] = [
    &["livenessProbe", "exec", "command"],
    &["readinessProbe", "exec", "command"],
    &["startupProbe", "exec", "command"],
    &["lifecycle", "postStart", "exec", "command"],
    &["lifecycle", "preStop", "exec", "command"],
];

/// A warning for each secret in the template.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    let secrets = secrets(view).into_iter();
    secrets.map(|secret| Finding::new(Code::SecretInEnv, view, &secret.path, secret.message)).collect()
}

/// All secrets of a template.
pub(super) fn secrets(view: View<'_>) -> Vec<Secret> {
    let mut found = Vec::new();
    for container in view.containers() {
        of_container(container.value, &container.path, &container.name(), &mut found);
    }
    let app = at(view.spec(), &["app"]);
    let path = View::spec_path().child("app");
    of_variables(app, &path, "the app", &mut found);
    of_words(at(app, &["prependCommand"]), &path.child("prependCommand"), "the app", &mut found);
    of_container(at(app, &["defaults"]), &path.child("defaults"), "the app", &mut found);
    of_files(view, &mut found);
    found
}

fn of_container(container: &Value, path: &FieldPath, of: &str, found: &mut Vec<Secret>) {
    of_variables(container, path, of, found);
    for names in [&["command"][..], &["args"]].into_iter().chain(COMMANDS) {
        of_words(at(container, names), &below(path, names), of, found);
    }
}

fn of_variables(container: &Value, path: &FieldPath, of: &str, found: &mut Vec<Secret>) {
    for (index, variable) in items(container, "env").iter().enumerate() {
        let name = at(variable, &["name"]).as_str().unwrap_or_default();
        let Some(value) = at(variable, &["value"]).as_str() else { continue };
        let path = path.child("env").index(index).child("value");
        if is_secret(name, value) {
            found.push(Secret { path, text: value.to_owned(), message: of_variable(name, of) });
        } else if let Some(password) = passwords(value).next() {
            let message = format!("the variable {name:?} of {of} has a URL with a password");
            found.push(Secret { path, text: password.to_owned(), message });
        }
    }
}

fn of_variable(name: &str, of: &str) -> String {
    format!("the variable {name:?} of {of} has its value in the template")
}

/// Texts of `spec.files`: of those only URLs tell that they have a secret.
fn of_files(view: View<'_>, found: &mut Vec<Secret>) {
    for (path, files) in view.items("files") {
        for (key, text) in at(files, &["items"]).as_object().into_iter().flatten() {
            for password in passwords(text.as_str().unwrap_or_default()) {
                let message = format!("the file {key:?} has a URL with a password");
                let path = path.child("items").key(key.as_str());
                found.push(Secret { path, text: password.to_owned(), message });
            }
        }
    }
}

/// The words of a command line, of which one may be a script.
fn of_words(list: &Value, path: &FieldPath, of: &str, found: &mut Vec<Secret>) {
    let words: Vec<&str> =
        list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap_or_default()).collect();
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| words.get(before)).copied().unwrap_or_default();
        let path = path.index(index);
        if let Some((text, message)) = of_word(before, word, of) {
            found.push(Secret { path, text, message });
        } else if let Some((text, message)) = of_script(word, of) {
            found.push(Secret { path, text, message });
        } else if let Some(password) = passwords(word).next() {
            let message = format!("a word of the command of {of} has a URL with a password");
            found.push(Secret { path, text: password.to_owned(), message });
        }
    }
}

/// The secret in a word of a command that follows another one.
pub(super) fn secret_of_word(before: &str, word: &str) -> Option<String> {
    of_word(before, word, "").or_else(|| of_script(word, "")).map(|(text, _)| text)
}

/// The secret in a word that follows another one: the value of a flag or of a variable, and what is said
/// of it.
fn of_word(before: &str, word: &str, of: &str) -> Option<(String, String)> {
    let is_flag = |word: &str| word.starts_with('-');
    let of_flag = |flag: &str| format!("the flag {flag} of {of} has its value in the template");
    if is_flag(before) && !before.contains('=') && !is_flag(word) && is_secret(before, word) {
        return Some((word.to_owned(), of_flag(before)));
    }
    let (name, value) = word.split_once('=').filter(|(name, value)| is_secret(name, value))?;
    if is_flag(word) {
        return Some((value.to_owned(), of_flag(name)));
    }
    is_assignment(word).then(|| (value.to_owned(), of_variable(name, of)))
}

/// The secret in the commands of a shell script.
fn of_script(script: &str, of: &str) -> Option<(String, String)> {
    if !script.contains(char::is_whitespace) {
        return None;
    }
    commands(script).into_iter().find_map(|words| {
        let mut before = "";
        words.iter().find_map(|word| {
            let secret = of_word(std::mem::replace(&mut before, word), word, of);
            // The shell puts something else in the place of a variable.
            secret.filter(|(text, _)| !text.contains('$'))
        })
    })
}

fn is_secret(name: &str, value: &str) -> bool {
    is_name(name) && is_literal(value) && !is_object_name(name, value)
}

/// The passwords of URLs `SCHEME://USER:PASSWORD@HOST` that are written out.
pub(super) fn passwords(text: &str) -> impl Iterator<Item = &str> {
    text.split("://").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c.is_whitespace() || "/?#'\"`".contains(c)).unwrap_or(rest.len());
        let (user, _) = rest[..end].rsplit_once('@')?;
        let (_, password) = user.split_once(':')?;
        (!password.is_empty() && !password.contains('$') && !password.starts_with('<')).then_some(password)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::template::document::Document;
    use crate::lint::view::resolved;
    use serde_json::json;

    /// The path of each secret, and the secret.
    fn of(spec: &Value) -> Vec<(String, String)> {
        let document = Document::of_value(json!({"spec": spec}));
        let value = resolved(&document);
        let secrets = secrets(View { origin: "", document: &document, value: &value }).into_iter();
        secrets.map(|secret| (secret.path.to_string(), secret.text)).collect()
    }

    #[test]
    fn secrets_are_found_wherever_a_command_is() {
        let helper = |field: &str, value: Value| json!({"sidecars": [{"name": "helper", field: value}]});
        let exec = |command: Value| json!({"exec": {"command": command}});
        for (spec, path) in [
            (helper("args", json!(["--password", "hunter2"])), "spec.sidecars[0].args[1]"),
            (helper("args", json!(["--clientSecret=hunter2"])), "spec.sidecars[0].args[0]"),
            (helper("command", json!(["sh", "-c", "exec db --password=hunter2"])), "spec.sidecars[0].command[2]"),
            (helper("command", json!(["sh", "-c", "a; exec db --password 'hunter2'"])), "spec.sidecars[0].command[2]"),
            (helper("command", json!(["sh", "-c", "export DB_PASSWORD=hunter2; db"])), "spec.sidecars[0].command[2]"),
            (helper("command", json!(["env", "-i", "DB_PASSWORD=hunter2", "db"])), "spec.sidecars[0].command[2]"),
            (
                helper("livenessProbe", exec(json!(["redis-cli", "--pass=hunter2"]))),
                "spec.sidecars[0].livenessProbe.exec.command[1]",
            ),
            (
                helper("lifecycle", json!({"preStop": exec(json!(["x", "--token=hunter2"]))})),
                "spec.sidecars[0].lifecycle.preStop.exec.command[1]",
            ),
            (json!({"app": {"prependCommand": ["/x", "--password=hunter2"]}}), "spec.app.prependCommand[1]"),
            (json!({"app": {"env": [{"name": "dbPassword", "value": "hunter2"}]}}), "spec.app.env[0].value"),
            (json!({"files": [{"name": "a", "items": {"c": "url=postgres://u:hunter2@h"}}]}), "spec.files[0].items[c]"),
        ] {
            assert_eq!(of(&spec), [(path.to_owned(), "hunter2".to_owned())], "{spec}");
        }
    }

    #[test]
    fn flags_without_a_secret_are_none() {
        for args in [
            json!(["--password", "--other"]),
            json!(["--password", "$(PASSWORD)"]),
            json!(["--password-file", "hunter2"]),
            json!(["--bearer-token=/var/run/token"]),
            json!(["--auth-token=@/run/token"]),
            json!(["--tls-secret=ns/name"]),
            json!(["-c", "db --password=$PASSWORD --token \"$(cat /t)\""]),
            json!(["--password"]),
        ] {
            assert_eq!(of(&json!({"sidecars": [{"name": "helper", "args": args}]})), [], "{args}");
        }
    }

    #[test]
    fn passwords_of_urls_are_found() {
        for text in ["postgres://u:p@h/d", "--url=http://u:p@h", "a://b c://:p@h"] {
            assert_eq!(passwords(text).collect::<Vec<_>>(), ["p"], "{text}");
        }
        for text in ["http://h:80/a@b", "http://u@h", "a://u:$(P)@h", "a://u:${P}@h", "u:p@h", "a://u:<password>@h"] {
            assert_eq!(passwords(text).next(), None, "{text}");
        }
    }
}

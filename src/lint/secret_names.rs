//! Which names are those of secrets, and which values may be one.

/// The last words of names of secrets.
const WORDS: [&str; 12] = [
    "PASSWORD",
    "PASSWD",
    "PASS",
    "PASSPHRASE",
    "PWD",
    "TOKEN",
    "SECRET",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "SECRETKEY",
    "PRIVATEKEY",
];

/// Words before KEY in the names of secrets.
const KEYS: [&str; 8] = ["API", "SECRET", "PRIVATE", "ACCESS", "ENCRYPTION", "SIGNING", "MASTER", "LICENSE"];

/// Values that turn something on or off.
const SWITCHES: [&str; 16] = [
    "", "true", "false", "yes", "no", "on", "off", "none", "null", "always", "never", "auto", "required", "optional",
    "enabled", "disabled",
];

/// Whether a variable or a flag of this name contains a secret.
pub(super) fn is_name(name: &str) -> bool {
    let words = words(name);
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // The shell's own variables.
        ["PWD" | "OLDPWD"] => false,
        [.., before, "KEY"] => KEYS.contains(before),
        [.., last] => WORDS.contains(last),
        [] => false,
    }
}

/// The words of `DB_PASSWORD`, `--db-password`, `db.password` and `dbPassword` in capitals, without numbers at
/// their ends.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let chars: Vec<char> = name.chars().collect();
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| chars.get(before)).copied();
        let is_lower = |c: Option<&char>| c.is_some_and(char::is_ascii_lowercase);
        // `dbPassword`, and the last letter of `API` in `APIKey`.
        let begins = c.is_ascii_uppercase()
            && (is_lower(before.as_ref())
                || is_lower(chars.get(index + 1)) && before.is_some_and(char::is_alphanumeric));
        if begins || matches!(c, '_' | '-' | '.') {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| !matches!(c, '_' | '-' | '.')) {
            word.push(c.to_ascii_uppercase());
        }
    }
    let without_number = |word: String| word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    words.into_iter().map(without_number).filter(|word| !word.is_empty()).collect()
}

/// Whether it may be a secret: a text other than a switch, a number or a duration, and no reference.
pub(super) fn is_literal(value: &str) -> bool {
    let value = value.trim();
    let is_switch = SWITCHES.iter().any(|switch| value.eq_ignore_ascii_case(switch));
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_quantity = unit.len() < value.len() && ["", "ms", "s", "m", "h", "d"].contains(&unit);
    !is_switch && !is_quantity && !is_reference(value)
}

/// Whether a value stands for another one: a path of a file, a variable, or a placeholder.
pub(super) fn is_reference(value: &str) -> bool {
    let is_variable =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    ["/", "@/", "env:", "file:"].iter().any(|start| value.starts_with(start))
        || ["${", "$(", "{{"].iter().any(|start| value.contains(start))
        || value.strip_prefix('$').is_some_and(is_variable)
}

/// Whether the value is `NAMESPACE/NAME` of a Secret, which `--tls-secret` and the like take.
pub(super) fn is_object_name(name: &str, value: &str) -> bool {
    let is_dns_name = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
    };
    words(name).last().is_some_and(|word| word == "SECRET")
        && value.split_once('/').is_some_and(|(namespace, name)| is_dns_name(namespace) && is_dns_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_end_in_a_word_for_one() {
        for name in [
            "DB_PASSWORD",
            "DD_API_KEY",
            "APIKEY",
            "DB_PASS",
            "PASSPHRASE",
            "AWS_SECRET_ACCESS_KEY",
            "CREDENTIALS",
            "token",
            "--auth-token",
            "TOKEN_2",
            "PASSWORD1",
            "DB_PWD",
            "dbPassword",
            "clientSecret",
            "--clientSecret",
            "APIKey",
            "db.apiKey2",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "TOKENIZERS_PARALLELISM",
            "MAX_TOKENS",
            "REFRESH_TOKEN_TTL",
            "TOKEN_ENDPOINT",
            "SECRET_NAMESPACE",
            "SECRETS_ENABLED",
            "TOKEN_AUDIENCE",
            "TOKEN_FILE",
            "PARTITION_KEY",
            "AWS_ACCESS_KEY_ID",
            "PWD",
            "KEY",
            "tokenURL",
            "passwordFile",
            "compass",
            "",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn switches_numbers_durations_and_references_are_no_secrets() {
        for value in [
            "",
            "yes",
            "True",
            "always",
            "100",
            "1.5",
            "1h",
            "30s",
            "$(TOKEN)",
            "$TOKEN",
            "a${b}",
            "{{ .Values.token }}",
            "/vault/token",
            "@/run/token",
            "file:///run/token",
            "env:TOKEN",
        ] {
            assert!(!is_literal(value), "{value}");
        }
        assert!(is_literal("hunter2") && is_literal("1hx") && is_literal("s") && is_literal("pa$sword"));
        assert!(is_object_name("--tls-secret", "ns/name") && !is_object_name("TOKEN", "ns/name"));
        assert!(!is_object_name("CLIENT_SECRET", "aB/c="));
    }
}

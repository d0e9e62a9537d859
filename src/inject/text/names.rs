//! Kubernetes' rules for names: one function per rule, whose error says what the rule expects.
//!
//! Every function takes linear time and allocates nothing.

/// The errors: what each rule expects.
pub(crate) type Expected = &'static str;

const DNS_LABEL_MAX: usize = 63;
const DNS_SUBDOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;
const PORT_NAME_MAX: usize = 15;

const DNS_LABEL: Expected = "must be a lowercase RFC 1123 label: lower case alphanumeric characters or '-', \
    starting and ending with an alphanumeric character, such as \"my-name\"";
const DNS_LABEL_LENGTH: Expected = "must be a lowercase RFC 1123 label of no more than 63 characters";
const DNS_SUBDOMAIN: Expected = "must be a lowercase RFC 1123 subdomain: lower case alphanumeric characters, '-' or '.', \
    each part starting and ending with an alphanumeric character, such as \"example.com\"";
const DNS_SUBDOMAIN_LENGTH: Expected = "must be a lowercase RFC 1123 subdomain of no more than 253 characters";
const QUALIFIED_NAME: Expected = "must be a qualified name: alphanumeric characters, '-', '_' or '.', starting and ending \
    with an alphanumeric character, with an optional DNS subdomain prefix and '/', such as \"example.com/my-name\"";
const QUALIFIED_NAME_LENGTH: Expected = "must be a qualified name of no more than 63 characters after its prefix";
const LABEL_VALUE: Expected = "must be a label value: empty, or alphanumeric characters, '-', '_' or '.', starting and \
    ending with an alphanumeric character, such as \"my_value\"";
const LABEL_VALUE_LENGTH: Expected = "must be a label value of no more than 63 characters";
const ENV_VAR_NAME: Expected = "must be the name of an environment variable: printable ASCII characters except '='";
const PORT_NAME: Expected = "must be a port name: lower case alphanumeric characters or '-', at least one letter, no '-' at \
    an end and no two in a row, such as \"http\"";
const PORT_NAME_LENGTH: Expected = "must be a port name of no more than 15 characters";

/// A lowercase RFC 1123 label: names of containers, volumes, namespaces, templates.
pub(crate) fn check_dns_label(name: &str) -> Result<(), Expected> {
    expect(is_dns_label(name), DNS_LABEL)?;
    expect(name.len() <= DNS_LABEL_MAX, DNS_LABEL_LENGTH)
}

/// A lowercase RFC 1123 subdomain: names of most objects, such as Secrets and service accounts.
pub(crate) fn check_dns_subdomain(name: &str) -> Result<(), Expected> {
    expect(name.split('.').all(is_dns_label), DNS_SUBDOMAIN)?;
    expect(name.len() <= DNS_SUBDOMAIN_MAX, DNS_SUBDOMAIN_LENGTH)
}

/// `name` or `prefix/name`: keys of labels and annotations, topology keys, condition types.
pub(crate) fn check_qualified_name(name: &str) -> Result<(), Expected> {
    let (prefix, name) = name.split_once('/').map_or((None, name), |(prefix, name)| (Some(prefix), name));
    expect(prefix.is_none_or(|prefix| check_dns_subdomain(prefix).is_ok()), QUALIFIED_NAME)?;
    expect(is_label(name), QUALIFIED_NAME)?;
    expect(name.len() <= LABEL_MAX, QUALIFIED_NAME_LENGTH)
}

/// A label's value, which may be empty.
pub(crate) fn check_label_value(value: &str) -> Result<(), Expected> {
    expect(value.is_empty() || is_label(value), LABEL_VALUE)?;
    expect(value.len() <= LABEL_MAX, LABEL_VALUE_LENGTH)
}

/// The name of an environment variable, by the relaxed rule of Kubernetes 1.30 and newer.
pub(crate) fn check_env_var_name(name: &str) -> Result<(), Expected> {
    let printable = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    expect(!name.is_empty() && name.bytes().all(printable), ENV_VAR_NAME)
}

/// An IANA service name: names of container ports.
pub(crate) fn check_port_name(name: &str) -> Result<(), Expected> {
    let letter = name.bytes().any(|byte| byte.is_ascii_lowercase());
    expect(is_dns_label(name) && letter && !name.contains("--"), PORT_NAME)?;
    expect(name.len() <= PORT_NAME_MAX, PORT_NAME_LENGTH)
}

const fn expect(holds: bool, expected: Expected) -> Result<(), Expected> {
    if holds { Ok(()) } else { Err(expected) }
}

fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    has_shape(name, inner, |byte| inner(byte) || byte == b'-')
}

fn is_label(name: &str) -> bool {
    let end = |byte: u8| byte.is_ascii_alphanumeric();
    has_shape(name, end, |byte| end(byte) || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether the text is not empty, its first and last byte satisfy `end`, and every byte `inner`.
fn has_shape(text: &str, end: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|&byte| end(byte))
        && bytes.last().is_some_and(|&byte| end(byte))
        && bytes.iter().all(|&byte| inner(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&str) -> Result<(), Expected>;

    fn accepts(rule: Rule, names: &[&str]) {
        for name in names {
            assert_eq!(rule(name), Ok(()), "{name:?}");
        }
    }

    fn refuses(rule: Rule, expected: Expected, names: &[&str]) {
        for name in names {
            assert_eq!(rule(name), Err(expected), "{name:?}");
        }
    }

    fn long(length: usize) -> String {
        "a".repeat(length)
    }

    #[test]
    fn dns_labels() {
        accepts(check_dns_label, &["a", "0", "web-1", "a--b", &long(63)]);
        refuses(check_dns_label, DNS_LABEL, &["", "-a", "a-", "A", "a_b", "a.b", "ä", "a b", "a\n", "a/b", "a~b"]);
        refuses(check_dns_label, DNS_LABEL_LENGTH, &[&long(64)]);
    }

    #[test]
    fn dns_subdomains() {
        accepts(check_dns_subdomain, &["a", "a.b", "my-app.example.com", "1.2", &long(253)]);
        refuses(check_dns_subdomain, DNS_SUBDOMAIN, &["", ".", "a.", ".a", "a..b", "a.-b", "A.b", "a_b"]);
        refuses(check_dns_subdomain, DNS_SUBDOMAIN_LENGTH, &[&long(254)]);
    }

    #[test]
    fn qualified_names() {
        accepts(
            check_qualified_name,
            &["a", "A_b.C-1", "app.kubernetes.io/name", &format!("{}/{}", long(253), long(63))],
        );
        refuses(
            check_qualified_name,
            QUALIFIED_NAME,
            &["", "/", "a/", "/a", "a/b/c", "A.com/x", "-a", "a b", "é", "a/-b"],
        );
        refuses(check_qualified_name, QUALIFIED_NAME, &[&format!("{}/a", long(254))]);
        refuses(check_qualified_name, QUALIFIED_NAME_LENGTH, &[&long(64), &format!("a/{}", long(64))]);
    }

    #[test]
    fn label_values() {
        accepts(check_label_value, &["", "a", "A_b.C-1", "1", &long(63)]);
        refuses(check_label_value, LABEL_VALUE, &["-a", "a.", "a/b", " ", "é", "a\n"]);
        refuses(check_label_value, LABEL_VALUE_LENGTH, &[&long(64)]);
    }

    #[test]
    fn env_var_names() {
        accepts(check_env_var_name, &["PATH", "my.var-1", "1A", " ", "a b", "{}", "~"]);
        refuses(check_env_var_name, ENV_VAR_NAME, &["", "A=B", "=", "ä", "a\n", "a\0", "\u{7f}"]);
    }

    #[test]
    fn port_names() {
        accepts(check_port_name, &["http", "h2c-1", "1a", "a", &long(15)]);
        refuses(check_port_name, PORT_NAME, &["", "80", "1-2", "HTTP", "a--b", "-a", "a-", "a_b"]);
        refuses(check_port_name, PORT_NAME_LENGTH, &[&long(16)]);
    }
}

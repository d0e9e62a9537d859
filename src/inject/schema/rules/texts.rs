//! Rules of Kubernetes for texts that are no names: paths, keys, headers, addresses.

use core::net::IpAddr;

use crate::inject::schema::merge_keys::{TOKEN_PATH, steps};
use crate::inject::text::names;

type Verdict = Result<(), &'static str>;

const CONFIG_KEY_MAX: usize = 253;
const SYSCTL_MAX: usize = 253;

const fn expect(holds: bool, expected: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(expected) }
}

/// Any text.
pub(super) const fn any(_: &str) -> Verdict {
    Ok(())
}

/// The key of an annotation (`ValidateAnnotations`); its domain may have upper case.
pub(super) fn annotation_key(text: &str) -> Verdict {
    names::check_qualified_name(&text.to_lowercase())
}

/// A key of a Secret or ConfigMap (`IsConfigMapKey`).
pub(super) fn config_key(text: &str) -> Verdict {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    expect(
        !text.is_empty() && text.len() <= CONFIG_KEY_MAX && text.bytes().all(plain),
        "must be a key of alphanumeric characters, '-', '_' or '.', at most 253",
    )?;
    expect(text != "." && !text.starts_with(".."), "must not be '.' and not start with '..'")
}

/// The name of an HTTP header (`IsHTTPHeaderName`).
pub(super) fn header_name(text: &str) -> Verdict {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    expect(!text.is_empty() && text.bytes().all(plain), "must consist of alphanumeric characters or '-'")
}

/// A path without `..` (`validatePathNoBacksteps`).
pub(super) fn no_backsteps(text: &str) -> Verdict {
    expect(text.split('/').all(|step| step != ".."), "must not contain '..'")
}

/// A relative path without `..` (`validateLocalDescendingPath`).
pub(super) fn descending_path(text: &str) -> Verdict {
    expect(!text.starts_with('/'), "must be a relative path")?;
    no_backsteps(text)
}

/// A path of a file in a volume (`validateLocalNonReservedPath`).
pub(super) fn file_path(text: &str) -> Verdict {
    descending_path(text)?;
    expect(!text.starts_with(".."), "must not start with '..'")
}

/// An absolute path.
pub(super) fn absolute_path(text: &str) -> Verdict {
    expect(text.starts_with('/'), "must be an absolute path")
}

/// A path of the app at which a volume is shared. The service account's token is never shared.
pub(super) fn shared_path(text: &str) -> Verdict {
    absolute_path(text)?;
    expect(!text.contains(':'), "must be a path without ':'")?;
    let is_token = steps(text).starts_with(&steps(TOKEN_PATH));
    expect(!is_token, "must not be the directory of the service account's token")
}

/// A text without white space at its ends.
pub(super) fn trimmed(text: &str) -> Verdict {
    expect(text.trim() == text, "must not have white space at its ends")
}

/// An IP address in the strict form that kube-apiserver takes for new objects (`IsValidIP`).
pub(super) fn ip_address(text: &str) -> Verdict {
    let is_strict = match text.parse() {
        Ok(IpAddr::V4(_)) => true,
        Ok(IpAddr::V6(address)) => address.to_ipv4_mapped().is_none(),
        Err(_) => false,
    };
    expect(is_strict, "must be an IP address, such as 10.9.8.7 or 2001:db8::ffff")
}

/// A DNS search domain (`validatePodDNSConfig`): a subdomain whose parts may begin with `_`, and
/// that may end with a dot.
pub(super) fn search_domain(text: &str) -> Verdict {
    let domain = text.strip_suffix('.').unwrap_or(text);
    if text == "." {
        return Ok(());
    }
    let plain: String =
        domain.split('.').map(|part| part.strip_prefix('_').unwrap_or(part)).collect::<Vec<_>>().join(".");
    let inner = plain.replace('_', "-");
    expect(names::check_dns_subdomain(&inner).is_ok(), "must be a DNS domain, such as \"example.com\"")
}

/// The name of a sysctl (`IsValidSysctlName`).
pub(super) fn sysctl(text: &str) -> Verdict {
    let is_part =
        |part: &str| names::check_dns_subdomain(&part.replace('_', "-")).is_ok() && !part.starts_with(['_', '-']);
    let ends = |part: &str| !part.starts_with('_') && !part.ends_with('_');
    let is_valid = text.len() <= SYSCTL_MAX && text.split(['.', '/']).all(|part| is_part(part) && ends(part));
    expect(is_valid, "must be the name of a sysctl, such as \"net.core.somaxconn\"")
}

/// An iSCSI name.
pub(super) fn iscsi_name(text: &str) -> Verdict {
    let known = ["iqn.", "eui.", "naa."].iter().any(|prefix| text.starts_with(prefix));
    expect(known, "must begin with \"iqn.\", \"eui.\" or \"naa.\"")
}

/// A text without a slash.
pub(super) fn no_slash(text: &str) -> Verdict {
    expect(!text.contains('/'), "must not contain '/'")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (fn(&str) -> Verdict, &'static [&'static str], &'static [&'static str]);

    #[test]
    fn texts_are_accepted_as_by_kube_apiserver() {
        let cases: [Case; 9] = [
            (config_key, &["a", "A_.-", ".a"], &["", ".", "..", "..a", "a b", "a/b"]),
            (header_name, &["X-Name", "a"], &["", "a b", "a_b", "ä"]),
            (descending_path, &["", "a", "a/b", "..a", "a..b"], &["/a", "..", "a/..", "../a"]),
            (file_path, &["a/..b", "a"], &["..a", "/a", "a/../b"]),
            (ip_address, &["1.2.3.4", "::1", "2001:db8::1"], &["", "x", "01.2.3.4", "::ffff:1.2.3.4", "fe80::1%eth0"]),
            (search_domain, &["a", "_b.c", "a.", ".", "a_b"], &["", "a b", "A_b", "a..b"]),
            (sysctl, &["a", "net/core.x", "kernel.shm_x"], &["", "a..b", "A.b", "a_", "_a"]),
            (iscsi_name, &["iqn.2001-04.com.example:a", "eui.0123456789abcdef"], &["", "x"]),
            (trimmed, &["a:1"], &[" a", "a\n"]),
        ];
        for (rule, valid, invalid) in cases {
            valid.iter().for_each(|text| assert_eq!(rule(text), Ok(()), "{text:?}"));
            invalid.iter().for_each(|text| assert!(rule(text).is_err(), "{text:?}"));
        }
    }
}

//! Splits a key into template, domain and name, also where the domain is written in another way.

use crate::inject::text::nearest_within;

/// Most edits between a domain and another spelling of it.
const MAX_EDITS: usize = 2;

/// The first label of a domain identifies it only if it is at least this long.
const MIN_LABEL: usize = 5;

/// The longest prefix of a key that Kubernetes accepts.
const MAX_PREFIX: usize = 253;

/// A key of our domain, or of a domain that looks like ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyParts<'k> {
    /// What stands before the domain: the name of a template.
    pub template: Option<&'k str>,
    /// What stands after the slash.
    pub name: &'k str,
    pub spelling: Spelling,
}

/// How a key writes the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Exact,
    /// With capital letters. Nobody else can own such a domain.
    Case,
    /// With a few other letters, or with another ending. It may be somebody else's domain.
    Other,
}

/// The parts of a key; `None` if its domain does not even look like ours.
pub(super) fn split<'k>(key: &'k str, domain: &str) -> Option<KeyParts<'k>> {
    let slash = key.bytes().position(|byte| byte == b'/')?;
    let (prefix, name) = (&key[..slash], &key[slash + 1..]);
    let (template, spelling) = split_prefix(prefix, domain)?;
    Some(KeyParts { template, name, spelling })
}

fn split_prefix<'k>(prefix: &'k str, domain: &str) -> Option<(Option<&'k str>, Spelling)> {
    let start = prefix.len().checked_sub(domain.len());
    if let Some(end) = start.and_then(|start| prefix.get(start..)).filter(|end| end.eq_ignore_ascii_case(domain)) {
        let before = &prefix[..prefix.len() - end.len()];
        let spelling = if end == domain { Spelling::Exact } else { Spelling::Case };
        match before.strip_suffix('.') {
            Some(template) => return Some((Some(template), spelling)),
            None if before.is_empty() => return Some((None, spelling)),
            // `myoutrigger.dev` is another domain.
            None => {}
        }
    }
    if prefix.len() > MAX_PREFIX {
        return None;
    }
    // From the right, so that a template's name does not count as a part of the domain.
    let dots = prefix.bytes().enumerate().rev().filter(|(_, byte)| *byte == b'.');
    let mut starts = dots.map(|(dot, _)| dot + 1).chain([0]);
    let start = starts.find(|start| is_other_spelling(&prefix[*start..], domain))?;
    Some((prefix[..start].strip_suffix('.'), Spelling::Other))
}

/// Whether a domain differs from ours in a few letters, or in everything after its first label.
fn is_other_spelling(other: &str, domain: &str) -> bool {
    let label = domain.bytes().position(|byte| byte == b'.').unwrap_or(domain.len());
    let has_our_first_label = label >= MIN_LABEL
        && matches!(other.as_bytes().get(label), None | Some(b'.'))
        && other.get(..label).is_some_and(|other| other.eq_ignore_ascii_case(&domain[..label]));
    has_our_first_label || (may_be_near(other, domain) && nearest_within(other, [domain], MAX_EDITS).is_some())
}

/// Whether few edits can lead from one text to the other, judged by which letters they have. This
/// is much cheaper than counting edits, and most keys of a pod belong to other domains.
fn may_be_near(one: &str, other: &str) -> bool {
    // Upper and lower case share a bit.
    let letters = |text: &str| text.bytes().fold(0_u32, |letters, byte| letters | 1 << (byte & 31));
    let few = |letters: u32| usize::try_from(letters.count_ones()).is_ok_and(|count| count <= MAX_EDITS);
    one.len().abs_diff(other.len()) <= MAX_EDITS && {
        let (one, other) = (letters(one), letters(other));
        few(one & !other) && few(other & !one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "outrigger.dev";

    fn parts(key: &str) -> Option<(Option<&str>, &str, Spelling)> {
        split(key, DOMAIN).map(|parts| (parts.template, parts.name, parts.spelling))
    }

    #[test]
    fn our_domain_is_found_in_each_spelling() {
        use Spelling::{Case, Exact, Other};
        for (key, expected) in [
            ("outrigger.dev/inject", (None, "inject", Exact)),
            ("log.outrigger.dev/dir", (Some("log"), "dir", Exact)),
            ("a.b.outrigger.dev/dir", (Some("a.b"), "dir", Exact)),
            ("Outrigger.dev/Inject", (None, "Inject", Case)),
            ("log.OUTRIGGER.DEV/dir", (Some("log"), "dir", Case)),
            ("outriger.dev/inject", (None, "inject", Other)),
            ("outirgger.dev/inject", (None, "inject", Other)),
            ("outrigger.de/inject", (None, "inject", Other)),
            ("outrigger.io/inject", (None, "inject", Other)),
            ("outrigger.example.com/inject", (None, "inject", Other)),
            ("outrigger/inject", (None, "inject", Other)),
            ("log.outriger.dev/dir", (Some("log"), "dir", Other)),
            ("log.outrigger.io/dir", (Some("log"), "dir", Other)),
            ("a.outriger.dev/dir", (Some("a"), "dir", Other)),
        ] {
            assert_eq!(parts(key), Some(expected), "{key}");
        }
    }

    #[test]
    fn other_domains_are_foreign() {
        for key in [
            "inject",
            "",
            "/",
            "prometheus.io/scrape",
            "sidecar.istio.io/inject",
            "linkerd.io/inject",
            "kubectl.kubernetes.io/default-container",
            "myownoutrigger.dev/inject",
            "rigger.dev/inject",
            "outrigger",
        ] {
            assert_eq!(parts(key), None, "{key}");
        }
        assert_eq!(parts(&format!("{}.outriger.dev/x", "a".repeat(400))), None);
        assert_eq!(split("ab.io/inject", "ab.example.org"), None, "a short first label identifies nothing");
    }

    #[test]
    fn characters_of_several_bytes_are_no_problem() {
        for key in ["ü.outrigger.dev/x", "üoutrigger.dev/x", "ütrigger.dev/x", "日本語語語/x"] {
            parts(key);
        }
        assert_eq!(parts("ü.outrigger.dev/x"), Some((Some("ü"), "x", Spelling::Exact)));
    }
}

//! The domain of all annotations and labels.

use std::fmt;
use std::str::FromStr;

use super::from_text::FromText;
use super::values::DnsName;

/// A DNS name that is short enough to follow a template's name in an annotation key: Kubernetes
/// allows 253 characters before the slash, and `TEMPLATE.` has up to 64 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(DnsName);

const MAX_LENGTH: usize = 189;

impl FromText for Domain {
    const EXPECTED: &'static str = "a DNS name of lower case letters, digits, '-' and '.', at most 189 characters (annotation keys put a template's name before it)";

    fn from_text(text: &str) -> Option<Self> {
        DnsName::from_text(text).filter(|name| name.as_str().len() <= MAX_LENGTH).map(Self)
    }
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_text(text).ok_or_else(|| format!("expected {}", Self::EXPECTED))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A DNS name of this length.
    fn name(length: usize) -> String {
        let labels = "a".repeat(49) + ".";
        let name: String = labels.chars().cycle().take(length).collect();
        if name.ends_with('.') { format!("{}a", &name[1..]) } else { name }
    }

    #[test]
    fn the_longest_domain_fits_behind_the_longest_template_name() {
        assert!(Domain::from_text("outrigger.dev").is_some() && Domain::from_text(&name(MAX_LENGTH)).is_some());
        assert!(Domain::from_text(&name(MAX_LENGTH + 1)).is_none() && DnsName::from_text(&name(253)).is_some());
        assert!(Domain::EXPECTED.contains(&format!("at most {MAX_LENGTH} characters")));
        let longest = format!("{}.{}", "t".repeat(63), name(MAX_LENGTH));
        assert_eq!(longest.len(), 253);
    }
}

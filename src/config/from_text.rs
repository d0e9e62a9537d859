//! Parses the text of a setting into a value; implemented here for types of other crates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::duration;
use crate::admission::AdviceMode;

/// A value that can be parsed from the text of a setting.
pub(super) trait FromText: Sized {
    /// The end of the sentence `expected …` in an error message.
    const EXPECTED: &'static str;
    fn from_text(text: &str) -> Option<Self>;
}

impl FromText for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for AdviceMode {
    const EXPECTED: &'static str = "Warn, Deny or Off";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "Warn" => Some(Self::Warn),
            "Deny" => Some(Self::Deny),
            // YAML reads an unquoted Off as a boolean.
            "Off" | "false" => Some(Self::Off),
            _ => None,
        }
    }
}

impl FromText for SocketAddr {
    const EXPECTED: &'static str = "ADDRESS:PORT, such as 127.0.0.1:9443 or [::]:9443";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for Duration {
    const EXPECTED: &'static str = "a duration, such as 10s or 1m30s";

    fn from_text(text: &str) -> Option<Self> {
        duration::parse(text)
    }
}

impl FromText for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }
}

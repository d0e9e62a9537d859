//! What a review says about a workload besides the engine's outcome: a code and a sentence.

use std::fmt;

use crate::inject::text::Message;

/// The kind of a finding. Its code is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingCode {
    /// `object_incomplete`: a patch, a null item, or a kind that lacks its pod.
    ObjectIncomplete,
    /// `kind_misspelt`: the API version has no such kind, but another has.
    KindMisspelt,
    /// `kind_unknown`: the kind is treated by its shape.
    KindUnknown,
    /// `kind_not_searched`: the object has keys of ours, but no pod template that is looked into.
    KindNotSearched,
    /// `injection_outdated`: what was injected before differs from what would be injected now.
    InjectionOutdated,
    /// `key_misplaced`: a key of ours stands where nothing reads it.
    KeyMisplaced,
    /// `key_unread`: nothing reads a key that looks like ours.
    KeyUnread,
}

impl FindingCode {
    /// All codes, in the order of the reference.
    pub const ALL: [Self; 7] = [
        Self::ObjectIncomplete,
        Self::KindMisspelt,
        Self::KindUnknown,
        Self::KindNotSearched,
        Self::InjectionOutdated,
        Self::KeyMisplaced,
        Self::KeyUnread,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ObjectIncomplete => "object_incomplete",
            Self::KindMisspelt => "kind_misspelt",
            Self::KindUnknown => "kind_unknown",
            Self::KindNotSearched => "kind_not_searched",
            Self::InjectionOutdated => "injection_outdated",
            Self::KeyMisplaced => "key_misplaced",
            Self::KeyUnread => "key_unread",
        }
    }
}

/// One thing that the author of a workload should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of the finding.
    pub code: FindingCode,
    /// Whether something will not be as the author expects. Otherwise it is only a note.
    pub is_warning: bool,
    /// One line without the code.
    pub message: Message,
}

impl Finding {
    pub(super) fn warning(code: FindingCode, message: impl Into<Message>) -> Self {
        Self { code, is_warning: true, message: message.into() }
    }

    pub(super) fn note(code: FindingCode, message: impl Into<Message>) -> Self {
        Self { code, is_warning: false, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.code(), self.message)
    }
}

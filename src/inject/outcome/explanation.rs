//! Why a pod is skipped, in a sentence about this pod.

use super::SkipReason;
use crate::inject::text::Message;
use std::fmt;

/// A reason to skip a pod, with what is known about this pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The reason.
    pub reason: SkipReason,
    /// One line without the code.
    pub message: Message,
    /// Whether somebody seems to have made a mistake: the pod's author, or who set up its
    /// namespace.
    pub is_mistake: bool,
}

impl Explanation {
    /// The reason's own sentence: there is nothing else to say about this pod.
    pub fn general(reason: SkipReason) -> Self {
        Self { reason, message: reason.sentence().into(), is_mistake: false }
    }

    /// Whether it says nothing about this pod.
    pub fn is_general(&self) -> bool {
        *self == Self::general(self.reason)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.message)
    }
}

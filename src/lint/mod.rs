//! Warnings about templates that load, but that a reviewer would send back.
//!
//! Invariant: pure; a text gives the same findings each time, in the order of its lines.

mod allow;
mod code;
mod containers;
mod finding;
mod kubernetes;
mod pod;
mod view;

pub(crate) use code::Code;
pub(crate) use finding::Finding;

use crate::inject::template::document;
use view::View;

/// The warnings about all templates of a text, for this minor version of Kubernetes 1 if one is given.
/// `more` are warnings found elsewhere, which comments in the text can silence too.
pub(crate) fn lint(text: &str, minor: Option<u32>, more: Vec<Finding>) -> Vec<Finding> {
    let mut found = more;
    for document in document::parse(text).iter().flatten() {
        let view = View { document };
        found.extend(containers::findings(view));
        found.extend(pod::findings(view));
        found.extend(minor.map(|minor| kubernetes::findings(view, minor)).into_iter().flatten());
    }
    let mut found = allow::filter(text, found);
    found.sort_by_key(|finding| (finding.place.line, finding.place.column, finding.code));
    found
}

#[cfg(test)]
mod tests;

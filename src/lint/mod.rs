//! Findings about templates: errors of loading, and what a reviewer would send back.
//!
//! Invariant: pure; a text gives the same findings each time, in the order of its lines.

mod allow;
mod code;
mod containers;
mod finding;
mod images;
mod kubernetes;
mod loading;
mod page;
mod pod;
mod pod_security;
mod scan;
mod script;
mod secrets;
mod sigterm;
mod variables;
mod view;

pub(crate) use code::Code;
pub(crate) use finding::Finding;
pub(crate) use page::{explanation, index, page};
pub(crate) use secrets::masked;

use crate::inject::SourceText;
use crate::inject::template::document;
use view::View;

/// The findings about all templates of these texts, for this minor version of Kubernetes 1 if one is
/// given. The texts are loaded together: names of templates count across them.
pub(crate) fn lint(texts: &[SourceText], minor: Option<u32>) -> Vec<Finding> {
    let mut of_loading = loading::findings(texts);
    let mut all = Vec::new();
    for text in texts {
        let (mut found, others) = of_loading.into_iter().partition(|finding| finding.origin == text.origin);
        of_loading = others;
        for document in document::parse(&text.text).iter().flatten() {
            of_document(View { origin: &text.origin, document }, minor, &mut found);
        }
        let mut found = allow::filter(text, found, minor);
        found.sort_by(|one, other| key(one).cmp(&key(other)));
        all.extend(found);
    }
    all.extend(of_loading);
    all
}

fn key(finding: &Finding) -> (usize, usize, Code, &str) {
    (finding.place.line, finding.place.column, finding.code, &finding.path)
}

fn of_document(view: View<'_>, minor: Option<u32>, found: &mut Vec<Finding>) {
    let mut more = containers::findings(view);
    more.extend(variables::findings(view));
    more.extend(secrets::findings(view));
    more.extend(pod::findings(view));
    more.extend(pod_security::findings(view, minor));
    more.extend(minor.map(|minor| kubernetes::findings(view, minor)).into_iter().flatten());
    // Loading warns of Helm's objects itself.
    let is_known = |one: &Finding| found.iter().any(|known| known.code == one.code && known.path == one.path);
    more.retain(|one| one.code != Code::ForeignSyntax || !is_known(one));
    found.append(&mut more);
}

#[cfg(test)]
mod tests;

//! Findings about templates: errors of loading, and what a reviewer would send back.
//!
//! Invariant: pure; a text gives the same findings each time, in the order of its lines.

mod allow;
mod code;
mod containers;
mod finding;
mod images;
mod jobs;
mod kubernetes;
mod loading;
mod mask;
mod page;
mod pod;
mod pod_security;
mod scan;
mod script;
mod script_lexer;
mod secret_names;
mod secrets;
mod sigterm;
mod source;
mod variables;
mod view;

pub(crate) use code::Code;
pub(crate) use finding::Finding;
pub(crate) use page::{explanation, index, page};

use crate::inject::{Injector, SourceText};
use mask::Hidden;
use source::Source;
use view::View;

/// The findings about all templates of these texts, for this minor version of Kubernetes 1 if one is
/// given. The texts are loaded together: names of templates count across them.
pub(crate) fn lint(texts: &[SourceText], minor: Option<u32>) -> Vec<Finding> {
    let sources: Vec<Source<'_>> = texts.iter().map(Source::read).collect();
    let hidden = Hidden::of(&sources);
    let (mut of_loading, injector) = loading::findings(texts, &hidden);
    let mut all = Vec::new();
    for source in &sources {
        let (mut found, others) = of_loading.into_iter().partition(|finding| finding.origin == source.text.origin);
        of_loading = others;
        for view in source.views() {
            of_document(view, &injector, minor, &mut found);
        }
        let mut found = allow::filter(source.text, found, minor);
        found.sort_by(|one, other| key(one).cmp(&key(other)));
        all.extend(found);
    }
    all.extend(of_loading);
    all.iter_mut().for_each(|finding| hidden.mask(finding));
    all
}

/// The text as excerpts show it: with `*` for each character of its secrets.
pub(crate) fn masked(text: &SourceText) -> String {
    mask::masked(&Source::read(text))
}

fn key(finding: &Finding) -> (usize, usize, Code, &str) {
    (finding.place.line, finding.place.column, finding.code, &finding.path)
}

fn of_document(view: View<'_>, injector: &Injector, minor: Option<u32>, found: &mut Vec<Finding>) {
    let mut more = containers::findings(view);
    more.extend(variables::findings(view));
    more.extend(secrets::findings(view));
    more.extend(pod::findings(view, injector));
    more.extend(pod_security::findings(view, minor));
    more.extend(minor.map(|minor| kubernetes::findings(view, minor)).into_iter().flatten());
    // Loading warns of Helm's objects itself.
    let is_known = |one: &Finding| found.iter().any(|known| known.code == one.code && known.path == one.path);
    more.retain(|one| one.code != Code::ForeignSyntax || !is_known(one));
    found.append(&mut more);
}

#[cfg(test)]
mod tests;

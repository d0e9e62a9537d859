//! The comments, documents and scalars of a YAML text, with their places.
//!
//! Invariant: a `#` in a quoted or block scalar is no comment. What follows a syntax error is not read.

use std::ops::Range;

use crate::inject::template::document::Place;
use granit_parser::{Event, Parser};

/// A comment; it reaches to the end of its line.
pub(super) struct Comment<'t> {
    pub place: Place,
    /// The text, with its `#`.
    pub text: &'t str,
    /// Whether nothing stands before it on its line.
    pub is_alone: bool,
}

/// A document of the text.
pub(super) struct Section {
    /// Its first line and its last line.
    pub first: usize,
    pub last: usize,
    /// The line of its first value; `None` if it is empty.
    pub content: Option<usize>,
}

/// A text as the reader of YAML sees it.
pub(super) struct Scan<'t> {
    pub comments: Vec<Comment<'t>>,
    pub sections: Vec<Section>,
    /// The bytes of each scalar, with its place.
    pub scalars: Vec<(Place, Range<usize>)>,
}

/// Scans a text.
pub(super) fn scan(text: &str) -> Scan<'_> {
    let mut sections: Vec<Section> = Vec::new();
    let mut scalars = Vec::new();
    let mut end = text.len();
    // Where the reader of templates begins.
    let skipped = text.len() - text.trim_start_matches('\u{feff}').len();
    for event in Parser::new_from_str(&text[skipped..]) {
        let Ok((event, span)) = event else {
            end = scalars.last().map_or(0, |(_, range): &(Place, Range<usize>)| range.end);
            break;
        };
        let line = span.start.line();
        match event {
            Event::DocumentStart(..) => {
                // What stands before the first document is part of it.
                let first = if sections.is_empty() { 1 } else { line };
                sections.push(Section { first, last: usize::MAX, content: None });
                if let [.., before, _] = sections.as_mut_slice() {
                    before.last = first - 1;
                }
            }
            Event::Scalar(..) | Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                let is_scalar = matches!(event, Event::Scalar(..));
                if let Some(section) = sections.last_mut() {
                    section.content.get_or_insert(line);
                }
                if let Some(range) = span.byte_range().filter(|_| is_scalar) {
                    let place = Place { line, column: span.start.col() + 1 };
                    scalars.push((place, range.start + skipped..range.end + skipped));
                }
            }
            _ => {}
        }
    }
    Scan { comments: comments(text, end, &scalars), sections, scalars }
}

/// The comments that begin before this byte.
fn comments<'t>(text: &'t str, end: usize, scalars: &[(Place, Range<usize>)]) -> Vec<Comment<'t>> {
    let mut scalars =
        scalars.iter().map(|(_, range)| content(text, range)).filter(|range| !range.is_empty()).peekable();
    let mut found = Vec::new();
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        for (at, _) in line.match_indices('#') {
            let byte = start + at;
            while scalars.next_if(|range| range.end <= byte).is_some() {}
            let is_inside = scalars.peek().is_some_and(|range| range.start <= byte);
            let before = line[..at].trim_start_matches('\u{feff}');
            if !is_inside && byte < end && (before.is_empty() || before.ends_with([' ', '\t'])) {
                let place = Place { line: index + 1, column: before.chars().count() + 1 };
                found.push(Comment { place, text: line[at..].trim_end(), is_alone: before.trim().is_empty() });
                break;
            }
        }
        start += line.len();
    }
    found
}

/// The bytes of a scalar without the first line of a block scalar, which may end in a comment.
fn content(text: &str, range: &Range<usize>) -> Range<usize> {
    let scalar = text.get(range.clone()).unwrap_or_default();
    let header = if scalar.starts_with(['|', '>']) { scalar.find('\n').unwrap_or(scalar.len()) } else { 0 };
    range.start + header..range.end
}

#[cfg(test)]
mod tests {
    use super::scan;

    fn comments(text: &str) -> Vec<(usize, usize, &str, bool)> {
        let comments = scan(text).comments.into_iter();
        comments.map(|one| (one.place.line, one.place.column, one.text, one.is_alone)).collect()
    }

    #[test]
    fn comments_are_those_of_yaml() {
        for (text, expected) in [
            ("a: b # c # d\n", vec![(1, 6, "# c # d", false)]),
            ("a: \"b # c\" # d\n", vec![(1, 12, "# d", false)]),
            ("a: 'b\n  # c'\n# d\n", vec![(3, 1, "# d", true)]),
            ("a: b#c\n", vec![]),
            (
                "a: | # head\n  # text\n  b # text\n# after\nb: 1\n",
                vec![(1, 6, "# head", false), (4, 1, "# after", true)],
            ),
            ("- a: >-\n    # text\n  # after\n  b: c\n", vec![(3, 3, "# after", true)]),
            ("\u{feff}# é\n{é: 1} # b", vec![(1, 1, "# é", true), (2, 8, "# b", false)]),
        ] {
            assert_eq!(comments(text), expected, "{text}");
        }
    }

    #[test]
    fn documents_are_those_of_yaml() {
        let text = "# one\n---\na: |\n  ---\n--- # second\nb: 1\n--- !x\nc: 1\n";
        let sections = scan(text).sections;
        let found: Vec<_> = sections.iter().map(|one| (one.first, one.last, one.content)).collect();
        assert_eq!(found, [(1, 4, Some(3)), (5, 6, Some(6)), (7, usize::MAX, Some(8))]);
    }
}

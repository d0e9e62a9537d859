//! "Did you mean" suggestions for misspelt names, and shortened lists of names.

use super::message::{Message, message, words};
use super::quote::quote;

/// Maximum number of names that a message lists.
const LISTED_MAX: usize = 20;

/// Words longer than this have no near names: the comparison is quadratic and the word may come
/// from a pod.
const NEAREST_MAX: usize = 64;

/// `did you mean "…"?` for the candidate that is close to the word, if one is. The candidates are
/// names that everybody may read, such as fields of the schema; a name of a pod or a template's
/// text is a value and needs [`nearest`].
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<Message> {
    nearest(word, candidates).map(|name| message!["did you mean ", words(quote(name)), "?"])
}

/// A list of the first few names, so that a message stays short.
pub(crate) fn listed(names: &[&str]) -> String {
    match names.len().saturating_sub(LISTED_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..LISTED_MAX].join(", ")),
    }
}

/// The candidate that a misspelt word most likely means: equal but for upper and lower case, else
/// the fewest edits away and not too many. An edit is a letter inserted, removed, replaced, or
/// swapped with its neighbour. Of equals the first wins.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(word, candidates, NEAREST_MAX)
}

/// As [`nearest`], and at most `most` edits away.
pub(crate) fn nearest_within<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Option<&'a str> {
    let (word, length) = lower_case(word)?;
    let tolerance = (length / 3).max(1).min(most);
    candidates
        .into_iter()
        .filter_map(|candidate| Some((lower_case(candidate)?, candidate)))
        // Each letter too many or too few is an edit.
        .filter(|((_, other), _)| other.abs_diff(length) <= tolerance)
        .map(|((other, _), candidate)| (strsim::osa_distance(&word, &other), candidate))
        .filter(|&(edits, _)| edits <= tolerance && edits < length)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, candidate)| candidate)
}

/// The word in lower case and its length in letters, unless it is empty or too long.
fn lower_case(word: &str) -> Option<(String, usize)> {
    let letters: String = word.chars().take(NEAREST_MAX + 1).flat_map(char::to_lowercase).collect();
    let length = letters.chars().count();
    (1..=NEAREST_MAX).contains(&length).then_some((letters, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let fields = ["volumeMounts", "volumes", "image", "env", "envFrom", "ports"];
        for (word, expected) in [
            ("volumMounts", Some("volumeMounts")),
            ("volumemounts", Some("volumeMounts")),
            ("imagee", Some("image")),
            ("iamge", Some("image")),
            ("envfrom", Some("envFrom")),
            ("prots", Some("ports")),
            ("evn", Some("env")),
            ("x", None),
            ("securityContext", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, fields), expected, "{word}");
        }
    }

    #[test]
    fn equal_but_for_case_beats_fewer_letters() {
        assert_eq!(nearest("ENV", ["en", "env"]), Some("env"));
    }

    #[test]
    fn the_most_edits_can_be_limited() {
        assert_eq!(nearest("log-colektr", ["log-collector"]), Some("log-collector"));
        assert_eq!(nearest_within("log-colektr", ["log-collector"], 2), None);
        assert_eq!(nearest_within("log-colectr", ["log-collector"], 2), Some("log-collector"));
    }

    #[test]
    fn very_long_words_get_no_suggestion() {
        assert_eq!(nearest(&"a".repeat(200_000), ["a"]), None);
        assert_eq!(nearest("a", [&*"a".repeat(200_000)]), None);
    }

    #[test]
    fn swapped_neighbours_are_one_edit() {
        assert_eq!(nearest("abc", ["bac"]), Some("bac"));
        assert_eq!(nearest("abc", ["bca"]), None);
        assert_eq!(nearest("kitten", ["sitting"]), None);
        assert_eq!(nearest("kittens", ["sitten"]), Some("sitten"));
    }
}

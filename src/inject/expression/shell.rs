//! Recognises `${…}` that a shell was meant to expand, to advise the escape `$${`.

use super::reads::Root;
use crate::inject::text::{Message, message, quote, value};

/// Special parameters of POSIX shells, such as the exit status `$?`.
const SPECIAL: &[u8] = b"@*#?-$!";
/// What may follow the name in an expansion of POSIX shells or bash: `${f%.log}`, `${a:-b}`.
const OPERATORS: &[u8] = b":-+=?%#/^,[@*";

/// How to write the text between `${` and `}` for a shell, if it looks like a shell's.
pub(super) fn advice(source: &str) -> Option<Message> {
    let escaped = format!("$${{{source}}}");
    is_expansion(source).then(|| message!["for the shell's own write ", value(quote(&escaped))])
}

fn is_expansion(source: &str) -> bool {
    // `${#f}` is a length, `${!f}` an indirection; `${#}` and `${!}` are special parameters.
    let name = source.strip_prefix(['#', '!']).filter(|name| !name.is_empty()).unwrap_or(source);
    let length = name.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let rest = &name.as_bytes()[length..];
    // `params['x']` is an expression, whatever is wrong with it.
    if Root::from_name(&name[..length]).is_some() && matches!(rest.first(), None | Some(b'[')) {
        return false;
    }
    match rest.first() {
        None => length > 0,
        Some(first) if length > 0 => OPERATORS.contains(first),
        Some(first) => SPECIAL.contains(first) && rest.get(1).is_none_or(|next| OPERATORS.contains(next)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansions_of_a_shell_are_recognised() {
        for source in [
            "f",
            "HOME",
            "f%.log",
            "f%%.*",
            "f#*/",
            "HOME:-/root",
            "HOME-/root",
            "x:?unset",
            "#f",
            "!f",
            "1",
            "10",
            "@",
            "*",
            "?",
            "#",
            "a[0]",
            "a[@]",
            "#a[@]",
            "f/a/b",
            "f^^",
            "f,,",
            "f@Q",
            "f:1:2",
            "A:-${B}",
        ] {
            assert!(is_expansion(source), "{source}");
        }
        for source in [
            "",
            " f",
            "ap.name",
            "params['x']",
            "pod",
            "params.x",
            "size(app)",
            "'text'",
            "f + 1",
            "(f)",
            "{a: 1}",
            "$",
            "?a",
        ] {
            assert_eq!(is_expansion(source), source == "$", "{source}");
        }
    }

    #[test]
    fn the_advice_escapes_the_whole_expansion() {
        let advice = advice("HOME:-/root").map(|advice| advice.to_string());
        assert_eq!(advice.as_deref(), Some("for the shell's own write \"$${HOME:-/root}\""));
    }
}

//! References `$(NAME)` to environment variables, as the kubelet expands them.
//!
//! Follows `third_party/forked/golang/expansion` of Kubernetes: `$$` is a literal `$`, and a
//! reference without its closing parenthesis is text.

/// The names that a text refers to, in their order.
pub(crate) fn references(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('$')? + 1..];
            if let Some(escaped) = rest.strip_prefix('$') {
                rest = escaped;
            } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|open| open.split_once(')')) {
                rest = after;
                return Some(name);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_as_the_kubelet_expands_them() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            ("plain $ $HOME ${HOME}", &[]),
            ("$(A)", &["A"]),
            ("http://$(HOST):$(PORT)/", &["HOST", "PORT"]),
            ("$$(A)", &[]),
            ("$$$(A)", &["A"]),
            ("$(A", &[]),
            ("$(A$(B)", &["A$(B"]),
            ("$()ü$(Ü)", &["", "Ü"]),
        ] {
            assert_eq!(references(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }
}

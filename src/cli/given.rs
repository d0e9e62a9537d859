//! The words of a command line that a shell completes, which clap has not read yet.

/// The values of a flag in the command line that is completed.
pub(super) fn given(flag: &str) -> Vec<String> {
    let words: Vec<String> = std::env::args_os().filter_map(|word| word.into_string().ok()).collect();
    let value = |pair: &[String]| match pair {
        [word, value] if word == flag => Some(value.clone()),
        [_, word] => word.strip_prefix(flag)?.strip_prefix('=').map(str::to_owned),
        _ => None,
    };
    words.windows(2).filter_map(value).collect()
}

//! Words of the command line that clap does not hand on: of one that a shell completes, and the name of the
//! command.

/// The command that was called, such as `inject`.
pub(super) fn command() -> Option<String> {
    std::env::args_os().nth(1)?.into_string().ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

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

//! Sidecars that ignore SIGTERM: a shell that stays the first process, or a program without a handler.
//!
//! The kernel does not deliver a signal to the first process of a PID namespace unless the process has a
//! handler. ash of busybox and bash replace themselves by the last simple command of a list; dash does not.
//! All keep running for pipelines, for `||` lists whose first commands do more than test or prepare, and for
//! compound commands. A shell runs its trap only after its command in the foreground, or during `wait`.

use super::code::Code;
use super::finding::Finding;
use super::images::{known, official};
use super::script::{LIST, Last, PIPELINE, Script, ends_at_once, is_assignment};
use super::view::{Container, View, at};

/// Programs without a handler for SIGTERM.
const WITHOUT_HANDLER: [&str; 4] = ["cat", "sleep", "tail", "tee"];

/// A warning about the first process of a sidecar.
pub(super) fn finding(view: View<'_>, container: &Container<'_>) -> Option<Finding> {
    // The first process then is the pod's pause container.
    let shared = at(view.spec(), &["pod", "shareProcessNamespace"]);
    if !container.is_sidecar || shared == true || shared.is_string() {
        return None;
    }
    let words: Vec<&str> = ["command", "args"]
        .iter()
        .filter_map(|field| at(container.value, &[field]).as_array())
        .flatten()
        .map(|word| word.as_str().unwrap_or_default())
        .collect();
    let field = if at(container.value, &["command"]).is_null() { "args" } else { "command" };
    let image = known(container.value).unwrap_or_default();
    let fault = fault(&words, field == "command", image)?;
    let message = format!("{}: {fault}", container.name());
    Some(Finding::new(Code::SigtermIgnored, view, &container.path.child(field), message))
}

/// What is wrong with a command line.
fn fault(words: &[&str], is_whole: bool, image: &str) -> Option<String> {
    let words = without_env(words);
    let program = words.first()?.rsplit('/').next()?;
    if WITHOUT_HANDLER.contains(&program) {
        // Without a command the image may have an entrypoint before the arguments.
        return is_whole.then(|| format!("{program} has no handler for SIGTERM and ignores it as the first process"));
    }
    let (shell, script) = shell_script(words)?;
    let script = Script::parse(script);
    let is_replaced = matches!(script.last, Last::Simple { is_exec: true, .. });
    let has_trap = script.has_trap || script.has_exit_trap && matches!(shell, Shell::Bash);
    if has_trap && !is_replaced {
        return is_trap_late(&script).then(|| {
            "the shell runs its trap for SIGTERM only after the command in the foreground has ended".to_owned()
        });
    }
    match script.last {
        Last::None => None,
        Last::Compound(what) => Some(format!("the shell waits for {what} and ignores SIGTERM as the first process")),
        Last::Simple { words, is_exec } => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let program = without_env(&words).first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
            let has_several = script.commands > 1 && !is_exec;
            match shell.replaces_itself(image) {
                _ if program == "wait" => Some("the shell waits and ignores SIGTERM as the first process".to_owned()),
                _ if WITHOUT_HANDLER.contains(&program) => {
                    Some(format!("{program} has no handler for SIGTERM and ignores it as the first process"))
                }
                Some(false) if has_several => Some("the shell ignores SIGTERM as the first process".to_owned()),
                None if has_several => {
                    Some("the shell may stay the first process, and then ignores SIGTERM".to_owned())
                }
                _ => None,
            }
        }
    }
}

/// Whether the shell is not at its trap before its command in the foreground has ended: it waits for none
/// in the background.
fn is_trap_late(script: &Script) -> bool {
    let is_function = |words: &[String]| words.first().is_some_and(|word| script.functions.contains(word));
    let is_main = match &script.last {
        Last::None => false,
        Last::Compound(what) => [PIPELINE, LIST].contains(what),
        Last::Simple { words, .. } => !ends_at_once(words) && !is_function(words),
    };
    !script.waits && (is_main || script.is_long)
}

/// The words after `env` with its flags and assignments, and after `busybox`.
fn without_env<'w>(mut words: &'w [&'w str]) -> &'w [&'w str] {
    while let [first, rest @ ..] = words {
        match first.rsplit('/').next().unwrap_or_default() {
            "env" => {
                let is_of_env = |word: &&&str| word.starts_with('-') || is_assignment(word);
                words = &rest[rest.iter().take_while(is_of_env).count()..];
            }
            // An applet of busybox; of its shell the name says it all.
            "busybox" if rest.first().is_some_and(|applet| !matches!(*applet, "sh" | "ash")) => words = rest,
            _ => break,
        }
    }
    words
}

enum Shell {
    /// `sh`, which is another shell in each image.
    Default,
    Ash,
    Bash,
    Dash,
}

impl Shell {
    fn of(program: &str) -> Option<Self> {
        match program.rsplit('/').next()? {
            "sh" => Some(Self::Default),
            "ash" => Some(Self::Ash),
            "bash" => Some(Self::Bash),
            "dash" => Some(Self::Dash),
            _ => None,
        }
    }

    /// Whether it replaces itself by the last command of a list; `None` if the image does not tell.
    fn replaces_itself(&self, image: &str) -> Option<bool> {
        let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map_or("", |(_, tag)| tag);
        match (self, official(image)) {
            (Self::Ash | Self::Bash, _) => Some(true),
            (Self::Dash, _) => Some(false),
            _ if ["alpine", "busybox", "musl"].iter().any(|name| tag.contains(name)) => Some(true),
            (Self::Default, Some("alpine" | "busybox" | "bash" | "fedora" | "almalinux" | "rockylinux")) => Some(true),
            (Self::Default, Some("debian" | "ubuntu")) => Some(false),
            (Self::Default, _) => None,
        }
    }
}

/// The shell and the script of `sh [FLAGS] -c [FLAGS] SCRIPT`.
fn shell_script<'w>(words: &'w [&'w str]) -> Option<(Shell, &'w str)> {
    let (shell, mut rest) = match words {
        [busybox, "sh" | "ash", rest @ ..] if busybox.rsplit('/').next() == Some("busybox") => (Shell::Ash, rest),
        [shell, rest @ ..] => (Shell::of(shell)?, rest),
        [] => return None,
    };
    let mut is_script = false;
    while let [flag, after @ ..] = rest {
        let is_long = flag.starts_with("--");
        match flag.strip_prefix(['-', '+']) {
            Some(letters) if !letters.is_empty() => {
                is_script |= !is_long && letters.contains('c');
                // `-o pipefail`.
                let has_value = !is_long && letters.ends_with('o');
                rest = after.get(usize::from(has_value)..).unwrap_or_default();
            }
            _ => break,
        }
    }
    rest.first().filter(|_| is_script).map(|script| (shell, *script))
}

#[cfg(test)]
mod tests {
    use super::fault;

    fn of(words: &[&str], image: &str) -> Option<String> {
        fault(words, true, image)
    }

    #[test]
    fn shells_that_stay_and_shells_that_replace_themselves() {
        let busybox = "docker.io/library/busybox:1.37";
        for (script, is_kept) in [
            ("serve", false),
            ("prepare; serve", false),
            ("prepare && serve", false),
            ("prepare\nserve # | not a pipeline\n", false),
            ("serve | cut -c 1-9", true),
            ("serve || true", true),
            ("while true; do serve; done", true),
            ("for a in b; do serve; done", true),
            ("case $A in a) serve ;; esac", true),
            ("if a; then exec b; else exec c; fi", false),
            ("if a; then b; fi", true),
            ("while a; do b; done </x", true),
            ("f() { a | b; }\nf", false),
            ("a | b; c", false),
            ("a | b && c", false),
            ("a ||\n b\n", true),
            ("trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done", false),
            ("echo trap TERM; serve | cut -c 1", true),
            ("echo 'exec serve' | sh", true),
            ("prepare; exec serve", false),
            ("prepare; exec tail -f /log", true),
            ("prepare\nsleep infinity", true),
            ("serve & wait", true),
            ("echo \"a | b; c\"", false),
            ("serve --a \\\n  --b", false),
            ("cat <<EOF >a\nx | y\nEOF\nserve", false),
            ("serve 2>&1", false),
            ("a=$(b | c) serve", false),
            ("trap \"exit 0\" TERM; sleep 60", true),
            ("trap 'exit 0' TERM; sleep 5", false),
            ("trap 'exit 0' TERM; while true; do sleep 60; done", true),
            ("trap 'exit 0' TERM; while true; do check; sleep 5; done", false),
            ("trap 'exit 0' TERM; tail -F /log", true),
            ("trap 'exit 0' TERM; tail -n0 -F /log | grep x", true),
            ("trap 'exit 0' TERM; serve", true),
            ("trap 'exit 0' TERM; serve || exit 1", true),
            ("trap 'exit 0' term; serve & wait", false),
            ("trap 'exit 0' SigTerm; serve & wait $!; rm /run/pid", false),
            ("trap 'exit 0' TERM; exec serve", false),
            ("trap 'exit 0' TERM; main() { serve & wait; }; main", false),
            ("trap 'exit 0' TERM; main() { check; }; main", false),
            ("[ -z \"$X\" ] || true && exec agent", false),
            ("test -d /x || mkdir /x && exec agent", false),
            ("[[ -f /a || -f /b ]] && exec agent", false),
            ("[[ ( -f /a || -f /b ) && -f /c ]]; exec agent", false),
            ("exec agent || exit 1", false),
            ("[ -f /a ] || exec tail -f /log", true),
            ("agent || exit 1", true),
            ("[ -f /a ] || agent", false),
            ("[ -f /a ] || exit 1; a | b || exec c", false),
            ("exec a | b || c", true),
        ] {
            assert_eq!(of(&["sh", "-c", script], busybox).is_some(), is_kept, "{script}");
        }
    }

    #[test]
    fn lists_depend_on_the_shell() {
        let list = "prepare; serve";
        assert!(of(&["sh", "-c", list], "debian:13").is_some_and(|fault| fault.contains("ignores")));
        assert!(of(&["sh", "-c", list], "example.com/x:1").is_some_and(|fault| fault.contains("may")));
        for words in [&["bash", "-x", "-c", list][..], &["busybox", "sh", "-c", list], &["/bin/ash", "-ec", list]] {
            assert_eq!(of(words, "example.com/x:1"), None, "{words:?}");
        }
        for words in
            [&["dash", "-c", list][..], &["env", "A=b", "sh", "-e", "-c", list], &["sh", "-o", "pipefail", "-c", list]]
        {
            assert!(of(words, "example.com/x:1").is_some(), "{words:?}");
        }
        assert_eq!(of(&["sh", "/run.sh"], "debian:13"), None);
        // Only bash handles signals where it has a trap for its end.
        let trapped = "trap 'echo bye' EXIT; while true; do sleep 60 & wait $!; done";
        assert_eq!((of(&["bash", "-c", trapped], ""), of(&["ash", "-c", trapped], "").is_some()), (None, true));
        // dash does not replace itself by the last command of any list.
        for list in ["[ -f /a ] || agent", "[ -f /a ] && agent"] {
            assert!(of(&["dash", "-c", list], "").is_some() && of(&["bash", "-c", list], "").is_none(), "{list}");
        }
    }

    #[test]
    fn programs_without_a_handler() {
        assert!(of(&["/usr/bin/tail", "-f", "/log"], "").is_some());
        assert!(of(&["env", "sleep", "infinity"], "").is_some());
        assert!(of(&["busybox", "cat"], "").is_some());
        assert!(of(&["tini", "--", "sleep", "infinity"], "").is_none());
        assert!(fault(&["tail"], false, "").is_none());
    }
}

//! Errors of calls to the API server, and of kubeconfigs, on one line.
//!
//! Invariant: the text has no token, no Secret, and neither the environment nor the arguments of a
//! credential program.

use std::error::Error;

use kube::client::AuthError;
use kube::config::KubeconfigError;

use crate::inject::text::quote;

/// An error with all its causes on one line. It leaves out an unreadable response, which may be a
/// Secret, and the output of a credential program, which may be a token.
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => shortened(&status.message),
        kube::Error::SerdeError(_) => "the response of the API server cannot be read".to_owned(),
        error => shortened(&of_credentials(error).unwrap_or_else(|| chain(error))),
    }
}

/// What is wrong with a kubeconfig. A syntax error gives only its position, since the text there
/// may be a token.
pub(crate) fn explain_kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => {
            let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
            format!("it is not valid kubeconfig YAML at line {line}, column {column}")
        }
        error => chain(error),
    }
}

/// Longest explanation of an error, in characters.
const MAX_EXPLANATION: usize = 300;

/// A proxy in front of an API server may respond with an HTML page, whose line breaks mean nothing.
pub(super) fn shortened(text: &str) -> String {
    quote::one_line(&text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_EXPLANATION)
}

/// The failure of a credential program, wherever it stands among the causes.
fn of_credentials(error: &kube::Error) -> Option<String> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(AuthError::AuthExecRun { cmd, out }) => {
                let program = program(cmd).map(|program| format!(" {}", quote(&program))).unwrap_or_default();
                return Some(format!("the kubeconfig's credential program{program} failed with {}", out.status));
            }
            // The error of the parser quotes the output.
            Some(AuthError::AuthExecParse(_)) => {
                return Some("the output of the kubeconfig's credential program cannot be read".to_owned());
            }
            Some(AuthError::AuthExecStart(error)) => {
                return Some(format!("the kubeconfig's credential program cannot be started: {error}"));
            }
            _ => cause = error.source(),
        }
    }
    None
}

/// The program of a command that the standard library has printed for debugging: after the variables
/// of its environment (`NAME="value"`), before its arguments. `None` for a text of another form, which
/// may have anything at its beginning.
fn program(command: &str) -> Option<String> {
    let mut rest = command.trim_start_matches('[');
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            return Some(string(quoted)?.0);
        }
        if let Some(removed) = rest.strip_prefix("env ") {
            rest = removed;
            while let Some(option) = rest.strip_prefix("-u ") {
                rest = option.split_once(' ')?.1;
            }
            rest = rest.strip_prefix("-i ").unwrap_or(rest);
            continue;
        }
        let (name, value) = rest.split_once("=\"")?;
        if !name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.')) {
            return None;
        }
        rest = string(value)?.1.strip_prefix(' ')?;
    }
}

/// A string up to its closing quote, and what comes after it. The escapes stay as they are.
fn string(text: &str) -> Option<(String, &str)> {
    let mut is_escaped = false;
    let end = text.char_indices().find(|(_, character)| match character {
        _ if is_escaped => {
            is_escaped = false;
            false
        }
        '\\' => {
            is_escaped = true;
            false
        }
        other => *other == '"',
    });
    let (end, _) = end?;
    Some((text[..end].to_owned(), &text[end + 1..]))
}

/// Names of the layers of the HTTP client, which tell a user nothing.
const LAYERS: [&str; 4] = ["ServiceError", "client error (Connect)", "client error (SendRequest)", "tcp connect error"];

/// An error and its causes, without repetitions and names of layers.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let whole = error.to_string();
        let mut more = whole.as_str();
        while let Some(rest) = LAYERS.iter().find_map(|layer| more.strip_prefix(layer)) {
            more = rest.trim_start_matches(": ");
        }
        // How the library calls the end of a timeout.
        let more = if more == "deadline has elapsed" { "no response in time" } else { more };
        if !more.is_empty() && !text.contains(more) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(more);
        }
        cause = error.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_unreadable_response_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"secret\"").expect_err("no number");
        assert!(error.to_string().contains("secret"), "{error}");
        assert!(!explain(&kube::Error::SerdeError(error)).contains("secret"));
    }

    #[test]
    fn an_html_page_becomes_one_line() {
        let page = format!("<html>\n<body>\r\n\t{}</body>", "gateway timeout ".repeat(1000));
        let status = kube::core::Status::failure(&page, "No").with_code(502).boxed();
        let explained = explain(&kube::Error::Api(status));
        assert!(explained.starts_with("<html> <body> gateway timeout") && explained.ends_with('…'), "{explained}");
        assert!(explained.chars().count() == 300 && !explained.contains(char::is_control), "{explained}");
    }

    /// The library prints the command as here, with its environment and arguments.
    #[test]
    fn a_credential_program_is_told_by_its_name_and_exit_status_alone() {
        let mut command = Command::new("sh");
        command.env("AWS_SECRET", "canary \" =\"x\" \"y").env("EMPTY", "").env_remove("DROPPED");
        command.args(["-c", "echo canary; exit 3", "--password=canary"]);
        let out = Box::new(command.output().expect("a shell"));
        let failed = || AuthError::AuthExecRun { cmd: format!("{command:?}"), out: out.clone() };
        assert!(failed().to_string().contains("--password=canary"), "the test shows nothing");
        for error in [kube::Error::Auth(failed()), kube::Error::Service(Box::new(failed()))] {
            let explained = explain(&error);
            assert_eq!(explained, "the kubeconfig's credential program \"sh\" failed with exit status: 3");
        }
    }

    #[test]
    fn a_command_of_another_form_is_left_out() {
        for (command, expected) in [
            ("\"aws\" \"eks\"", Some("aws")),
            ("A=\"1\" \"/bin/aws\"", Some("/bin/aws")),
            ("env -u A -u B C=\"2\" \"aws\"", Some("aws")),
            ("aws --password=canary", None),
            ("A B=\"canary\" \"aws\"", None),
            ("A=\"canary", None),
            ("", None),
        ] {
            assert_eq!(program(command).as_deref(), expected, "{command}");
        }
    }

    #[test]
    fn the_output_of_a_credential_program_is_not_quoted() {
        let parsed = serde_saphyr::from_str::<u8>("token: canary").expect_err("no number");
        let explained = explain(&kube::Error::Auth(AuthError::AuthExecParse(Box::new(parsed))));
        assert!(explained.contains("credential program cannot be read"), "{explained}");
        assert!(!explained.contains("canary"), "{explained}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] std::io::Error);

    #[test]
    fn each_cause_is_given_once_and_layers_are_left_out() {
        let explained = |layer: &'static str, cause: &'static str| {
            explain(&kube::Error::Service(Box::new(Layer(layer, std::io::Error::other(cause)))))
        };
        assert_eq!(explained("refused", "refused"), "refused");
        assert_eq!(explained("client error (Connect)", "tcp connect error"), "ServiceError: client error (Connect)");
        assert_eq!(explained("client error (Connect)", "Connection refused"), "Connection refused");
        assert_eq!(explained("client error (Connect)", "deadline has elapsed"), "no response in time");
        assert_eq!(explained("tcp connect error", "tcp connect error: no route"), "no route");
    }

    #[test]
    fn a_syntax_error_of_a_kubeconfig_is_one_line_without_the_text() {
        let parsed = serde_saphyr::from_str::<u8>("users:\n- token: [canary").expect_err("no YAML");
        let explained = explain_kubeconfig(&KubeconfigError::Parse(Box::new(parsed)));
        assert!(explained.contains("at line ") && !explained.contains(['\n']), "{explained}");
        assert!(!explained.contains("canary"), "{explained}");
    }
}

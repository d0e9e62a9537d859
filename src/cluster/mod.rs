//! What Outrigger puts into, and reads from, a cluster.
//!
//! Everything here happens beside the requests and never in their path: it ends in memory, from where requests are answered. A watch
//! that breaks is taken up again, and what was known before is good until then.
//! Invariant: nothing is ever created, and nothing is written but three objects that are there by name: the Lease, the two Secrets;
//! and `caBundle` of one webhook configuration.

mod background;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod jitter;
pub mod leader;
pub(crate) mod namespaces;
mod task;
mod watching;

use kube::client::AuthError;

use crate::inject::text::quote;

pub use background::{BackgroundSettings, BackgroundTasks, start};

/// What we own in the cluster, by name; all of it is there before we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Of the Secrets and the Lease.
    pub namespace: String,
    pub webhook_configuration: String,
    pub ca_secret: String,
    pub serving_secret: String,
    pub lease: String,
}

/// An error with all its causes on one line. What an answer said is left out where it could not be read: it may be a Secret; and so
/// is what a program has printed that was asked for a token.
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => one_line(&status.message),
        kube::Error::SerdeError(_) => "the response of the API server cannot be read".to_owned(),
        kube::Error::Auth(AuthError::AuthExecRun { cmd, out }) => {
            one_line(&format!("the kubeconfig's credential program {cmd:?} failed with {}", out.status))
        }
        error => one_line(&chain(error)),
    }
}

/// Longest explanation of an error, in characters.
const MAX_EXPLANATION: usize = 300;

/// A proxy in front of an API server may respond with an HTML page of its own, whose line breaks mean nothing.
fn one_line(text: &str) -> String {
    quote::one_line(&text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_EXPLANATION)
}

/// An error and its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_said_is_not_repeated() {
        let error = serde_json::from_str::<u8>("\"secret\"").expect_err("no number");
        assert!(error.to_string().contains("secret"), "{error}");
        assert!(!explain(&kube::Error::SerdeError(error)).contains("secret"));
    }

    #[test]
    fn a_page_of_somebody_else_is_one_line_and_a_token_is_none() {
        let page = format!("<html>\n<body>\r\n\t{}</body>", "gateway timeout ".repeat(1000));
        let status = kube::core::Status::failure(&page, "No").with_code(502).boxed();
        let said = explain(&kube::Error::Api(status));
        assert!(said.starts_with("<html> <body> gateway timeout") && said.ends_with('…'), "{said}");
        assert!(said.chars().count() == 300 && !said.contains(char::is_control), "{said}");
        let out = std::process::Command::new("sh").args(["-c", "echo canary; exit 3"]).output().expect("a shell");
        let said = explain(&kube::Error::Auth(AuthError::AuthExecRun { cmd: "aws".to_owned(), out: Box::new(out) }));
        assert!(said.contains("\"aws\"") && said.contains('3') && !said.contains("canary"), "{said}");
    }

    #[test]
    fn causes_are_said_once() {
        let inner = std::io::Error::other("refused");
        let error = kube::Error::Service(Box::new(inner));
        let text = explain(&error);
        assert_eq!(text.matches("refused").count(), 1, "{text}");
    }
}

//! Reads from and writes to a Kubernetes cluster, in the background.
//!
//! No request waits for the API server: background tasks keep the data in memory that requests
//! need. A watch that fails is resumed, and the last known data is used until then.
//! Invariant: the program creates no object but Events, and writes only to existing ones: by name
//! the Lease, the two Secrets, and `caBundle` of two webhook configurations; of template objects
//! only the status.

mod background;
pub(crate) mod certificates;
pub(crate) mod client;
mod events;
pub(crate) mod jitter;
pub mod leader;
pub(crate) mod namespaces;
mod task;
pub mod templates;
mod watching;

use kube::client::AuthError;

use crate::inject::text::quote;

pub use background::{BackgroundSettings, BackgroundTasks, start};
pub use events::EventQueue;

/// Names of the objects that this program writes; an installation creates all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Namespace of the Secrets and the Lease.
    pub namespace: String,
    /// The MutatingWebhookConfiguration and the ValidatingWebhookConfiguration.
    pub webhook_configuration: String,
    /// The Secret of the certificate authorities.
    pub ca_secret: String,
    /// The Secret of the serving certificate.
    pub serving_secret: String,
    /// The Lease of the leader election.
    pub lease: String,
}

/// An error with all its causes on one line. It leaves out an unreadable response, which may be a
/// Secret, and the output of a credential program, which may be a token.
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => shortened(&status.message),
        kube::Error::SerdeError(_) => "the response of the API server cannot be read".to_owned(),
        kube::Error::Auth(AuthError::AuthExecRun { cmd, out }) => {
            shortened(&format!("the kubeconfig's credential program {cmd:?} failed with {}", out.status))
        }
        // The name of the layer tells nobody anything.
        error => shortened(chain(error).trim_start_matches("ServiceError: ")),
    }
}

/// Longest explanation of an error, in characters.
const MAX_EXPLANATION: usize = 300;

/// A proxy in front of an API server may respond with an HTML page, whose line breaks mean nothing.
fn shortened(text: &str) -> String {
    quote::one_line(&text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_EXPLANATION)
}

/// An error and its causes, without repetitions.
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
    fn an_unreadable_response_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"secret\"").expect_err("no number");
        assert!(error.to_string().contains("secret"), "{error}");
        assert!(!explain(&kube::Error::SerdeError(error)).contains("secret"));
    }

    #[test]
    fn an_html_page_becomes_one_line_and_a_token_is_not_quoted() {
        let page = format!("<html>\n<body>\r\n\t{}</body>", "gateway timeout ".repeat(1000));
        let status = kube::core::Status::failure(&page, "No").with_code(502).boxed();
        let explained = explain(&kube::Error::Api(status));
        assert!(explained.starts_with("<html> <body> gateway timeout") && explained.ends_with('…'), "{explained}");
        assert!(explained.chars().count() == 300 && !explained.contains(char::is_control), "{explained}");
        let out = std::process::Command::new("sh").args(["-c", "echo canary; exit 3"]).output().expect("a shell");
        let explained =
            explain(&kube::Error::Auth(AuthError::AuthExecRun { cmd: "aws".to_owned(), out: Box::new(out) }));
        assert!(
            explained.contains("\"aws\"") && explained.contains('3') && !explained.contains("canary"),
            "{explained}"
        );
    }

    #[test]
    fn each_cause_is_given_once() {
        let inner = std::io::Error::other("refused");
        let error = kube::Error::Service(Box::new(inner));
        let text = explain(&error);
        assert_eq!(text.matches("refused").count(), 1, "{text}");
    }
}

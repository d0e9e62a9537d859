//! Prepares what `--dev` gives the user: hosts for the certificate, a sample review, and a command
//! to paste.
//!
//! Invariant: standard output as a whole can be pasted into a shell; everything but the command is
//! a comment.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;

use super::shell_word;
use crate::admission::MUTATE_PATH;
use crate::config::{CertificateSettings, Config, Host};
use crate::tls::self_signed::{CA_CERTIFICATE, SAMPLE};

/// A review of a pod that requests the built-in `log-collector`.
const SAMPLE_REVIEW: &str = include_str!("../../config/examples/review.json");

/// The hosts of the certificate: this machine, the listen address, and the user's additions.
pub(super) fn hosts(extra: &[Host], listen: SocketAddr) -> Vec<String> {
    let mut hosts = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    let listened = Some(listen.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
    for host in listened.into_iter().chain(extra.iter().map(ToString::to_string)) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// Writes the sample review next to the certificate and returns the command that sends it; `None`
/// without `--dev`.
pub(super) fn announcement(config: &Config, listening: SocketAddr) -> anyhow::Result<Option<String>> {
    let CertificateSettings::Dev { directory, .. } = &config.certificate else { return Ok(None) };
    let (ca, review) = (directory.join(CA_CERTIFICATE), directory.join(SAMPLE));
    // A complete directory may be read-only.
    if std::fs::read_to_string(&review).ok().as_deref() != Some(SAMPLE_REVIEW) {
        std::fs::write(&review, SAMPLE_REVIEW).with_context(|| format!("cannot write the sample review {review:?}"))?;
    }
    Ok(Some(text(&ca, &review, listening)))
}

fn text(ca: &Path, review: &Path, listening: SocketAddr) -> String {
    let (ca, review, url) = (shell_word(ca), shell_word(review), url(listening));
    format!(
        "# The webhook listens at {url}; the CA in {ca} signed its certificate. To try it:\n\
         curl --silent --show-error --cacert {ca} --header 'Content-Type: application/json' --data-binary @{review} '{url}'\n"
    )
}

fn url(listening: SocketAddr) -> String {
    let mut address = listening;
    if address.ip().is_unspecified() {
        // The unspecified address includes the loopback address, which the certificate covers.
        let is_v4 = address.is_ipv4();
        address.set_ip(if is_v4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) });
    }
    format!("https://{address}{MUTATE_PATH}")
}

/// Writes to standard output. A missing reader is no reason to stop serving.
pub(super) fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_certificate_covers_this_machine_and_the_listen_address() {
        let extra = [Host::Name("web.local".to_owned()), Host::Name("localhost".to_owned())];
        assert_eq!(hosts(&extra, address("0.0.0.0:1")), ["localhost", "127.0.0.1", "::1", "web.local"]);
        assert_eq!(hosts(&[], address("192.0.2.1:1")), ["localhost", "127.0.0.1", "::1", "192.0.2.1"]);
    }

    #[test]
    fn the_printed_url_is_reachable_from_this_machine() {
        assert_eq!(url(address("0.0.0.0:9443")), "https://127.0.0.1:9443/mutate");
        assert_eq!(url(address("[::]:9443")), "https://[::1]:9443/mutate");
        assert_eq!(url(address("192.0.2.1:1")), "https://192.0.2.1:1/mutate");
    }

    #[test]
    fn the_announcement_is_a_comment_and_a_command() {
        let text = text(Path::new(".outrigger/ca.crt"), Path::new(".outrigger/review.json"), address("127.0.0.1:9443"));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("# ") && lines[1].starts_with("curl "), "{text}");
    }

    #[test]
    fn the_sample_review_requests_injection() {
        let review: serde_json::Value = serde_json::from_str(SAMPLE_REVIEW).expect("JSON");
        assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(review["request"]["object"]["metadata"]["annotations"]["outrigger.dev/inject"], "log-collector");
    }
}

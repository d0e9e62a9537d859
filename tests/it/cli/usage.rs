//! Wrong usage, help, and what `generate webhook` prints.

use std::process::Stdio;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::{Workspace, documents, outrigger, service};

#[test]
fn wrong_usage_ends_with_2() {
    let workspace = Workspace::new();
    for arguments in [
        &["inject"][..],
        &["inject", "-f", "-", "--no-such-flag"],
        &["no-such-command"],
        &["inject", "-f", "-", "-o", "xml"],
        &["generate"],
    ] {
        let ran = workspace.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn help_of_every_command_starts_with_examples() {
    let workspace = Workspace::new();
    let generate = [&["generate"][..], &["generate", "webhook"], &["generate", "schema"]];
    for command in [&[][..], &["inject"], &["uninject"], &["serve"]].into_iter().chain(generate) {
        let help = workspace.run(&[command, &["--help"]].concat()).done();
        let place = |part: &str| help.find(part).unwrap_or_else(|| panic!("{command:?} lacks {part:?}: {help}"));
        let examples = &help[place("Examples:")..place("Usage:")];
        let pasted: Vec<&str> = examples.lines().filter(|line| line.starts_with("    ")).collect();
        assert!(!pasted.is_empty(), "{command:?}");
        // A longer one would be broken in two on an ordinary terminal.
        assert!(pasted.iter().all(|line| line.len() <= 80 && !line.ends_with(' ')), "{pasted:?}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(Workspace::new().run(&["--version"]).done(), concat!("outrigger ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let objects: String = (0..3000).map(|index| format!("---\n{}\n", service(&format!("web-{index}")))).collect();
    let workspace = Workspace::new();
    workspace.file("many.yaml", objects);
    let mut child = outrigger()
        .args(["uninject", "-f", "many.yaml"])
        .current_dir(&workspace.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

// --- generate

#[test]
fn the_webhook_configuration_is_printed() {
    let workspace = Workspace::new();
    let url = "https://127.0.0.1:9443/mutate";
    let printed = documents(&workspace.run(&["generate", "webhook", "--url", url]).done());
    let kinds: Vec<&Value> = printed.iter().map(|printed| &printed["kind"]).collect();
    assert_eq!(kinds, ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]);
    for webhook in printed[0]["webhooks"].as_array().expect("a list") {
        assert_eq!(webhook["clientConfig"], json!({"url": url}));
    }
    assert_eq!(printed[1]["webhooks"][0]["clientConfig"], json!({"url": "https://127.0.0.1:9443/advise"}));
    let arguments = ["generate", "webhook", "--url", url, "--no-advice", "--name", "sidecars"];
    let printed = documents(&workspace.run(&arguments).done());
    assert_eq!((printed.len(), &printed[0]["metadata"]["name"]), (2, &json!("sidecars")));
    let webhooks = printed[1]["webhooks"].as_array().expect("a list");
    assert_eq!((webhooks.len(), &webhooks[0]["name"]), (1, &json!("templates.outrigger.dev")));
}

#[test]
fn the_certificates_of_all_files_are_the_ca_bundle() {
    let workspace = Workspace::new();
    let certificates = ["old", "new"].map(|name| {
        let certificate = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate").cert.pem();
        workspace.file(&format!("{name}.crt"), &certificate);
        certificate.replace("\r\n", "\n")
    });
    let arguments = ["--url", "https://127.0.0.1:9443/mutate", "--ca-file", "old.crt", "--ca-file", "new.crt"];
    let printed = documents(&workspace.run(&[&["generate", "webhook"], &arguments[..]].concat()).done());
    let bundle = printed[0]["webhooks"][0]["clientConfig"]["caBundle"].as_str().expect("text");
    let bundle = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, bundle).expect("base64");
    assert_eq!(String::from_utf8_lossy(&bundle).replace("\r\n", "\n"), certificates.concat());
}

#[test]
fn a_url_that_the_api_server_would_refuse_is_wrong_usage() {
    let ran = Workspace::new().run(&["generate", "webhook", "--url", "http://127.0.0.1/mutate"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("https://"), "{}", ran.stderr);
}

#[test]
fn files_without_certificates_are_all_refused() {
    let workspace = Workspace::new();
    workspace.file("empty.pem", "");
    workspace.file("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let url = ["generate", "webhook", "--url", "https://a/mutate"];
    let files = ["--ca-file", "empty.pem", "--ca-file", "key.pem", "--ca-file", "missing.pem"];
    assert_eq!(
        workspace.run(&[&url[..], &files].concat()).failed(),
        [
            "error: empty.pem: contains no certificate, expected at least one in PEM",
            "error: key.pem: contains a private key, expected certificates alone",
            "error: missing.pem: there is no such file or directory",
        ]
    );
}

//! The log of the real binary: a slow or absent reader loses lines, but delays neither responses
//! nor shutdown.

use std::io::{PipeReader, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::client_config;
use crate::support::{Client, Process, eventually, pod, review};

const ARGUMENTS: [&str; 5] =
    ["serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json"];

/// A process whose log is not read any more, and its two addresses.
struct Unread {
    process: Process,
    log: PipeReader,
    client: Client,
    admin: SocketAddr,
    directory: tempfile::TempDir,
}

fn unread() -> Unread {
    let directory = tempfile::tempdir().expect("a directory");
    let (process, mut log) = Process::start_with_pipe(directory.path(), &ARGUMENTS);
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains("\"ready\"") {
        let count = log.read(&mut buffer).expect("the log");
        assert!(count > 0, "the process ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let listening = lines.into_iter().find(|line| line["message"] == "listening").expect("a line");
    let address = |listener: &str| listening[listener].as_str().and_then(|text| text.parse().ok()).expect("an address");
    let ca = std::fs::read(directory.path().join(".outrigger/ca.crt")).expect("an authority");
    let client = Client::connect(address("webhook"), Arc::new(client_config(&ca))).expect("a connection");
    Unread { process, log, client, admin: address("admin"), directory }
}

impl Unread {
    /// Posts a pod with a long log line.
    fn post(&mut self) {
        let annotations: serde_json::Map<_, _> = (0..16)
            .map(|number| (format!("log-collector.outrigger.dev/{}{number}", "x".repeat(60)), json!("1")))
            .chain([("outrigger.dev/inject".to_owned(), json!("log-collector"))])
            .collect();
        let mut review = review(&pod(&annotations.into()));
        review["request"]["uid"] = "u".repeat(250).into();
        let answer = self.client.post(review.to_string().as_bytes());
        assert_eq!((answer.status, &answer.json()["response"]["allowed"]), (200, &json!(false)));
    }

    fn dropped(&self) -> u64 {
        let metrics = Client::connect_plain(self.admin).expect("a connection").get("/metrics").text();
        let count = metrics.lines().find_map(|line| line.strip_prefix("outrigger_log_lines_dropped_total "));
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count in {metrics}"))
    }

    /// Posts until lines are lost.
    fn post_until_lines_are_lost(&mut self) -> u64 {
        for _ in 0..40 {
            (0..100).for_each(|_| self.post());
            if self.dropped() > 0 {
                return self.dropped();
            }
        }
        panic!("no line was lost");
    }
}

/// The pipe holds 64 KiB, the process some more; after that only log lines are lost.
#[test]
fn an_unread_log_delays_neither_responses_nor_shutdown() {
    let mut unread = unread();
    let start = Instant::now();
    (0..500).for_each(|_| unread.post());
    assert!(start.elapsed() < Duration::from_secs(60), "500 answers took {:?}", start.elapsed());
    assert!(unread.post_until_lines_are_lost() > 0);
    unread.process.signal("TERM");
    assert_eq!(unread.process.wait().code(), Some(0));
    drop(unread.directory);
}

/// A reader that continues sees the gap and its size.
#[test]
fn a_log_that_is_read_again_reports_the_number_of_lost_lines() {
    let mut unread = unread();
    let lost = unread.post_until_lines_are_lost();
    let mut log = unread.log;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        log.read_to_end(&mut text).expect("the log");
        String::from_utf8(text).expect("UTF-8")
    });
    // Queued lines are written in one batch, followed by the notice.
    let (admin, mut client) = (unread.admin, unread.client);
    client.post(b"{}");
    eventually("an answer of the admin listener", || {
        Client::connect_plain(admin).is_ok_and(|mut client| client.get("/livez").status == 200)
    });
    unread.process.signal("TERM");
    assert_eq!(unread.process.wait().code(), Some(0));
    let text = reader.join().expect("the reader ends");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let told: u64 = lines
        .iter()
        .filter(|line| {
            line["message"].as_str().is_some_and(|message| message.starts_with("lines of the log were lost"))
        })
        .map(|line| line["lines"].as_u64().expect("a count"))
        .sum();
    // The first line after the pause may still have been dropped.
    assert!((lost..=lost + 1).contains(&told), "{told} told, {lost} lost");
    assert!(lines.iter().any(|line| line["message"] == "ended"), "{:?}", lines.last());
}

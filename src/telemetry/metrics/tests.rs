//! What the metrics count, and how they are written.

use super::by_template::MAX_NAMES;
use super::*;

fn record(result: ReviewResult) -> Record {
    Record { result, errors: Vec::new(), ..Record::failed(ProtocolError::Panic) }
}

fn injected(template: String) -> Record {
    Record { templates: vec![template], ..record(ReviewResult::Injected) }
}

fn rendered(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render().expect("the metrics have a text")).expect("the text is UTF-8")
}

fn has_lines(metrics: &Metrics, lines: &[&str]) {
    let text = rendered(metrics);
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} is missing in\n{text}");
    }
}

#[test]
fn enums_are_indexed_by_their_order() {
    assert!(ReviewResult::ALL.iter().enumerate().all(|(index, result)| *result as usize == index));
    assert!(ErrorCode::ALL.iter().enumerate().all(|(index, code)| *code as usize == index));
    assert!(SkipReason::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
    assert!(ConnectionEnd::ALL.iter().enumerate().all(|(index, end)| *end as usize == index));
    assert!(Reload::ALL.iter().enumerate().all(|(index, result)| *result as usize == index));
    assert!(CertificateKind::ALL.iter().enumerate().all(|(index, certificate)| *certificate as usize == index));
}

#[test]
fn closed_sets_start_at_zero() {
    let lines = [
        "outrigger_admission_requests_total{dry_run=\"true\",result=\"denied\"} 0",
        "outrigger_admission_skips_total{reason=\"mirror_pod\"} 0",
        "outrigger_admission_errors_total{code=\"conflict\"} 0",
        "outrigger_admission_errors_total{code=\"body_too_large\"} 0",
        "outrigger_injections_total{template=\"other\"} 0",
        "outrigger_templates{state=\"active\"} 0",
        "outrigger_templates{state=\"invalid\"} 0",
        "outrigger_templates{state=\"orphaned\"} 0",
        "outrigger_template_warnings 0",
        "outrigger_connections_closed_total{reason=\"took_too_long\"} 0",
        "outrigger_template_reloads_total{result=\"success\"} 0",
        "outrigger_certificate_rotations_total{result=\"error\"} 0",
        "outrigger_certificate_expiry_timestamp_seconds{certificate=\"ca\"} 0",
        "outrigger_admission_request_duration_seconds_bucket{le=\"0.005\"} 0",
        "outrigger_log_lines_dropped_total 0",
    ];
    has_lines(&Metrics::new().expect("the names are unique"), &lines);
}

#[test]
fn a_request_is_counted_once_with_its_reasons_and_codes() {
    let metrics = Metrics::new().expect("the names are unique");
    let reasons = vec![SkipReason::OptedOut, SkipReason::NamespaceExcluded];
    metrics.observe(&Record { reasons, ..record(ReviewResult::Skipped) }, Duration::from_millis(1));
    metrics
        .observe(&Record { errors: vec!["conflict"], dry_run: true, ..record(ReviewResult::Denied) }, Duration::ZERO);
    let lines = [
        "outrigger_admission_requests_total{dry_run=\"false\",result=\"skipped\"} 1",
        "outrigger_admission_requests_total{dry_run=\"true\",result=\"denied\"} 1",
        "outrigger_admission_skips_total{reason=\"opted_out\"} 1",
        "outrigger_admission_skips_total{reason=\"namespace_excluded\"} 1",
        "outrigger_admission_errors_total{code=\"conflict\"} 1",
        "outrigger_admission_request_duration_seconds_count 2",
    ];
    has_lines(&metrics, &lines);
}

#[test]
fn errors_are_counted_by_template_and_their_names_are_bounded() {
    let metrics = Metrics::new().expect("the names are unique");
    let of =
        |template: String, code| Record { template_errors: vec![(template, code)], ..record(ReviewResult::Denied) };
    metrics.observe(&of("t0".to_owned(), ErrorCode::Conflict), Duration::ZERO);
    has_lines(
        &metrics,
        &[
            "outrigger_template_errors_total{code=\"conflict\",template=\"t0\"} 1",
            "outrigger_template_errors_total{code=\"result_invalid\",template=\"t0\"} 0",
        ],
    );
    for number in 0..MAX_NAMES + 5 {
        metrics.observe(&of(format!("t{number}"), ErrorCode::Conflict), Duration::ZERO);
    }
    has_lines(
        &metrics,
        &[
            "outrigger_template_errors_total{code=\"conflict\",template=\"t0\"} 2",
            "outrigger_template_errors_total{code=\"conflict\",template=\"other\"} 5",
        ],
    );
}

#[test]
fn what_is_reloaded_is_counted_by_result() {
    let metrics = Metrics::new().expect("the names are unique");
    metrics.templates_reloaded(Reload::Error);
    metrics.certificate_rotated(Reload::Success);
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    metrics.certificate_valid(CertificateKind::Ca, at(2), at(9));
    let lines = [
        "outrigger_template_reloads_total{result=\"error\"} 1",
        "outrigger_certificate_rotations_total{result=\"success\"} 1",
        "outrigger_certificate_expiry_timestamp_seconds{certificate=\"ca\"} 9",
        "outrigger_certificate_lifetime_seconds{certificate=\"ca\"} 7",
    ];
    has_lines(&metrics, &lines);
}

#[test]
fn names_of_templates_are_bounded() {
    let metrics = Metrics::new().expect("the names are unique");
    for number in 0..MAX_NAMES + 5 {
        metrics.observe(&injected(format!("t{number}")), Duration::ZERO);
    }
    metrics.observe(&injected("other".to_owned()), Duration::ZERO);
    metrics.observe(&injected("t0".to_owned()), Duration::ZERO);
    let lines = ["outrigger_injections_total{template=\"other\"} 6", "outrigger_injections_total{template=\"t0\"} 2"];
    has_lines(&metrics, &lines);
    assert_eq!(rendered(&metrics).matches("outrigger_injections_total{").count(), MAX_NAMES + 1);
}

#[test]
fn loaded_templates_start_at_zero_where_there_is_room_for_all() {
    let metrics = Metrics::new().expect("the names are unique");
    metrics.injections.announce(["a", "b", "other"].into_iter());
    let lines = [
        "outrigger_injections_total{template=\"a\"} 0",
        "outrigger_injections_total{template=\"b\"} 0",
        "outrigger_injections_total{template=\"other\"} 0",
    ];
    has_lines(&metrics, &lines);
    let many: Vec<String> = (0..MAX_NAMES).map(|number| format!("t{number}")).collect();
    metrics.injections.announce(many.iter().map(String::as_str));
    assert!(!rendered(&metrics).contains("template=\"t1\""));
    metrics.observe(&injected("t199".to_owned()), Duration::ZERO);
    has_lines(&metrics, &["outrigger_injections_total{template=\"t199\"} 1"]);
}

#[test]
fn gauges_count_what_is_held() {
    let metrics = Metrics::new().expect("the names are unique");
    let held = (metrics.enter(), metrics.connect());
    metrics.in_flight_bytes().add(4);
    metrics.shed();
    metrics.connection_closed(ConnectionEnd::Refused);
    let lines = [
        "outrigger_admission_in_flight 1",
        "outrigger_connections 1",
        "outrigger_connections_closed_total{reason=\"refused\"} 1",
        "outrigger_admission_in_flight_bytes 4",
        "outrigger_admission_shed_total 1",
    ];
    has_lines(&metrics, &lines);
    drop(held);
    has_lines(&metrics, &["outrigger_admission_in_flight 0", "outrigger_connections 0"]);
}

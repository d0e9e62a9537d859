//! Certificates and what the API server trusts.

use super::*;

pub(super) const ROWS: &[Row] = &[
    // Certificates.
    (
        "no bundle",
        |observations| set_bundle(observations, None),
        &[Code::BundleEmpty],
        "no caBundle in entries \"pods.inject.outrigger.dev\", \"namespaces.inject.outrigger.dev\"",
    ),
    (
        "a URL beside a Deployment",
        by_url,
        &[Code::Drift],
        "calls https://outrigger.outrigger-system.svc:9443/mutate, expected a Service",
    ),
    (
        "an entry of somebody else",
        |observations| {
            let mut entry = entries(observations)[0].clone();
            entry.name = "pods.elsewhere.example".into();
            entries(observations).push(entry);
        },
        &[Code::Drift],
        "has an entry \"pods.elsewhere.example\", which is not ours and calls Service outrigger-system/outrigger:443/mutate",
    ),
    (
        "by a URL the system's certificates are trusted",
        |observations| {
            by_url(observations);
            observations.deployments = Lookup::Found(Vec::new());
            set_bundle(observations, None);
        },
        &[],
        "calls https://",
    ),
    (
        "no certificate in the bundle",
        |observations| set_bundle(observations, Some(b"garbage")),
        &[Code::BundleInvalid],
        "contains no certificate that can be read",
    ),
    (
        "wrong bundle",
        |observations| {
            let other = other_authority(AuthorityKind::Cluster);
            set_bundle(observations, Some(other.certificate().pem().as_bytes()));
            refusal(
                observations,
                &failed("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
            );
        },
        &[Code::WrongBundle, Code::CallUntrusted],
        "the caBundle of entries \"pods.inject.outrigger.dev\", \"namespaces.inject.outrigger.dev\" does not cover the certificate of pod a, pod b",
    ),
    (
        "wrong bundle in one entry",
        |observations| expect_in_bundle(observations, 1, &other_authority(AuthorityKind::Cluster)),
        &[Code::WrongBundle],
        "the caBundle of entry \"namespaces.inject.outrigger.dev\" does not cover",
    ),
    (
        "a bundle with more in it",
        |observations| {
            let other = other_authority(AuthorityKind::Cluster).certificate().pem();
            let both = format!("{other}{}", CERTIFICATES.authority.certificate().pem());
            set_bundle(observations, Some(both.as_bytes()));
        },
        &[],
        "caBundle covers the certificates of pod a, pod b (until ",
    ),
    (
        "one replica serves what nobody trusts",
        |observations| {
            let other = other_authority(AuthorityKind::Cluster);
            observations.served[1].chain = Ok(leaf(&other, "outrigger.outrigger-system.svc", CERTIFICATES.now, DAY));
        },
        &[Code::WrongBundle],
        "does not cover the certificate of pod b",
    ),
    (
        "a certificate for another name",
        |observations| serve(observations, leaf(&CERTIFICATES.authority, "other.svc", CERTIFICATES.now, 7 * DAY)),
        &[Code::WrongName],
        "is not for \"outrigger.outrigger-system.svc\"",
    ),
    (
        "expired leaf",
        |observations| {
            observations.now = CERTIFICATES.now + 8 * DAY;
            refusal(observations, &failed("x509: certificate has expired or is not yet valid: current time …"));
        },
        &[Code::LeafExpired, Code::CallExpired],
        "the certificate of pod a, pod b has expired on 2",
    ),
    (
        "a clock that is behind",
        |observations| observations.now = CERTIFICATES.now - DAY,
        &[Code::LeafNotYetValid],
        "is valid from 2",
    ),
    (
        "a leaf that nobody renews",
        |observations| observations.now = CERTIFICATES.now + 6 * DAY,
        &[Code::LeafOverdue],
        "should have been renewed by now",
    ),
    (
        "a leaf in the last third of its life",
        |observations| observations.now = CERTIFICATES.now + 5 * DAY,
        &[],
        "caBundle covers",
    ),
    (
        "a leaf of somebody else, who renews when he likes",
        |observations| {
            let other = other_authority(AuthorityKind::Development);
            set_bundle(observations, Some(other.certificate().pem().as_bytes()));
            serve(observations, leaf(&other, "outrigger.outrigger-system.svc", CERTIFICATES.now, 7 * DAY));
            observations.now = CERTIFICATES.now + 6 * DAY;
        },
        &[],
        "caBundle covers",
    ),
    (
        "expired authority",
        |observations| observations.now = CERTIFICATES.now + 366 * DAY,
        &[Code::LeafExpired, Code::CaExpired],
        "the authority of the certificate of pod a, pod b has expired on",
    ),
    (
        "an authority that nobody renews",
        |observations| {
            let now = CERTIFICATES.now + 300 * DAY;
            observations.now = now;
            serve(observations, leaf(&CERTIFICATES.authority, "outrigger.outrigger-system.svc", now, 7 * DAY));
        },
        &[Code::CaOverdue],
        "the authority of the certificate of pod a, pod b expires on",
    ),
    (
        "a handshake that fails",
        |observations| observations.served[0].chain = Err("connection refused".into()),
        &[Code::NoCertificate],
        "the certificate of pod a could not be read: connection refused",
    ),
    (
        "what is no certificate",
        |observations| serve(observations, vec![vec![1, 2, 3].into()]),
        &[Code::NoCertificate],
        "its certificate cannot be parsed",
    ),
    (
        "a certificate from its Secret",
        |observations| {
            observations.served.truncate(1);
            observations.served[0].from = CertificateOrigin::Secret;
            observations.served[0].by = "Secret outrigger-system/outrigger-serving".into();
        },
        &[Code::FromSecret],
        "no replica responded: what follows is about Secret outrigger-system/outrigger-serving",
    ),
    // Advice.
    (
        "advice without a bundle",
        |observations| set_advice_bundle(observations, None),
        &[Code::AdviceUntrusted],
        "the caBundle of ValidatingWebhookConfiguration \"outrigger\" does not cover the certificate of pod a, pod b",
    ),
    (
        "advice with the bundle of another authority",
        |observations| {
            let other = other_authority(AuthorityKind::Cluster);
            set_advice_bundle(observations, Some(other.certificate().pem().as_bytes()));
        },
        &[Code::AdviceUntrusted],
        "`kubectl apply` prints no advice about workloads",
    ),
    ("no advice, by choice", |observations| observations.advice = Lookup::Absent, &[], "caBundle covers"),
];

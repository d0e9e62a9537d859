//! Certificates and what the API server trusts.

use super::*;

pub const ROWS: &[Row] = &[
    // Certificates.
    (
        "no bundle",
        |facts| set_bundle(facts, None),
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
        |facts| {
            let mut entry = entries(facts)[0].clone();
            entry.name = "pods.elsewhere.example".into();
            entries(facts).push(entry);
        },
        &[Code::Drift],
        "has an entry \"pods.elsewhere.example\", which is not ours and calls Service outrigger-system/outrigger:443/mutate",
    ),
    (
        "by a URL the system's certificates are trusted",
        |facts| {
            by_url(facts);
            facts.deployments = Look::Found(Vec::new());
            set_bundle(facts, None);
        },
        &[],
        "calls https://",
    ),
    (
        "no certificate in the bundle",
        |facts| set_bundle(facts, Some(b"garbage")),
        &[Code::BundleInvalid],
        "holds no certificate that can be read",
    ),
    (
        "wrong bundle",
        |facts| {
            let other = other_authority(Subject::ClusterAuthority);
            set_bundle(facts, Some(other.certificate().pem().as_bytes()));
            refusal(facts, &failed("tls: failed to verify certificate: x509: certificate signed by unknown authority"));
        },
        &[Code::WrongBundle, Code::CallUntrusted],
        "the caBundle of entries \"pods.inject.outrigger.dev\", \"namespaces.inject.outrigger.dev\" does not cover the certificate of pod a, pod b",
    ),
    (
        "wrong bundle in one entry",
        |facts| expect_in_bundle(facts, 1, &other_authority(Subject::ClusterAuthority)),
        &[Code::WrongBundle],
        "the caBundle of entry \"namespaces.inject.outrigger.dev\" does not cover",
    ),
    (
        "a bundle with more in it",
        |facts| {
            let other = other_authority(Subject::ClusterAuthority).certificate().pem();
            let both = format!("{other}{}", CERTIFICATES.authority.certificate().pem());
            set_bundle(facts, Some(both.as_bytes()));
        },
        &[],
        "caBundle covers what is served by pod a, pod b (until ",
    ),
    (
        "one replica serves what nobody trusts",
        |facts| {
            let other = other_authority(Subject::ClusterAuthority);
            facts.served[1].chain = Ok(leaf(&other, "outrigger.outrigger-system.svc", CERTIFICATES.now, DAY));
        },
        &[Code::WrongBundle],
        "does not cover the certificate of pod b",
    ),
    (
        "a certificate for another name",
        |facts| serve(facts, leaf(&CERTIFICATES.authority, "other.svc", CERTIFICATES.now, 7 * DAY)),
        &[Code::WrongName],
        "is not for \"outrigger.outrigger-system.svc\"",
    ),
    (
        "expired leaf",
        |facts| {
            facts.now = CERTIFICATES.now + 8 * DAY;
            refusal(facts, &failed("x509: certificate has expired or is not yet valid: current time …"));
        },
        &[Code::LeafExpired, Code::CallExpired],
        "the certificate of pod a, pod b has expired on 2",
    ),
    ("a clock that is behind", |facts| facts.now = CERTIFICATES.now - DAY, &[Code::LeafNotYetValid], "holds from 2"),
    (
        "a leaf that nobody renews",
        |facts| facts.now = CERTIFICATES.now + 6 * DAY,
        &[Code::LeafOverdue],
        "should have been renewed by now",
    ),
    ("a leaf in the last third of its life", |facts| facts.now = CERTIFICATES.now + 5 * DAY, &[], "caBundle covers"),
    (
        "a leaf of somebody else, who renews when he likes",
        |facts| {
            let other = other_authority(Subject::DevelopmentAuthority);
            set_bundle(facts, Some(other.certificate().pem().as_bytes()));
            serve(facts, leaf(&other, "outrigger.outrigger-system.svc", CERTIFICATES.now, 7 * DAY));
            facts.now = CERTIFICATES.now + 6 * DAY;
        },
        &[],
        "caBundle covers",
    ),
    (
        "expired authority",
        |facts| facts.now = CERTIFICATES.now + 366 * DAY,
        &[Code::LeafExpired, Code::CaExpired],
        "the authority of the certificate of pod a, pod b has expired on",
    ),
    (
        "an authority that nobody renews",
        |facts| {
            let now = CERTIFICATES.now + 300 * DAY;
            facts.now = now;
            serve(facts, leaf(&CERTIFICATES.authority, "outrigger.outrigger-system.svc", now, 7 * DAY));
        },
        &[Code::CaOverdue],
        "the authority of the certificate of pod a, pod b expires on",
    ),
    (
        "a handshake that fails",
        |facts| facts.served[0].chain = Err("connection refused".into()),
        &[Code::NoCertificate],
        "the certificate of pod a could not be seen: connection refused",
    ),
    (
        "what is no certificate",
        |facts| serve(facts, vec![vec![1, 2, 3].into()]),
        &[Code::NoCertificate],
        "its certificate cannot be parsed",
    ),
    (
        "a certificate from its Secret",
        |facts| {
            facts.served.truncate(1);
            facts.served[0].from = From::Secret;
            facts.served[0].by = "Secret outrigger-system/outrigger-serving".into();
        },
        &[Code::FromSecret],
        "no replica could be asked: what follows is of Secret outrigger-system/outrigger-serving",
    ),
];

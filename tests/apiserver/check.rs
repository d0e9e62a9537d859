//! Tests `outrigger check` on a healthy installation, and with one part broken at a time.
//!
//! `tests/e2e` covers what needs a real node (images, kube-proxy, NetworkPolicy).
//! Invariant: after each test the installation is healthy again according to `check`.

mod kubelet;
mod revisions;
mod world;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use outrigger::pki::{Authority, AuthorityKind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::cluster::pod;
use crate::ports::closed;
use revisions::get_takes_revisions_from_the_replicas;
use world::{CONFIGURATION, OURS, World, with_world};

tests! {
    a_healthy_installation_is_healthy,
    a_deleted_webhook_configuration_is_reported,
    a_bundle_of_another_authority_is_reported,
    an_expired_leaf_certificate_is_reported,
    a_refused_connection_is_reported,
    dropped_packets_are_reported_as_a_firewall,
    a_service_without_endpoints_is_reported,
    a_missing_template_is_reported,
    wrong_namespace_labels_are_reported,
    pods_without_their_sidecar_are_reported,
    refused_workloads_are_reported_with_the_sentence_of_the_webhook,
    keys_that_nothing_reads_and_outdated_pods_are_reported,
    a_replica_of_another_version_is_reported,
    an_unresponsive_replica_is_reported,
    missing_permissions_are_named_and_the_other_checks_run,
    without_an_api_server_there_is_one_clear_error,
    get_takes_revisions_from_the_replicas,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Every entry calls this address.
fn url(address: SocketAddr) -> impl Fn(&mut Value) {
    move |entry| {
        entry["clientConfig"]["url"] = json!(format!("https://{address}/mutate"));
        entry["timeoutSeconds"] = json!(1);
    }
}

fn bundle(pem: &str) -> Value {
    json!(BASE64.encode(pem))
}

fn asking(template: &str) -> Value {
    json!({"outrigger.dev/inject": template})
}

fn a_healthy_installation_is_healthy() {
    with_world(|world| {
        let result = world.expect_healthy();
        let good = [
            "webhook_configuration",
            "certificates",
            "versions",
            "templates",
            "namespaces",
            "injection",
            "workloads",
            "sidecars",
        ];
        assert!(result.has(&good), "{}", result.stdout);
        assert!(result.findings().iter().all(|finding| finding["severity"] == "ok"), "{}", result.stdout);
        assert_eq!(result.stderr, "");

        let text = world.check_as(&world.cluster.control_plane.kubeconfig, &["--wait=60s"]);
        assert_eq!(text.code, Some(0));
        assert!(text.stdout.contains("ok       injection: a dry-run pod in namespace \"default\""), "{}", text.stdout);
        assert!(text.stdout.ends_with("\nhealthy: 0 failed, 0 warnings, 8 ok\n"), "{}", text.stdout);

        let chosen = world.check(&["--test-namespace=shop", "--template=cache"]);
        let (message, _) = chosen.find("injection").expect("injected");
        assert!(message.contains("\"shop\"") && message.contains("\"cache\""), "{message}");
    });
}

fn a_deleted_webhook_configuration_is_reported() {
    with_world(|world| {
        world.delete(CONFIGURATION);
        let result = world.expect_failed(&["webhook_deleted", "not_injected"]);
        assert!(result.stderr.contains("not healthy: webhook_deleted, not_injected"), "{}", result.stderr);
        assert!(result.find("not_injected").expect("found").0.contains("there is no webhook configuration"));
        // The configuration is restored before `check --wait` starts.
        world.register(&world.server.configuration());
        assert_eq!(world.check(&["--wait=60s"]).code, Some(0));
        world.expect_healthy();
    });
}

fn a_bundle_of_another_authority_is_reported() {
    with_world(|world| {
        let other = world.cluster.control_plane.authority.pem().to_owned();
        world.with_entries(
            |entry| entry["clientConfig"]["caBundle"] = bundle(&other),
            || {
                let result = world.expect_failed(&["wrong_bundle", "call_untrusted"]);
                assert!(result.find("wrong_bundle").expect("found").0.contains("does not cover the certificate"));
            },
        );
        world.expect_healthy();
    });
}

fn an_expired_leaf_certificate_is_reported() {
    with_world(|world| {
        let authority = Authority::make(AuthorityKind::Cluster, SystemTime::now() - 30 * DAY, 365 * DAY);
        let authority = authority.expect("an authority");
        let address = serve_expired(world, &authority);
        let pem = authority.certificate().pem();
        world.with_entries(
            |entry| {
                url(address)(entry);
                entry["clientConfig"]["caBundle"] = bundle(&pem);
            },
            || drop(world.expect_failed(&["leaf_expired", "call_expired"])),
        );
        world.expect_healthy();
    });
}

/// A TLS server with an expired certificate that closes each connection after the handshake.
fn serve_expired(world: &World, authority: &Authority) -> SocketAddr {
    let pair = authority.issue(&["127.0.0.1".to_owned()], SystemTime::now() - 10 * DAY, DAY).expect("a leaf");
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the default protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a matching pair");
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    let runtime = &world.cluster.runtime;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The API server breaks it off.
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

fn a_refused_connection_is_reported() {
    with_world(|world| {
        world.with_entries(url(closed()), || {
            let result = world.expect_failed(&["call_refused", "no_certificate"]);
            let (_, hint) = result.find("call_refused").expect("found");
            assert!(hint.contains("the replicas respond") && hint.contains("NetworkPolicy"), "{hint}");
        });
        world.expect_healthy();
    });
}

fn dropped_packets_are_reported_as_a_firewall() {
    with_world(|world| {
        // The kernel accepts connections, and no process responds.
        let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        world.with_entries(url(silent.local_addr().expect("bound")), || {
            let result = world.check(&["--timeout=3s"]);
            let result =
                if result.has(&["call_timeout"]) { result } else { world.expect(&["call_timeout"], &["--timeout=3s"]) };
            assert_eq!(result.code, Some(1));
            let (_, hint) = result.find("call_timeout").expect("found");
            assert!(hint.contains("look for a NetworkPolicy or a firewall"), "{hint}");
        });
        world.expect_healthy();
    });
}

fn a_service_without_endpoints_is_reported() {
    with_world(|world| {
        let by_service = |entry: &mut Value| {
            let service = json!({"namespace": OURS, "name": "outrigger", "path": "/mutate", "port": 443});
            entry["clientConfig"] = json!({"service": service, "caBundle": entry["clientConfig"]["caBundle"]});
            entry["timeoutSeconds"] = json!(1);
        };
        world.with_entries(by_service, || {
            world.expect_failed(&["service_missing", "deployment_missing", "call_no_endpoints"]);
            let path = world.ours().path("services");
            let spec = json!({"ports": [{"port": 443, "targetPort": 9443}], "selector": {"app.kubernetes.io/name": "outrigger"}});
            let service = json!({"metadata": {"name": "outrigger"}, "spec": spec});
            world.cluster.send_object("POST", &path, &service).expect_success();
            let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{OURS}/endpointslices");
            let slice = json!({
                "metadata": {"name": "outrigger", "labels": {"kubernetes.io/service-name": "outrigger"}}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": false}}], "ports": [{"port": 9443}],
            });
            world.cluster.send_object("POST", &slices, &slice).expect_success();
            let deployments = format!("/apis/apps/v1/namespaces/{OURS}/deployments");
            let labels = json!({"app.kubernetes.io/name": "outrigger"});
            let deployment = json!({
                "metadata": {"name": "outrigger", "labels": labels},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                    "metadata": {"labels": labels}, "spec": pod("x", &json!({}))["spec"],
                }},
            });
            world.cluster.send_object("POST", &deployments, &deployment).expect_success();
            // The certificate is for loopback, and would be called by the name of the Service.
            world.expect_failed(&["no_endpoints", "no_replicas", "wrong_name"]);
            without_the_right_to_forward_the_secret_is_read(world);
            for path in [format!("{path}/outrigger"), format!("{slices}/outrigger"), format!("{deployments}/outrigger")] {
                world.delete(&path);
            }
        });
        world.expect_healthy();
    });
}

/// Without port-forward the certificate is read from the Secret, which `from_secret` reports.
fn without_the_right_to_forward_the_secret_is_read(world: &World) {
    let kubeconfig = world.kubeconfig_of("reader");
    let groups = ["", "admissionregistration.k8s.io", "apps", "discovery.k8s.io"];
    let resources =
        ["deployments", "endpointslices", "mutatingwebhookconfigurations", "namespaces", "pods", "secrets", "services"];
    world.grant("reader", &[json!({"apiGroups": groups, "resources": resources, "verbs": ["get", "list"]})]);
    let authority = world.cluster.control_plane.authority.issue().certificate;
    let secret = json!({"metadata": {"name": "outrigger-serving"}, "data": {"tls.crt": bundle(&authority)}});
    let path = world.ours().path("secrets");
    world.cluster.send_object("POST", &path, &secret).expect_success();
    let result = world.check_as(&kubeconfig, &["-o", "json"]);
    world.delete(&format!("{path}/outrigger-serving"));
    assert!(result.has(&["from_secret", "wrong_bundle", "forbidden"]), "{}", result.stdout);
    let (message, _) = result.find("wrong_bundle").expect("found");
    assert!(message.contains("Secret outrigger-system/outrigger-serving"), "{message}");
    assert!(result.stdout.contains("get and create pods/portforward in namespace"), "{}", result.stdout);
}

fn a_missing_template_is_reported() {
    with_world(|world| {
        let path = "/apis/apps/v1/namespaces/shop/deployments";
        let labels = json!({"app": "web"});
        let deployment = json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels, "annotations": asking("none-such")}, "spec": pod("x", &json!({}))["spec"],
            }},
        });
        world.cluster.send_object("POST", path, &deployment).expect_success();
        let result = world.expect_warning("template_missing");
        let (message, hint) = result.find("template_missing").expect("found");
        let expected = "template \"none-such\" is requested by Deployment shop/web, and no replica has it (loaded: ";
        assert!(message.starts_with(expected) && message.ends_with(" more)"), "{message}");
        assert!(hint.contains("outrigger-templates"), "{hint}");
        world.delete(&format!("{path}/web"));
        world.expect_healthy();
    });
}

fn wrong_namespace_labels_are_reported() {
    with_world(|world| {
        let shop = "/api/v1/namespaces/shop";
        let label = |value: Value| json!({"metadata": {"labels": {"outrigger.dev/injection": value}}});
        world.patch(shop, &label(json!("true")));
        world.expect_warning("label_unknown");

        world.patch(shop, &label(Value::Null));
        world.patch(shop, &json!({"metadata": {"annotations": asking("cache")}}));
        let (_, hint) =
            world.expect_warning("default_list_without_label").find("default_list_without_label").expect("found");
        assert!(hint.contains("kubectl label namespace shop outrigger.dev/injection=enabled"), "{hint}");

        world.patch(shop, &json!({"metadata": {"annotations": {"outrigger.dev/inject": null}}}));
        world.shop.accepts(&pod("asks", &asking("cache")));
        world.patch(shop, &label(json!("disabled")));
        world.expect_warning("namespace_disabled");

        world.patch(shop, &label(Value::Null));
        world.delete(&world.shop.path("pods/asks?gracePeriodSeconds=0"));
        world.expect_healthy();
    });
}

fn pods_without_their_sidecar_are_reported() {
    with_world(|world| {
        world.delete(CONFIGURATION);
        world.expect_failed(&["webhook_deleted", "not_injected"]);
        world.shop.accepts(&pod("too-early", &asking("proxy")));
        world.register(&world.server.configuration());
        let result = world.expect(&["pod_without_sidecar", "injection"], &[]);
        assert_eq!(result.code, Some(0), "the installation is good: {}", result.stdout);
        let (message, hint) = result.find("pod_without_sidecar").expect("found");
        assert_eq!(message, "1 pod requested a sidecar and run without it: shop/too-early");
        assert!(hint.contains("rollout restart"), "{hint}");
        world.delete(&world.shop.path("pods/too-early?gracePeriodSeconds=0"));
        assert!(!world.expect_healthy().has(&["pod_without_sidecar"]));
    });
}

/// A Deployment named `web` with this metadata of its own and of its pods.
fn deployment(metadata: &Value, of_pods: &Value) -> Value {
    let (mut metadata, mut of_pods) = (metadata.clone(), of_pods.clone());
    metadata["name"] = json!("web");
    of_pods["labels"]["app"] = json!("web");
    json!({"metadata": metadata, "spec": {
        "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": of_pods, "spec": pod("x", &json!({}))["spec"]},
    }})
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

fn refused_workloads_are_reported_with_the_sentence_of_the_webhook() {
    with_world(|world| {
        let annotations =
            json!({"outrigger.dev/inject": "log-collector", "log-collector.outrigger.dev/logDir": "no path"});
        let refused = deployment(&json!({}), &json!({"annotations": annotations}));
        world.cluster.send_object("POST", DEPLOYMENTS, &refused).expect_success();
        let result = world.expect_warning("workload_refused");
        let (message, hint) = result.find("workload_refused").expect("found");
        let start = "the pods of 1 workload are refused (Deployment shop/web): parameter_invalid: ";
        assert!(message.starts_with(start) && message.contains("\"no path\" does not match the pattern"), "{message}");
        assert!(hint.contains("docs/reference/reasons.md"), "{hint}");

        // An account that may not create pods there still learns of it from events.
        let kubeconfig = world.kubeconfig_of("watcher");
        let read = json!({"apiGroups": ["", "apps", "batch"], "resources": ["*"], "verbs": ["get", "list"]});
        let try_one = json!({"apiGroups": [""], "resources": ["pods", "pods/portforward"], "verbs": ["create", "get"]});
        world.grant("watcher", &[read, try_one]);
        let event = json!({
            "metadata": {"name": "web-refused"}, "type": "Warning", "reason": "FailedCreate", "count": 3,
            "lastTimestamp": k8s_openapi::jiff::Timestamp::now().to_string(),
            "involvedObject": {"kind": "StatefulSet", "namespace": "shop", "name": "db"},
            "message": "create Pod db-0 in StatefulSet db failed error: admission webhook \"pods.inject.outrigger.dev\" denied the request: conflict: two ports",
        });
        world.cluster.send_object("POST", &world.shop.path("events"), &event).expect_success();
        let result = world.check_as(&kubeconfig, &["-o", "json"]);
        assert!(result.stdout.contains("(StatefulSet shop/db): conflict: two ports"), "{}", result.stdout);
        world.delete(&world.shop.path("events/web-refused"));

        world.delete(&format!("{DEPLOYMENTS}/web"));
        world.expect_healthy();
    });
}

fn keys_that_nothing_reads_and_outdated_pods_are_reported() {
    with_world(|world| {
        let elsewhere = json!({"annotations": {"outrigger.dev/inject": "cache"}});
        let misspelt = json!({"annotations": {"outrigger.dev/injct": "cache"}});
        world.cluster.send_object("POST", DEPLOYMENTS, &deployment(&elsewhere, &misspelt)).expect_success();
        let result = world.expect_warning("key_unread");
        for part in [
            "annotation outrigger.dev/inject has no effect here: it must be an annotation of the pod (1 object: Deployment shop/web)",
            "annotation outrigger.dev/injct: nothing reads this key; did you mean \\\"outrigger.dev/inject\\\"? (1 object: Deployment shop/web)",
        ] {
            assert!(result.stdout.contains(part), "{part}: {}", result.stdout);
        }
        world.delete(&format!("{DEPLOYMENTS}/web"));

        world.shop.accepts(&pod("asks", &asking("cache")));
        world.expect_healthy();
        let label = json!({"metadata": {"labels": {"cache.outrigger.dev/revision": "aaaaaaaaaa"}}});
        world.patch(&world.shop.path("pods/asks"), &label);
        let (message, _) = world.expect_warning("pod_outdated").find("pod_outdated").expect("found");
        assert!(message.starts_with("1 pod with an older revision of template \"cache\""), "{message}");
        world.delete(&world.shop.path("pods/asks?gracePeriodSeconds=0"));
        world.expect_healthy();
    });
}

fn a_replica_of_another_version_is_reported() {
    with_world(|world| {
        let [webhook, _] = world.server.addresses();
        let other = say("9.9.9", &json!([{"name": "proxy", "state": "active", "revision": "x", "source": "f"}]));
        world.with_replica("outrigger-2", webhook, Some(other), || {
            let result = world.expect_failed(&["version_skew", "template_skew"]);
            let (message, _) = result.find("version_skew").expect("found");
            assert_eq!(message, "the replicas run different versions: 0.1.0 on outrigger-1; 9.9.9 on outrigger-2");
        });
        world.expect_healthy();
    });
}

/// A server that responds as the admin listener of this version.
fn say(version: &str, templates: &Value) -> SocketAddr {
    let pages = [
        ("/readyz", "ok\n".to_owned()),
        ("/version", json!({"version": version}).to_string()),
        ("/templates", json!({"templates": templates}).to_string()),
    ];
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let pages = pages.clone();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut request) {
                    let text = String::from_utf8_lossy(&request[..count]).into_owned();
                    let page = pages.iter().find(|(path, _)| text.starts_with(&format!("GET {path}"))).expect("a page");
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", page.1.len(), page.1);
                    // The client may have closed the connection.
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    address
}

fn an_unresponsive_replica_is_reported() {
    with_world(|world| {
        let [webhook, _] = world.server.addresses();
        let name = "outrigger-silent";
        world.with_replica(name, webhook, None, || {
            let result = world.expect(&["replica_silent", "certificates"], &[]);
            assert_eq!(result.code, Some(0), "{}", result.stdout);
            let (message, _) = result.find("replica_silent").expect("found");
            assert!(message.contains(name) && message.contains("connection refused"), "{message}");
        });
        world.expect_healthy();
    });
}

fn missing_permissions_are_named_and_the_other_checks_run() {
    with_world(|world| {
        let kubeconfig = world.kubeconfig_of("nobody");
        let result = world.check_as(&kubeconfig, &["-o", "json"]);
        assert_eq!(result.code, Some(1), "{result:?}");
        assert!(result.has(&["nothing_known"]), "{}", result.stdout);
        for right in [
            "get mutatingwebhookconfigurations in the whole cluster",
            "list namespaces in the whole cluster",
            "list pods in the whole cluster",
            "list deployments in namespace \\\"outrigger-system\\\"",
            "create pods in namespace \\\"default\\\"",
        ] {
            assert!(
                result.stdout.contains(&format!("you may not {right}, so it was not checked")),
                "{right}: {}",
                result.stdout
            );
        }

        let may = |group: &str, resource: &str, verb: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
        let configurations = may("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "get");
        world.grant("nobody", &[configurations, may("", "pods", "list")]);
        let result = world.check_as(&kubeconfig, &["-o", "json"]);
        assert!(result.has(&["webhook_configuration", "sidecars", "forbidden"]), "{}", result.stdout);
        assert!(result.stdout.contains("get and create pods/portforward"), "{}", result.stdout);
    });
}

fn without_an_api_server_there_is_one_clear_error() {
    with_world(|world| {
        let kubeconfig = &world.cluster.control_plane.kubeconfig;
        let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
        let write = |name: &str, text: &str| {
            let path = world.cluster.control_plane.janitor.directory().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let dead = write("kubeconfig-dead", &text.replace(&world.cluster.address().to_string(), &closed().to_string()));
        let stranger = write("kubeconfig-stranger", &world.cluster.kubeconfig_of("wrong"));
        let missing = world.cluster.control_plane.janitor.directory().join("no-such-file");
        for (path, arguments, part) in [
            (&dead, vec![], "cannot reach the API server at https://127.0.0.1:"),
            (&dead, vec!["--wait=3s"], "cannot reach the API server at https://127.0.0.1:"),
            (&stranger, vec![], "does not accept your credentials"),
            (kubeconfig, vec!["--context=elsewhere"], "the kubeconfig has no context \"elsewhere\"; it has tests"),
            (&missing, vec![], "cannot read the kubeconfig"),
        ] {
            let result = world.check_as(path, &arguments);
            assert_eq!((result.code, result.stdout.as_str()), (Some(1), ""), "{result:?}");
            let errors: Vec<&str> = result.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
            assert!(errors.len() == 1 && errors[0].contains(part), "{part}: {}", result.stderr);
        }
        for wrong in ["--wait=soon", "--namespace=A", "--output=xml", "--no-such-flag"] {
            let result = world.check_as(kubeconfig, &[wrong]);
            assert_eq!((result.code, result.stdout.as_str()), (Some(2), ""), "{wrong}: {result:?}");
        }
    });
}

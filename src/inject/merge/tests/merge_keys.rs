//! Tests the merge-key table, one test for each row.

use super::*;
use crate::inject::schema::merge_keys;

/// The first two items have this merge key, the third has another.
fn row(list: &str, key: &str, one: &Value, same: &Value, other: &Value) {
    let merge_key = merge_keys::of(list).unwrap_or_else(|| panic!("{list} is atomic"));
    assert_eq!(merge_key.value(one), key, "{one}");
    assert_eq!(merge_key.value(same), key, "{same}");
    assert_ne!(merge_key.value(other), key, "{other}");
}

macro_rules! rows {
    ($($test:ident: $list:literal, $key:literal, $one:tt, $same:tt, $other:tt;)*) => {
        $(
            #[test]
            fn $test() {
                row($list, $key, &json!($one), &json!($same), &json!($other));
            }
        )*

        #[test]
        fn every_row_of_the_table_has_a_test() {
            let tested = [$($list),*];
            for (list, _) in merge_keys::TABLE {
                assert!(tested.contains(&list), "{list}");
            }
        }
    };
}

rows! {
    containers_by_name: "containers", "a", {"name": "a", "image": "x"}, {"name": "a", "image": "y"}, {"name": "b", "image": "x"};
    init_containers_by_name: "initContainers", "a", {"name": "a", "image": "x"}, {"name": "a"}, {"name": "A"};
    volumes_by_name: "volumes", "a", {"name": "a", "emptyDir": {}}, {"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "emptyDir": {}};
    env_by_name: "env", "A", {"name": "A", "value": "1"}, {"name": "A", "valueFrom": {}}, {"name": "B", "value": "1"};
    image_pull_secrets_by_name: "imagePullSecrets", "a", {"name": "a"}, {"name": "a"}, {"name": "b"};
    volume_mounts_by_path: "volumeMounts", "/a", {"mountPath": "/a", "name": "x"}, {"mountPath": "/a/", "name": "y"}, {"mountPath": "/a/b", "name": "x"};
    volume_devices_by_path: "volumeDevices", "/dev/a", {"devicePath": "/dev/a", "name": "x"}, {"devicePath": "/dev/a", "name": "y"}, {"devicePath": "/dev/b", "name": "x"};
    ports_by_number_and_protocol: "ports", "53/TCP", {"containerPort": 53}, {"containerPort": 53, "protocol": "TCP", "name": "dns"}, {"containerPort": 53, "protocol": "UDP"};
    host_aliases_by_ip: "hostAliases", "1.1.1.1", {"ip": "1.1.1.1", "hostnames": ["a"]}, {"ip": "1.1.1.1", "hostnames": ["b"]}, {"ip": "1.1.1.2", "hostnames": ["a"]};
    spread_constraints_by_key_and_action: "topologySpreadConstraints", "zone/DoNotSchedule",
        {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}, {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
        {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"};
    readiness_gates_by_condition: "readinessGates", "a", {"conditionType": "a"}, {"conditionType": "a"}, {"conditionType": "b"};
    dns_options_by_name: "options", "ndots", {"name": "ndots", "value": "1"}, {"name": "ndots"}, {"name": "edns0"};
    resource_claims_by_name: "resourceClaims", "gpu", {"name": "gpu", "resourceClaimName": "a"}, {"name": "gpu", "resourceClaimTemplateName": "b"}, {"name": "fpga", "resourceClaimName": "a"};
    tolerations_by_whole_value: "tolerations", r#"{"effect":"NoSchedule","key":"a"}"#, {"key": "a", "effect": "NoSchedule"}, {"effect": "NoSchedule", "key": "a"}, {"key": "a"};
    env_from_by_whole_value: "envFrom", r#"{"prefix":"A"}"#, {"prefix": "A"}, {"prefix": "A"}, {"prefix": "B"};
    nameservers_by_whole_value: "nameservers", "1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.2";
    searches_by_whole_value: "searches", "a.example", "a.example", "a.example", "b.example";
    resize_policies_by_resource: "resizePolicy", "cpu", {"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "cpu"}, {"resourceName": "memory"};
}

#[test]
fn other_lists_are_atomic() {
    for list in ["args", "command", "hostnames", "add", "drop", "items", "matchExpressions", "sources", ""] {
        assert_eq!(merge_keys::of(list), None, "{list}");
    }
}

#[test]
fn trailing_slashes_of_a_path_do_not_matter() {
    for (path, clean) in [("/a", "/a"), ("/a/", "/a"), ("/a//", "/a"), ("/", "/"), ("//", "/"), ("", ""), ("a/", "a")] {
        assert_eq!(merge_keys::clean_path(path), clean, "{path}");
    }
}

#[test]
fn an_item_without_its_merge_key_has_an_empty_key() {
    assert_eq!(merge_keys::MergeKey::Field("name").value(&json!({})), "");
    assert_eq!(merge_keys::MergeKey::Field("name").value(&json!("text")), "");
    assert_eq!(
        merge_keys::MergeKey::Fields("containerPort", "protocol", "TCP").value(&json!({"protocol": null})),
        "/TCP"
    );
}

//! What users set of the pods, their volumes, Services and routes, in both forms: one pod with its volume, and replicas with a database.

use serde_json::json;
use simulator::SimulatorConfig;

use super::*;
use crate::support::certificates::{Authority, TLS};
use crate::support::{Api, Setup};

/// The `StatefulSet` or the Deployment.
fn workload(objects: &[Value]) -> &Value {
    let found = objects.iter().find(|one| one["kind"] == "StatefulSet" || one["kind"] == "Deployment");
    &found.unwrap()["spec"]
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_pod_takes_what_pods_can_have_in_both_forms() {
    let of_pod = json!({
        "initContainers": [{"name": "wait", "image": "busybox:1", "command": ["true"]}],
        "hostAliases": [{"ip": "10.0.0.7", "hostnames": ["api.agntix.ai"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.53"], "options": [{"name": "ndots", "value": "1"}]},
        "runtimeClassName": "gvisor", "schedulerName": "own", "priorityClassName": "high",
        "terminationGracePeriodSeconds": 30, "automountServiceAccountToken": true,
        "nodeSelector": {"a": "b"}, "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}],
    });
    let of_container = json!({
        "envFrom": [{"secretRef": {"name": "proxy"}}, {"configMapRef": {"name": "more"}, "prefix": "A_"}],
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/agntix-exporter", "--version"]}}},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
    });
    let others = json!({
        "extraContainers": [{"name": "proxy", "image": "proxy:1"}],
        "extraEnv": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "extraVolumes": [{"name": "ids", "configMap": {"name": "ids"}}],
        "extraVolumeMounts": [{"name": "ids", "mountPath": "/etc/ids", "readOnly": true}],
        "revisionHistoryLimit": 1,
        "commonAnnotations": {"of": "all", "owner": "team"},
        "podAnnotations": {"owner": "pod"},
        "podLabels": {"a": "b"},
    });
    let all = [&of_pod, &of_container, &others].map(|part| part.as_object().unwrap().clone()).into_iter().flatten();
    let all = Value::Object(all.collect());
    for values in [of_one(&all), of_replicas(&all)] {
        let objects = chart_of(&values);
        let workload = workload(&objects);
        assert_eq!(workload["revisionHistoryLimit"], 1);
        let (metadata, pod) = (&workload["template"]["metadata"], &workload["template"]["spec"]);
        for (field, value) in of_pod.as_object().unwrap() {
            assert_eq!(pod[field], *value, "{field}");
        }
        for (field, value) in of_container.as_object().unwrap() {
            assert_eq!(pod["containers"][0][field], *value, "{field}");
        }
        assert_eq!(pod["containers"][1], others["extraContainers"][0]);
        assert_eq!(pod["containers"][0]["env"].as_array().unwrap().last().unwrap(), &others["extraEnv"][0]);
        assert!(pod["volumes"].as_array().unwrap().contains(&others["extraVolumes"][0]));
        assert!(pod["containers"][0]["volumeMounts"].as_array().unwrap().contains(&others["extraVolumeMounts"][0]));
        let annotations = &metadata["annotations"];
        assert_eq!(
            (&annotations["of"], &annotations["owner"], &metadata["labels"]["a"]),
            (&"all".into(), &"pod".into(), &"b".into())
        );
        assert!(objects.iter().all(|one| one["metadata"]["annotations"]["of"] == "all"));
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn probes_are_tuned_replaced_and_left_out() {
    let values = json!({
        "config": "[web]\nroute_prefix = '/a'\n",
        "startupProbe": {"failureThreshold": 120},
        "livenessProbe": {"initialDelaySeconds": 7, "httpGet": {"httpHeaders": [{"name": "Authorization", "value": "Basic eDp5"}]}},
        "readinessProbe": {"periodSeconds": 3, "successThreshold": 2},
    });
    let ours = |path: &str| json!({"path": format!("/a/-/{path}"), "port": "metrics", "scheme": "HTTP"});
    for (values, ready, usual) in [
        (of_one(&values), "ready", json!({"timeoutSeconds": 5})),
        (of_replicas(&values), "ready?page", json!({"timeoutSeconds": 5, "failureThreshold": 2})),
    ] {
        let objects = chart_of(&values);
        let container = &workload(&objects)["template"]["spec"]["containers"][0];
        assert_eq!(
            container["startupProbe"],
            json!({"httpGet": ours("healthy"), "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 120})
        );
        let mut get = ours("healthy");
        get["httpHeaders"] = values["livenessProbe"]["httpGet"]["httpHeaders"].clone();
        let liveness = json!({"httpGet": get, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6, "initialDelaySeconds": 7});
        assert_eq!(container["livenessProbe"], liveness);
        let mut readiness = usual;
        readiness["httpGet"] = ours(ready);
        readiness["periodSeconds"] = 3.into();
        readiness["successThreshold"] = 2.into();
        assert_eq!(container["readinessProbe"], readiness);
    }
    let check = json!({"command": ["/bin/agntix-exporter", "healthcheck", "--web.listen-address=:9899"]});
    let objects = chart_of(&of_one(
        &json!({"startupProbe": {"enabled": false}, "livenessProbe": {"exec": check}, "readinessProbe": {"tcpSocket": {"port": "metrics"}}}),
    ));
    let container = &workload(&objects)["template"]["spec"]["containers"][0];
    assert!(container.get("startupProbe").is_none());
    assert_eq!(container["livenessProbe"]["exec"], check);
    assert_eq!(container["readinessProbe"]["tcpSocket"], json!({"port": "metrics"}));
    assert!(
        container["livenessProbe"].get("httpGet").is_none() && container["readinessProbe"].get("httpGet").is_none()
    );
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_strategy_is_that_of_the_form() {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}});
    let values = json!({"updateStrategy": strategy});
    assert_eq!(workload(&chart_of(&of_one(&values)))["updateStrategy"], strategy);
    assert_eq!(workload(&chart_of(&of_replicas(&values)))["strategy"], strategy);
    for (values, words) in [
        (
            of_one(&json!({"updateStrategy": {"type": "Recreate"}})),
            "updateStrategy.type is Recreate, which a StatefulSet does not know",
        ),
        (
            of_replicas(&json!({"updateStrategy": {"type": "OnDelete"}})),
            "updateStrategy.type is OnDelete, which a Deployment does not know",
        ),
    ] {
        for said in refusals(&values) {
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn the_counts_are_on_a_claim_of_the_users_or_as_the_user_wants_it() {
    let objects = chart_of(&of_one(&json!({"persistence": {"existingClaim": "counts"}})));
    let set = workload(&objects);
    assert!(set.get("volumeClaimTemplates").is_none() && set.get("persistentVolumeClaimRetentionPolicy").is_none());
    let volumes = set["template"]["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.contains(&json!({"name": "state", "persistentVolumeClaim": {"claimName": "counts"}})));

    let own = json!({"labels": {"a": "b"}, "selector": {"matchLabels": {"disk": "fast"}}, "storageClass": "-"});
    let objects = chart_of(&of_one(&json!({"persistence": own})));
    let claim = &workload(&objects)["volumeClaimTemplates"][0];
    assert_eq!((&claim["metadata"]["labels"], &claim["spec"]["selector"]), (&own["labels"], &own["selector"]));
    assert_eq!(claim["spec"]["storageClassName"], "", "no class is not the default one");
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn services_have_labels_families_of_addresses_and_ports_of_nodes() {
    let balancer = json!({"type": "LoadBalancer", "nodePort": 30_897, "loadBalancerClass": "a.example/lb", "loadBalancerSourceRanges": ["10.0.0.0/8"], "externalTrafficPolicy": "Local"});
    let mut of_metrics = balancer.clone();
    for (key, value) in [
        ("ipFamilyPolicy", json!("PreferDualStack")),
        ("ipFamilies", json!(["IPv6", "IPv4"])),
        ("labels", json!({"a": "b"})),
    ] {
        of_metrics[key] = value;
    }
    let mut of_webhook = balancer.clone();
    of_webhook["labels"] = json!({"c": "d"});
    let values =
        json!({"service": of_metrics, "webhook": {"enabled": true, "existingSecret": "agntix", "service": of_webhook}});
    for values in [of_one(&values), of_replicas(&values)] {
        let objects = chart_of(&values);
        let services: Vec<&Value> = objects.iter().filter(|one| one["kind"] == "Service").collect();
        assert_eq!(services.len(), if values["replicas"] == 3 { 3 } else { 2 });
        for service in services {
            let (labels, spec) = (&service["metadata"]["labels"], &service["spec"]);
            assert_eq!(
                (&spec["ipFamilyPolicy"], &spec["ipFamilies"]),
                (&of_metrics["ipFamilyPolicy"], &of_metrics["ipFamilies"])
            );
            let of_deliveries = labels["app.kubernetes.io/component"] == "webhook";
            assert_eq!((labels["a"] == "b", labels["c"] == "d"), (!of_deliveries, of_deliveries));
            if labels["app.kubernetes.io/component"] == "replica" {
                assert_eq!((&spec["type"], &spec["clusterIP"]), (&"ClusterIP".into(), &"None".into()));
                continue;
            }
            assert_eq!(spec["ports"][0]["nodePort"], 30_897);
            for field in ["type", "loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy"] {
                assert_eq!(spec[field], balancer[field], "{field}");
            }
        }
    }
    let headless = chart_of(&of_one(&json!({"service": {"clusterIP": "None"}})));
    assert_eq!(only(&headless, "Service")["spec"]["clusterIP"], "None");
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn deliveries_come_by_an_http_route_as_by_an_ingress() {
    let webhook = |route: Value| json!({"webhook": {"enabled": true, "existingSecret": "agntix", "path": "/hooks", "httpRoute": route}});
    let gateway = json!([{"name": "public", "namespace": "gateways", "sectionName": "https"}]);
    let values = webhook(
        json!({"enabled": true, "parentRefs": gateway, "hostnames": ["hooks.example"], "labels": {"a": "b"},
        "annotations": {"c": "d"}, "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-a"]}}]}),
    );
    for values in [of_one(&values), of_replicas(&values)] {
        let objects = chart_of(&values);
        let route = only(&objects, "HTTPRoute");
        models(std::slice::from_ref(route)).unwrap();
        assert_eq!(
            (&route["metadata"]["labels"]["a"], &route["metadata"]["annotations"]["c"]),
            (&"b".into(), &"d".into())
        );
        assert_eq!((&route["spec"]["parentRefs"], &route["spec"]["hostnames"]), (&gateway, &json!(["hooks.example"])));
        let rule = &route["spec"]["rules"][0];
        assert_eq!(rule["matches"], json!([{"path": {"type": "Exact", "value": "/hooks"}}]));
        assert_eq!(rule["filters"], values["webhook"]["httpRoute"]["filters"]);
        let (service, port) = (rule["backendRefs"][0]["name"].as_str().unwrap(), &rule["backendRefs"][0]["port"]);
        assert_eq!(named(&objects, "Service", service)["spec"]["ports"][0]["port"], *port);
    }
    for said in refusals(&of_one(&webhook(json!({"enabled": true})))) {
        assert!(said.contains("webhook.httpRoute.parentRefs is empty: name the gateway"), "{said}");
    }
    // Helm 3 shows notes only to who has a cluster.
    let [_, helm] = helms();
    let file = values_file(&of_one(&values));
    let mut command = Command::new(helm);
    command
        .args(["install", "acme"])
        .arg(repository("deploy/helm/agntix-exporter"))
        .args(["--dry-run=client", "--values"])
        .arg(file.path());
    let shown = ask(&mut command, "").unwrap();
    assert!(shown.contains("Endpoint for the Agntix dashboard: https://hooks.example/hooks"), "{shown}");
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn further_objects_are_templates_as_yaml_and_as_text() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  {{- include \"agntix-exporter.metadata\" (dict \"top\" . \"name\" \"-text\") | nindent 2 }}\ndata: {port: {{ .Values.service.port | quote }}}\n";
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-object", "namespace": "{{ .Release.Namespace }}"}, "data": {"a": "1e3"}});
    for manifests in [json!([text, object]), json!({"first": text, "second": object})] {
        let objects = chart_of(&json!({"demo": true, "extraManifests": manifests}));
        assert_eq!(named(&objects, "ConfigMap", "acme-agntix-exporter-text")["data"], json!({"port": "9899"}));
        let made = named(&objects, "ConfigMap", "acme-object");
        assert_eq!((&made["metadata"]["namespace"], &made["data"]["a"]), (&"agntix".into(), &"1e3".into()));
    }
}

/// What the pod of `helm test` runs, with the address of a daemon in place of that of the Service.
fn helm_test(values: &Value, daemon: std::net::SocketAddr, place: &Path) -> std::process::Output {
    let objects = chart_of(values);
    let pod = only(&objects, "Pod");
    assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook"], "test");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        container["image"],
        workload(&objects)["template"]["spec"]["containers"][0]["image"],
        "it needs no other image"
    );
    for service in objects.iter().filter(|one| one["kind"] == "Service") {
        let mut selector = service["spec"]["selector"].as_object().unwrap().iter();
        assert!(
            selector.any(|(label, value)| pod["metadata"]["labels"][label] != *value),
            "the Service would send scrapes to it"
        );
    }
    let here = |text: &Value| text.as_str().unwrap().replace("/etc/agntix-exporter", place.to_str().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_agntix-exporter"));
    command.env_clear();
    for argument in container["args"].as_array().unwrap() {
        let address = "acme-agntix-exporter.agntix.svc:9899";
        command.arg(here(argument).replace(address, &daemon.to_string()));
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        command.env(variable["name"].as_str().unwrap(), here(&variable["value"]));
    }
    command.output().unwrap()
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn helm_test_is_the_exporters_own_health_check() {
    let api = Api::start(SimulatorConfig::default());
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("web")).unwrap();
    for (config, tls) in [("", false), ("[web]\nexternal_url = 'https://x/agntix'\n", true)] {
        std::fs::write(place.path().join("config.toml"), config).unwrap();
        let mut setup = Setup::new(api.address, &place.path().join(format!("state-{tls}")));
        setup = setup.argument(&format!("--config.file={}", place.path().join("config.toml").display()));
        let mut values = json!({"config": config});
        if tls {
            Authority::new(&place.path().join("web"), "own").server("server", |_| {});
            std::fs::write(place.path().join("web/web.yml"), TLS).unwrap();
            values["webConfig"] = json!({"existingSecret": "web", "tls": true});
            setup = setup.set("WEB__CONFIG_FILE", place.path().join("web/web.yml").to_str().unwrap());
        }
        let daemon = setup.start();
        for values in [of_one(&values), of_replicas(&values)] {
            let output = helm_test(&values, daemon.address, place.path());
            assert!(output.status.success(), "{config}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let nobody = crate::support::free_address();
        assert!(!helm_test(&of_one(&values), nobody, place.path()).status.success());
    }
    let off = chart_of(&json!({"demo": true, "helmTest": {"enabled": false}}));
    assert!(off.iter().all(|one| one["kind"] != "Pod"));
    // A policy that lets in only Prometheus lets this in as well.
    let policy =
        json!({"networkPolicy": {"enabled": true, "metricsFrom": [{"podSelector": {"matchLabels": {"a": "b"}}}]}});
    let objects = chart_of(&of_one(&policy));
    let from = only(&objects, "NetworkPolicy")["spec"]["ingress"][0]["from"].clone();
    let labels = &only(&objects, "Pod")["metadata"]["labels"];
    let mut allowed = from[1]["podSelector"]["matchLabels"].as_object().unwrap().iter();
    assert!(allowed.all(|(label, value)| labels[label] == *value), "{from}");
}

//! What is rendered: its schemas, what is the very file of another folder, and what is refused.

use super::*;

/// Rules of all files, as a `PrometheusRule` holds them.
fn groups() -> Vec<Value> {
    let python = tool::locate("KUBERNETES_PYTHON", "kubernetes-python/bin/python");
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin)['groups'], sys.stdout)";
    let of = |text: String| -> Vec<Value> {
        serde_json::from_str(&ask(Command::new(&python).args(["-c", read]), &text).unwrap()).unwrap()
    };
    files("deploy/prometheus/rules").into_values().flat_map(of).collect()
}

fn check_operator(objects: &[Value]) -> usize {
    let of_operator: Vec<&Value> = objects
        .iter()
        .filter(|object| object["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com/"))
        .collect();
    let models = tool::locate(
        "KUBERNETES_NODE",
        "kubernetes-node/node_modules/@kubernetes-models/prometheus-operator/package.json",
    );
    let mut node = Command::new("node");
    node.arg(repository("tests/it/kubernetes/operator.js")).arg(models.parent().unwrap());
    ask(&mut node, &serde_json::to_string(&of_operator).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    of_operator.len()
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn every_object_is_as_kubernetes_and_prometheus_operator_want_it() {
    let usual = chart(&CREDENTIAL);
    assert_eq!(kinds(&usual), ["ConfigMap", "Service", "ServiceAccount", "StatefulSet"]);
    let demo = chart(&["--set", "demo=true"]);
    assert_eq!(kinds(&demo), ["Service", "ServiceAccount", "StatefulSet"]);
    let all = everything();
    let expected = [
        "ConfigMap",
        "Ingress",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
    ];
    assert_eq!(kinds(&all), expected);
    assert_eq!(check_operator(&all), 2);
    for object in usual.iter().chain(&demo).chain(&all) {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/instance"], "acme", "{object}");
        assert_eq!(labels["app.kubernetes.io/version"], env!("CARGO_PKG_VERSION"), "{object}");
        assert!(object["metadata"]["namespace"] == "agntix", "{object}");
        assert_ne!(object["kind"], "Secret", "a chart that holds secrets leaks them into every history of a release");
    }
    let monitor = only(&all, "ServiceMonitor");
    let services = all.iter().filter(|object| object["kind"] == "Service");
    let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let chosen: Vec<&Value> = services
        .filter(|service| wanted.iter().all(|(label, value)| service["metadata"]["labels"][label] == *value))
        .collect();
    assert_eq!(chosen.len(), 1, "the metrics alone are scraped");
    assert_eq!(chosen[0]["spec"]["ports"][0]["name"], monitor["spec"]["endpoints"][0]["port"]);
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn rules_and_dashboards_are_the_very_files() {
    let plain = chart(&["--set", "demo=true,rules.enabled=true,dashboards.enabled=true"]);
    assert_eq!(only(&plain, "PrometheusRule")["spec"]["groups"], Value::from(groups()));
    let held: BTreeMap<String, String> = plain
        .iter()
        .filter(|object| object["kind"] == "ConfigMap")
        .flat_map(|object| object["data"].as_object().unwrap())
        .map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(held.len(), 7);
    assert_eq!(held, files("grafana/dashboards"));
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_threshold_and_a_link_of_ones_own_change_that_rule_alone() {
    let all = everything();
    let changed = only(&all, "PrometheusRule")["spec"]["groups"].as_array().unwrap();
    let rules = |groups: &[Value]| -> Vec<Value> {
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    };
    let (old, new) = (rules(&groups()), rules(changed));
    assert_eq!(old.len(), new.len());
    let other: Vec<&Value> = new.iter().zip(&old).filter(|(new, old)| new != old).map(|(new, _)| new).collect();
    let said: Vec<String> = other.iter().map(|rule| format!("{} {}", rule["record"], rule["expr"])).collect();
    assert_eq!(
        said,
        [
            r#""agntix:setting:links" "vector(1)""#,
            r#""agntix:threshold:flood_ratio" "vector(3.5)""#,
            r#""agntix:threshold:burn_rate" "vector(4)""#
        ]
    );
    assert_eq!(other[0]["labels"]["grafana_url"], "https://grafana.example");
    assert_eq!(other[2]["labels"]["pace"], "fast");
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn mistakes_are_refused_in_words() {
    let mistakes = [
        (&[][..], "name a Secret that holds the organization's API key, or set demo=true"),
        (&["--set", "demo=true,replicas=2"], "replicas"),
        (&["--set", "credential.existingSecret=agntix,webhook.enabled=true"], "webhook.existingSecret is empty"),
        (&["--set", "credential.existingSecret=agntix,credential.apiKey=pk"], "apiKey"),
        (&["--set", "demo=true,extraEnv[0].name=AGNTIX_API_KEY,extraEnv[0].value=pk"], "extraEnv"),
        (&["--set", "demo=true,persistence.accessModes[0]=ReadWriteMany"], "accessModes"),
        (
            &[
                "--set",
                "demo=true,rules.enabled=true,rules.thresholds[0].record=agntix:threshold:min_sessions,rules.thresholds[0].value=4",
            ],
            "agntix-settings.yml has no agntix:threshold:min_sessions with exactly the labels {}",
        ),
    ];
    for helm in helms() {
        for (arguments, words) in mistakes {
            let said = rendered_by(&helm, &repository("deploy/helm/agntix-exporter"), arguments).unwrap_err();
            assert!(said.contains(words), "{arguments:?}: {said}");
        }
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_packaged_chart_is_whole_and_of_the_programs_version() {
    for helm in helms() {
        let place = tempfile::tempdir().unwrap();
        let mut command = Command::new(&helm);
        command.arg("package").arg(repository("deploy/helm/agntix-exporter")).arg("--destination").arg(place.path());
        ask(&mut command, "").unwrap();
        let package = place.path().join(format!("agntix-exporter-{}.tgz", env!("CARGO_PKG_VERSION")));
        let values = repository("tests/it/kubernetes/everything.yaml");
        let arguments = ["--values", values.to_str().unwrap()];
        let from_package = rendered_by(&helm, &package, &arguments).unwrap();
        let from_folder = rendered_by(&helm, &repository("deploy/helm/agntix-exporter"), &arguments).unwrap();
        assert_eq!(from_package, from_folder);
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn the_manifests_for_kustomize_are_those_of_the_chart() {
    for helm in helms() {
        let mut command = Command::new(repository("deploy/kubernetes/generate"));
        let made = ask(command.env("HELM", helm), "").unwrap();
        let kept = std::fs::read_to_string(repository("deploy/kubernetes/agntix-exporter.yaml")).unwrap();
        assert!(made == kept, "run deploy/kubernetes/generate > deploy/kubernetes/agntix-exporter.yaml");
    }
}

//! What is rendered: its schemas, what is the very file of another folder, and what is refused.

use super::*;
use crate::support::prometheus::Version;
use crate::support::promtool;

/// Rules of all files of the repository, as a `PrometheusRule` holds them.
fn groups() -> Vec<Value> {
    groups_in(&repository("deploy/prometheus/rules"))
}

/// Rules of all files of a directory.
fn groups_in(directory: &Path) -> Vec<Value> {
    let python = tool::locate("KUBERNETES_PYTHON", "kubernetes-python/bin/python");
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin)['groups'], sys.stdout)";
    let of = |text: String| -> Vec<Value> {
        serde_json::from_str(&ask(Command::new(&python).args(["-c", read]), &text).unwrap()).unwrap()
    };
    files(directory.to_str().unwrap()).into_values().flat_map(of).collect()
}

/// The labels of the rule that says where annotations lead.
fn links(groups: &mut [Value]) -> &mut Value {
    let mut rules = groups.iter_mut().flat_map(|group| group["rules"].as_array_mut().unwrap());
    &mut rules.find(|rule| rule["record"] == "agntix:setting:links").unwrap()["labels"]
}

/// The rules of all groups.
fn rules_of(groups: &[Value]) -> Vec<Value> {
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

pub(super) fn check_operator(objects: &[Value]) -> usize {
    let of_operator: Vec<Value> = objects
        .iter()
        .filter(|object| object["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com/"))
        .cloned()
        .collect();
    models(&of_operator).unwrap_or_else(|e| panic!("{e}"));
    of_operator.len()
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn every_object_is_as_kubernetes_and_prometheus_operator_want_it() {
    let usual = chart(&CREDENTIAL);
    assert_eq!(kinds(&usual), ["ConfigMap", "Pod", "Service", "ServiceAccount", "StatefulSet"]);
    let demo = chart(&["--set", "demo=true"]);
    assert_eq!(kinds(&demo), ["Pod", "Service", "ServiceAccount", "StatefulSet"]);
    let all = everything();
    let expected = [
        "ConfigMap",
        "GrafanaDashboard",
        "HTTPRoute",
        "Ingress",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PodMonitoring",
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
    assert_eq!(monitor["spec"]["endpoints"][0]["scheme"], "https", "as webConfig.tls says");
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn rules_and_dashboards_are_the_very_files() {
    let plain = chart(&["--set", "demo=true,rules.enabled=true,dashboards.enabled=true"]);
    let mut expected = groups();
    links(&mut expected)["exporter_url"] = "http://acme-agntix-exporter.agntix.svc:9899".into();
    assert_eq!(only(&plain, "PrometheusRule")["spec"]["groups"], Value::from(expected));
    let held: BTreeMap<String, String> = plain
        .iter()
        .filter(|object| object["kind"] == "ConfigMap")
        .flat_map(|object| object["data"].as_object().unwrap())
        .map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(held.len(), 9);
    assert_eq!(held, files("grafana/dashboards"));
}

/// Name, labels and expression of the rules that say what the objective is.
fn objectives(groups: &[Value]) -> Vec<(Value, Value)> {
    let rules = rules_of(groups).into_iter().filter(|rule| rule["record"] == "agntix:threshold:resolution_objective");
    rules.map(|mut rule| (rule["labels"].take(), rule["expr"].take())).collect()
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn nobody_has_an_objective_unless_values_set_one_for_all_or_for_an_agent() {
    assert_eq!(objectives(&groups()), [(Value::Null, "vector(0) > 0".into())]);
    let wish = |labels: Value, value: f64| serde_json::json!({"record": "agntix:threshold:resolution_objective", "labels": labels, "value": value});
    let own = serde_json::json!({"agent_id": "agnt_sales"});
    let (one, all) = (wish(own.clone(), 0.6), wish(serde_json::json!({}), 0.8));
    for (wishes, of_all) in [(vec![one.clone()], "vector(0) > 0"), (vec![one, all], "vector(0.8)")] {
        // --set knows no fractions.
        let thresholds = format!("rules.thresholds={}", Value::from(wishes));
        let rendered = chart(&["--set", "demo=true,rules.enabled=true", "--set-json", &thresholds]);
        let groups = only(&rendered, "PrometheusRule")["spec"]["groups"].as_array().unwrap().clone();
        assert_eq!(objectives(&groups), [(Value::Null, of_all.into()), (own.clone(), "vector(0.6)".into())]);
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_threshold_a_link_and_a_disabled_alert_change_that_rule_alone() {
    let all = everything();
    let changed = only(&all, "PrometheusRule")["spec"]["groups"].as_array().unwrap();
    let (mut old, new) = (rules_of(&groups()), rules_of(changed));
    old.retain(|rule| rule["alert"] != "AgntixWatchedSessionIdle");
    assert_eq!(old.len() + 1, rules_of(&groups()).len());
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
    assert_eq!(other[0]["labels"]["exporter_url"], "https://exporter.example/agntix");
    assert_eq!(other[2]["labels"]["pace"], "fast");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rules.yml");
    std::fs::write(&file, serde_json::json!({"groups": changed}).to_string()).unwrap();
    for version in [Version::V2, Version::V3] {
        ask(Command::new(promtool::locate(version)).args(["check", "rules"]).arg(&file), "").unwrap();
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn severities_labels_and_alerts_are_set_by_the_names_of_alerts_yml_and_alike() {
    let settings = serde_json::json!({
        "severities": {"critical": "P1", "warning": "P3"},
        "additionalRuleLabels": {"team": "support", "cost": "12"},
        "alerts": {
            "AgntixUnresolvedSpike": {"enabled": false},
            "AgntixNegativeElevated": {"enabled": false},
            "AgntixSessionsSilent": {"severity": "warning", "for": "7m", "keepFiringFor": "1h"},
            "AgntixExporterDown": {"keepFiringFor": "2m", "severity": "info"},
            "AgntixUnresolvedElevated": {"labels": {"team": "delivery", "queue": "{{ $labels.agent_id }}"}},
        },
    });
    let place = tempfile::tempdir().unwrap();
    let values = place.path().join("values.yaml");
    let mut rules = settings.clone();
    rules["enabled"] = true.into();
    std::fs::write(&values, serde_json::json!({"demo": true, "rules": rules}).to_string()).unwrap();
    let of_chart = chart(&["--values", values.to_str().unwrap()]);
    let mut of_chart = only(&of_chart, "PrometheusRule")["spec"]["groups"].as_array().unwrap().clone();
    // The chart knows where its exporter is.
    links(&mut of_chart)["exporter_url"] = "".into();
    let of_chart = rules_of(&of_chart);

    // Its mappings are YAML's, on one line.
    let plain = settings.as_object().unwrap().iter().map(|(name, value)| format!("{name}: {value}\n"));
    let file = place.path().join("alerts.yml");
    std::fs::write(&file, plain.collect::<String>()).unwrap();
    let mut apply = Command::new("python3");
    apply.arg(repository("deploy/prometheus/apply")).arg("--settings").arg(&file);
    ask(apply.arg("--output").arg(place.path().join("out")), "").unwrap();
    let written = rules_of(&groups_in(&place.path().join("out/rules")));
    assert_eq!(of_chart, written);

    let by_name = |name: &str| of_chart.iter().find(|rule| rule["alert"] == name);
    assert!(by_name("AgntixUnresolvedSpike").is_none() && by_name("AgntixNegativeElevated").is_none());
    let silent = by_name("AgntixSessionsSilent").unwrap();
    assert_eq!((&silent["for"], &silent["keep_firing_for"]), (&"7m".into(), &"1h".into()));
    assert_eq!((&silent["labels"]["severity"], &silent["labels"]["team"]), (&"P3".into(), &"support".into()));
    let down = by_name("AgntixExporterDown").unwrap();
    assert_eq!((&down["labels"]["severity"], &down["keep_firing_for"]), (&"info".into(), &"2m".into()));
    let elevated = by_name("AgntixUnresolvedElevated").unwrap();
    assert_eq!(elevated["labels"]["team"], "delivery");
    assert_eq!(elevated["labels"]["queue"], "{{ $labels.agent_id }}");
    let spike = by_name("AgntixNegativeSpike").unwrap();
    assert_eq!(spike["labels"]["severity"], "P1");
    let shipped = rules_of(&groups());
    let old = shipped.iter().find(|rule| rule["alert"] == "AgntixNegativeSpike").unwrap();
    assert_eq!(spike["annotations"], old["annotations"], "a text that it shared with one that is left out");
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn dashboards_mark_what_is_called_critical() {
    let words = "rules.severities.critical=P1,rules.severities.warning=P3";
    let renamed = chart(&["--set", &format!("demo=true,dashboards.enabled=true,{words}")]);
    let texts = renamed.iter().filter(|object| object["kind"] == "ConfigMap").map(|object| object["data"].to_string());
    let all: String = texts.collect();
    for (word, new) in [("critical\\", "P1\\"), ("warning\\", "P3\\")] {
        assert!(!all.contains(word), "a dashboard knows alerts by another word");
        assert!(all.contains(new));
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn mistakes_are_refused_in_words() {
    let mistakes = [
        (&[][..], "name a Secret that holds the organization's API key, or set demo=true"),
        (&["--set", "demo=true,replicas=2"], "the demo is one process with counts of its own: set replicas=1"),
        (
            &["--set", "credential.existingSecret=agntix,replicas=2"],
            "replicas is 2, but without a database each of them would count every session: set state.url",
        ),
        (&["--set", "credential.existingSecret=agntix,replicas=0"], "replicas"),
        (
            &["--set", "credential.existingSecret=agntix,state.url=postgres://u:pw@db/agntix"],
            "pattern '^(postgres(ql)?://",
        ),
        (&["--set", "credential.existingSecret=agntix,state.url=mysql://db/agntix"], "pattern '^(postgres(ql)?://"),
        (&["--set", "credential.existingSecret=agntix,state.existingSecret=a"], "is set without state.url"),
        (
            &[
                "--set",
                "credential.existingSecret=agntix",
                "--set-json",
                r#"config="[state]\nurl = 'postgres://db/a'""#,
            ],
            "config sets state.url, which the chart cannot see; set state.url in the values instead",
        ),
        (
            &["--set", "credential.existingSecret=agntix,extraEnv[0].name=AGNTIX_EXPORTER__STATE__URL"],
            "extraEnv[0] sets AGNTIX_EXPORTER__STATE__URL, which the chart cannot see",
        ),
        (&["--set", "credential.existingSecret=agntix,webhook.enabled=true"], "webhook.existingSecret is empty"),
        (&["--set", "credential.existingSecret=agntix,credential.apiKey=pk"], "apiKey"),
        (&["--set", "demo=true,extraEnv[0].name=AGNTIX_API_KEY,extraEnv[0].value=pk"], "extraEnv"),
        (&["--set", "demo=true,extraVolumes[0].name=a,extraVolumes[0].hostPath.path=/"], "hostPath"),
        (&["--set", "demo=true,podLabels.app\\.kubernetes\\.io/name=x"], "app.kubernetes.io/name"),
        (&["--set", "demo=true,rules.enabled=true,rules.disabled[0]=AgntixNone"], "there is no alert AgntixNone"),
        (&["--set", "demo=true,rules.enabled=true,rules.alerts.AgntixNone.for=3m"], "there is no alert AgntixNone"),
        (
            &["--set", "demo=true,rules.enabled=true,rules.disabled[0]=AgntixUnresolvedSpyke"],
            "rules.disabled: there is no alert AgntixUnresolvedSpyke; did you mean AgntixUnresolvedSpike?",
        ),
        (&["--set", "demo=true,rules.alerts.AgntixSessionsSilent.fro=3m"], "fro"),
        (&["--set", "demo=true,rules.alerts.AgntixSessionsSilent.severity=warnign"], "severity"),
        (&["--set", "demo=true,rules.alerts.AgntixSessionsSilent.for=3x"], "for"),
        (&["--set", "demo=true,rules.severities.critcal=P1"], "critcal"),
        (&["--set", "demo=true,rules.enabled=true,rules.severities.critical=warning"], "two have the same word"),
        (
            &["--set", "demo=true,rules.enabled=true,rules.additionalRuleLabels.severity=P1"],
            "severity of AgntixExporterDown is set",
        ),
        (
            &["--set", "demo=true,rules.enabled=true,rules.alerts.AgntixSessionsSilent.labels.job=a"],
            "job of AgntixSessionsSilent is set",
        ),
        (&["--set", "demo=true,persistence.accessModes[0]=ReadWriteMany"], "accessModes"),
        (
            &[
                "--set",
                "demo=true,rules.enabled=true,rules.thresholds[0].record=agntix:threshold:min_sessions,rules.thresholds[0].value=4",
            ],
            "agntix-settings.yml has no agntix:threshold:min_sessions with exactly the labels {}",
        ),
        (
            &[
                "--set",
                "demo=true,rules.enabled=true,rules.thresholds[0].record=agntix:threshold:resolution_objective,rules.thresholds[0].value=80",
            ],
            "the objective 80 is no share",
        ),
        (
            &[
                "--set",
                "demo=true,rules.enabled=true",
                "--set-json",
                r#"rules.thresholds=[{"record":"agntix:threshold:resolution_objective","labels":{"agent":"a1"},"value":0.8}]"#,
            ],
            r#"with exactly the labels {"agent":"a1"}"#,
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
        ask(Command::new(&helm).args(["lint", "--strict"]).arg(&package).args(arguments), "").unwrap();
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
        let made = ask(command.env("HELM", &helm), "").unwrap();
        let kept = std::fs::read_to_string(repository("deploy/kubernetes/agntix-exporter.yaml")).unwrap();
        assert!(made == kept, "run deploy/kubernetes/generate > deploy/kubernetes/agntix-exporter.yaml");
        let made = ask(command.arg("replicas"), "").unwrap();
        let kept = std::fs::read_to_string(repository("deploy/kubernetes/replicas/agntix-exporter.yaml")).unwrap();
        assert!(
            made == kept,
            "run deploy/kubernetes/generate replicas > deploy/kubernetes/replicas/agntix-exporter.yaml"
        );
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_configuration_comes_through_as_it_is() {
    for text in ["", "  [sessions]\n[metrics]\n", "\n\n[log]\nlevel = \"{{ warn }}\" # a: \"b\"\n", "# \u{fc}: |\n"] {
        let place = tempfile::tempdir().unwrap();
        let values = place.path().join("values.yaml");
        let wish = serde_json::json!({"credential": {"existingSecret": "agntix"}, "config": text});
        std::fs::write(&values, wish.to_string()).unwrap();
        let made = chart(&["--values", values.to_str().unwrap()]);
        let held = only(&made, "ConfigMap")["data"]["config.toml"].as_str().unwrap();
        assert_eq!(held.trim_end(), text.trim_end());
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn the_demo_takes_no_deliveries() {
    let wish = "demo=true,webhook.enabled=true,webhook.ingress.enabled=true,webhook.ingress.host=hooks.example";
    let demo = chart(&["--set", wish]);
    assert_eq!(kinds(&demo), ["Pod", "Service", "ServiceAccount", "StatefulSet"]);
    only(&demo, "Service");
}

//! Dashboards and rules as objects: which of them, where, and with what labels.

use serde_json::json;

use super::*;

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn dashboards_are_left_out_and_labelled_one_by_one() {
    let values = json!({"demo": true, "dashboards": {
    "enabled": true, "namespace": "grafana", "disabled": ["agntix-conversation"],
    "overrides": {
        "agntix-exporter": {"annotations": {"grafana_folder": "Platform"}, "labels": {"team": "platform"}},
        "agntix-agent": {"enabled": false},
    }}});
    let objects = chart_of(&values);
    let dashboards: BTreeMap<&str, &Value> = objects
        .iter()
        .filter(|one| one["kind"] == "ConfigMap")
        .map(|one| {
            (one["metadata"]["name"].as_str().unwrap().trim_start_matches("acme-agntix-exporter-"), &one["metadata"])
        })
        .collect();
    assert_eq!(dashboards.len(), files("grafana/dashboards").len() - 2);
    assert!(!dashboards.contains_key("agntix-conversation") && !dashboards.contains_key("agntix-agent"));
    for (name, metadata) in dashboards {
        let is_own = name == "agntix-exporter";
        assert_eq!(
            (&metadata["namespace"], &metadata["labels"]["grafana_dashboard"]),
            (&"grafana".into(), &"1".into())
        );
        assert_eq!(metadata["annotations"]["grafana_folder"], if is_own { "Platform" } else { "Agntix" });
        assert_eq!(metadata["labels"]["team"] == "platform", is_own);
    }
    for (values, words) in [
        (
            json!({"disabled": ["agntix-overwiev"]}),
            "dashboards.disabled: there is no dashboard agntix-overwiev; did you mean agntix-overview?",
        ),
        (
            json!({"overrides": {"overview": {"enabled": false}}}),
            "dashboards.overrides: there is no dashboard overview; there are agntix-agent, ",
        ),
    ] {
        let mut values = values;
        values["enabled"] = true.into();
        for said in refusals(&json!({"demo": true, "dashboards": values})) {
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn grafana_operator_gets_the_very_dashboards() {
    let folders = |operator: Value| {
        let mut operator = operator;
        operator["enabled"] = true.into();
        let overrides = json!({"agntix-exporter": {"folder": "Platform", "labels": {"team": "platform"}}, "agntix-agent": {"enabled": false}});
        let objects = chart_of(
            &json!({"demo": true, "dashboards": {"namespace": "grafana", "overrides": overrides, "grafanaOperator": operator}}),
        );
        assert!(objects.iter().all(|one| one["kind"] != "ConfigMap"));
        let dashboards: Vec<Value> = objects.into_iter().filter(|one| one["kind"] == "GrafanaDashboard").collect();
        let mut held = files("grafana/dashboards");
        held.remove("agntix-agent.json");
        assert_eq!(dashboards.len(), held.len());
        for dashboard in &dashboards {
            let name = dashboard["metadata"]["name"].as_str().unwrap().trim_start_matches("acme-agntix-exporter-");
            assert_eq!(dashboard["spec"]["json"], held[&format!("{name}.json")], "{name}");
            assert_eq!(
                (&dashboard["apiVersion"], &dashboard["metadata"]["namespace"]),
                (&"grafana.integreatly.org/v1beta1".into(), &"grafana".into())
            );
            assert_eq!(dashboard["metadata"]["labels"]["team"] == "platform", name == "agntix-exporter");
        }
        dashboards
    };
    let spec = |dashboards: &[Value], name: &str| {
        let mut spec = named(dashboards, "GrafanaDashboard", &format!("acme-agntix-exporter-{name}"))["spec"].clone();
        spec.as_object_mut().unwrap().remove("json").unwrap();
        spec
    };
    let usual = folders(json!({}));
    let common =
        json!({"instanceSelector": {"matchLabels": {"dashboards": "grafana"}}, "allowCrossNamespaceImport": true});
    let with = |more: Value| {
        Value::Object(
            common.as_object().unwrap().clone().into_iter().chain(more.as_object().unwrap().clone()).collect(),
        )
    };
    assert_eq!(spec(&usual, "agntix-overview"), with(json!({"folder": "Agntix"})));
    assert_eq!(spec(&usual, "agntix-exporter"), with(json!({"folder": "Platform"})));
    let by_reference = folders(json!({"folderRef": "agntix", "resyncPeriod": "1h"}));
    assert_eq!(spec(&by_reference, "agntix-overview"), with(json!({"folderRef": "agntix", "resyncPeriod": "1h"})));
    assert_eq!(spec(&by_reference, "agntix-exporter"), with(json!({"folder": "Platform", "resyncPeriod": "1h"})));
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn rules_are_where_the_operator_looks_for_them() {
    let rules = json!({"enabled": true, "namespace": "monitoring", "labels": {"release": "prometheus"}, "annotations": {"a": "b"}});
    for values in [of_one(&json!({"rules": rules})), of_replicas(&json!({"rules": rules}))] {
        let objects = chart_of(&values);
        let metadata = &only(&objects, "PrometheusRule")["metadata"];
        assert_eq!(
            (&metadata["namespace"], &metadata["labels"]["release"], &metadata["annotations"]["a"]),
            (&"monitoring".into(), &"prometheus".into(), &"b".into())
        );
    }
}

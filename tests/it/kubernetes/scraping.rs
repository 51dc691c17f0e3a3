//! How it is scraped: by a `ServiceMonitor`, a `PodMonitor`, or Google's `PodMonitoring`; and what the series are called then.

use serde_json::json;

use super::*;

const NAME: &str = "acme-agntix-exporter";

/// The last rule of an endpoint that sets a label.
fn set_to(endpoint: &Value, label: &str) -> Value {
    let rules = endpoint["relabelings"].as_array().cloned().unwrap_or_default();
    rules.iter().rfind(|rule| rule["targetLabel"] == label).map_or(Value::Null, |rule| rule["replacement"].clone())
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_service_monitor_takes_what_it_can_have_in_both_forms() {
    let of_spec = json!({"targetLabels": ["a"], "podTargetLabels": ["b"], "sampleLimit": 5000, "targetLimit": 4, "labelLimit": 30,
        "labelNameLengthLimit": 100, "labelValueLengthLimit": 200, "scrapeProtocols": ["PrometheusProto", "PrometheusText0.0.4"],
        "scrapeClass": "own", "attachMetadata": {"node": true}});
    let of_endpoint = json!({"interval": "30s", "scrapeTimeout": "20s", "honorLabels": true, "honorTimestamps": false, "proxyUrl": "http://proxy:3128",
        "authorization": {"credentials": {"name": "token", "key": "token"}}, "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "process_.*"}]});
    let rest = json!({"enabled": true, "namespace": "monitoring", "labels": {"release": "prometheus"}, "annotations": {"a": "b"},
        "extraSpec": {"keepDroppedTargets": 5}, "extraEndpoint": {"enableHttp2": false}});
    let all = [&of_spec, &of_endpoint, &rest].map(|part| part.as_object().unwrap().clone()).into_iter().flatten();
    let values = json!({"serviceMonitor": Value::Object(all.collect())});
    for (values, count) in [(of_one(&values), 1), (of_replicas(&values), 2)] {
        let objects = chart_of(&values);
        let monitors: Vec<Value> = objects.into_iter().filter(|one| one["kind"] == "ServiceMonitor").collect();
        assert_eq!(monitors.len(), count);
        models(&monitors).unwrap();
        for monitor in monitors {
            let metadata = &monitor["metadata"];
            assert_eq!(
                (&metadata["namespace"], &metadata["labels"]["release"], &metadata["annotations"]["a"]),
                (&"monitoring".into(), &"prometheus".into(), &"b".into())
            );
            let spec = &monitor["spec"];
            // The Services are in the namespace of the release.
            assert_eq!(
                (&spec["namespaceSelector"], &spec["keepDroppedTargets"]),
                (&json!({"matchNames": ["agntix"]}), &5.into())
            );
            for (field, value) in of_spec.as_object().unwrap() {
                assert_eq!(spec[field], *value, "{field}");
            }
            let endpoint = &spec["endpoints"][0];
            for (field, value) in of_endpoint.as_object().unwrap() {
                assert_eq!(endpoint[field], *value, "{field}");
            }
            assert_eq!(endpoint["enableHttp2"], false);
        }
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn both_targets_of_replicas_have_the_job_that_is_set() {
    let values = json!({"service": {"labels": {"organization": "globex"}}, "serviceMonitor": {"enabled": true, "jobLabel": "organization"}});
    let objects = chart_of(&of_replicas(&values));
    for (name, job) in [(NAME.to_owned(), Value::Null), (format!("{NAME}-replicas"), "globex".into())] {
        let monitor = named(&objects, "ServiceMonitor", &name);
        assert_eq!(monitor["spec"]["jobLabel"], "organization");
        // What no rule sets, the operator takes from the label of the Service.
        assert_eq!(set_to(&monitor["spec"]["endpoints"][0], "job"), job, "{name}");
        assert_eq!(named(&objects, "Service", &name)["metadata"]["labels"]["organization"], "globex");
    }
    // A label that the Services have not: the job stays their name.
    let objects = chart_of(&of_replicas(&json!({"serviceMonitor": {"enabled": true, "jobLabel": "none"}})));
    let replicas = named(&objects, "ServiceMonitor", &format!("{NAME}-replicas"));
    assert_eq!(set_to(&replicas["spec"]["endpoints"][0], "job"), NAME);
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_pod_monitor_gives_the_series_that_a_service_monitor_gives() {
    let shared = json!({"labels": {"release": "prometheus"}, "interval": "30s", "sampleLimit": 5000, "targetLabels": ["a"], "tlsConfig": {"serverName": "a"}});
    let values =
        json!({"serviceMonitor": shared, "podMonitor": {"enabled": true, "interval": "45s", "labels": {"own": "yes"}}});
    for (values, collects) in
        [(of_one(&values), vec![Value::Null]), (of_replicas(&values), vec![json!(["sessions"]), json!(["exporter"])])]
    {
        let objects = chart_of(&values);
        assert!(objects.iter().all(|one| one["kind"] != "ServiceMonitor"));
        let monitor = only(&objects, "PodMonitor");
        models(std::slice::from_ref(monitor)).unwrap();
        let labels = &monitor["metadata"]["labels"];
        assert_eq!(
            (&labels["release"], &labels["own"], &monitor["spec"]["sampleLimit"]),
            (&"prometheus".into(), &"yes".into(), &5000.into())
        );
        let pod = objects.iter().find(|one| one["kind"] == "StatefulSet" || one["kind"] == "Deployment").unwrap();
        let mut wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap().iter();
        assert!(wanted.all(|(label, value)| pod["spec"]["template"]["metadata"]["labels"][label] == *value));
        let endpoints = monitor["spec"]["podMetricsEndpoints"].as_array().unwrap();
        assert_eq!(endpoints.iter().map(|one| one["params"]["collect[]"].clone()).collect::<Vec<_>>(), collects);
        for endpoint in endpoints {
            assert_eq!((&endpoint["port"], &endpoint["path"]), (&"metrics".into(), &"/metrics".into()));
            assert_eq!((&endpoint["interval"], &endpoint["tlsConfig"]["serverName"]), (&"45s".into(), &"a".into()));
            assert_eq!(set_to(endpoint, "job"), NAME, "the operator would call it agntix/{NAME}");
        }
        if collects.len() == 2 {
            assert_eq!(
                (set_to(&endpoints[0], "instance"), set_to(&endpoints[1], "instance")),
                (NAME.into(), Value::Null)
            );
            assert_eq!(set_to(&endpoints[0], "__address__"), format!("{NAME}.agntix.svc:9899"));
        }
    }
    let values =
        json!({"podLabels": {"organization": "globex"}, "podMonitor": {"enabled": true, "jobLabel": "organization"}});
    let objects = chart_of(&of_one(&values));
    assert_eq!(set_to(&only(&objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0], "job"), "globex");
    for said in refusals(&of_one(&json!({"serviceMonitor": {"enabled": true}, "podMonitor": {"enabled": true}}))) {
        assert!(said.contains("would scrape the same series twice: choose one of them"), "{said}");
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn googles_collection_scrapes_one_pod_and_no_replicas() {
    let values = json!({"config": "[web]\ntelemetry_path = '/m'\n", "webConfig": {"existingSecret": "web", "tls": true},
        "podMonitoring": {"enabled": true, "labels": {"a": "b"}, "annotations": {"c": "d"}, "interval": "30s", "scrapeTimeout": "20s", "tls": {"insecureSkipVerify": true},
        "metricRelabeling": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "process_.*"}], "targetLabels": {"metadata": ["pod"]},
        "limits": {"samples": 5000}, "extraEndpoint": {"proxyUrl": "http://proxy:3128"}}});
    let objects = chart_of(&of_one(&values));
    let monitoring = only(&objects, "PodMonitoring");
    assert_eq!(
        (&monitoring["metadata"]["name"], &monitoring["metadata"]["labels"]["a"]),
        (&NAME.into(), &"b".into()),
        "its name is the job"
    );
    let spec = &monitoring["spec"];
    assert_eq!(
        spec["endpoints"],
        json!([{"port": "metrics", "path": "/m", "scheme": "https", "interval": "30s", "timeout": "20s", "tls": {"insecureSkipVerify": true},
        "metricRelabeling": values["podMonitoring"]["metricRelabeling"], "proxyUrl": "http://proxy:3128"}])
    );
    assert_eq!((&spec["targetLabels"], &spec["limits"]), (&json!({"metadata": ["pod"]}), &json!({"samples": 5000})));
    for said in refusals(&of_replicas(&json!({"podMonitoring": {"enabled": true}}))) {
        assert!(
            said.contains("podMonitoring.enabled is set with state.url: each replica serves the sessions of all"),
            "{said}"
        );
    }
}

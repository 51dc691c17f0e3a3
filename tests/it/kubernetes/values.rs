//! Values: what is misspelt or taken away is refused in words, and a text stays a text whatever YAML could read into it.

use serde_json::json;

use super::*;

/// What each Helm says of these values for the demo.
fn refusals_of_demo(values: &Value) -> [String; 2] {
    let mut values = values.clone();
    values["demo"] = true.into();
    refusals(&values)
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn what_is_misspelt_is_refused_with_the_nearest_key() {
    for (values, words) in [
        (json!({"serviceMonitr": {}}), "serviceMonitr is no value of this chart; did you mean serviceMonitor?"),
        (json!({"servicemonitor": {}}), "servicemonitor is no value of this chart; did you mean serviceMonitor?"),
        (
            json!({"serviceMonitor": {"intervall": "5s"}}),
            "serviceMonitor.intervall is no value of this chart; did you mean serviceMonitor.interval?",
        ),
        (json!({"podMonitor": {"relabeling": []}}), "did you mean podMonitor.relabelings?"),
        (
            json!({"webhook": {"ingress": {"hosts": ["a"]}}}),
            "webhook.ingress.hosts is no value of this chart; did you mean webhook.ingress.host?",
        ),
        (
            json!({"rules": {"alerts": {"AgntixSessionsSilent": {"fro": "3m"}}}}),
            "did you mean rules.alerts.AgntixSessionsSilent.for?",
        ),
        (
            json!({"rules": {"thresholds": [{"record": "agntix:threshold:z", "values": 4, "value": 4}]}}),
            "did you mean rules.thresholds[0].value?",
        ),
        (
            json!({"dashboards": {"overrides": {"agntix-overview": {"labls": {}}}}}),
            "did you mean dashboards.overrides.agntix-overview.labels?",
        ),
        (
            json!({"extraEnv": [{"name": "A", "vaule": "b"}]}),
            "extraEnv[0].vaule is no value of this chart; did you mean extraEnv[0].value?",
        ),
        (json!({"livenessProbe": {"failureTreshold": 3}}), "did you mean livenessProbe.failureThreshold?"),
        // A key of another level, and what other charts call it.
        (
            json!({"existingClaim": "a"}),
            "existingClaim is no value of this chart; did you mean persistence.existingClaim?",
        ),
        (json!({"replicaCount": 2}), "replicaCount is no value of this chart; here it is called replicas"),
        (json!({"extraInitContainers": []}), "here it is called initContainers"),
        // Nothing is near.
        (
            json!({"networkPolicy": {"flavour": "a"}}),
            "networkPolicy.flavour is no value of this chart; there can be: databaseTo, enabled, extraEgress, metricsFrom, webhookFrom",
        ),
        (json!({"xyzzy": 1}), "xyzzy is no value of this chart; `helm show values` prints all that there are"),
    ] {
        for said in refusals_of_demo(&values) {
            assert!(said.contains(words), "{values}: {said}");
        }
    }
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn a_lint_refuses_what_is_misspelt_too() {
    for helm in helms() {
        let mut lint = Command::new(helm);
        lint.arg("lint").arg(repository("deploy/helm/agntix-exporter")).args(["--set", "demo=true,image.tga=1"]);
        let output = lint.output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("image.tga is no value of this chart; did you mean image.tag?"), "{said}");
    }
}

/// Where a schema that knows keys lets others pass.
fn open(schema: &Value, at: &str) -> Vec<String> {
    let is_open = schema["properties"].is_object() && schema["additionalProperties"] != false;
    let below = schema.as_object().into_iter().flatten().filter(|(name, _)| *name != "propertyNames");
    let below = below.flat_map(|(name, one)| open(one, &format!("{at}/{name}")));
    is_open.then(|| at.to_owned()).into_iter().chain(below).collect()
}

#[test]
fn the_schema_for_editors_refuses_unknown_keys_at_every_level() {
    let text = std::fs::read_to_string(repository("deploy/helm/agntix-exporter/files/values.schema.json")).unwrap();
    let mut open = open(&serde_json::from_str(&text).unwrap(), "");
    // What is shared with others' charts, and what Kubernetes has more of.
    open.retain(|at| !at.starts_with("/properties/global"));
    assert_eq!(open, ["/definitions/containers/items"]);
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn null_takes_a_default_away_or_is_refused_in_words() {
    for (values, path) in [
        (json!({"service": null}), "service"),
        (json!({"service": {"port": null}}), "service.port"),
        (json!({"image": {"repository": null}}), "image.repository"),
        (json!({"credential": {"type": null}}), "credential.type"),
        (json!({"persistence": {"size": null}}), "persistence.size"),
        (json!({"rules": {"severities": null}}), "rules.severities"),
        (json!({"replicas": null}), "replicas"),
    ] {
        for said in refusals_of_demo(&values) {
            let words = format!("{path} is null, and the chart cannot do without it; leave it out for its default");
            assert!(said.contains(&words), "{values}: {said}");
        }
    }
    // Texts, lists and maps of the user's own are as good as empty.
    let empty = json!({
        "demo": true, "global": null, "imagePullSecrets": null, "commonLabels": null, "commonAnnotations": null, "extraEnv": null,
        "envFrom": null, "extraArgs": null, "extraVolumes": null, "extraVolumeMounts": null, "initContainers": null,
        "extraContainers": null, "podLabels": null, "podAnnotations": null, "nodeSelector": null, "tolerations": null, "affinity": null,
        "priorityClassName": null, "dnsPolicy": null, "dnsConfig": null, "hostAliases": null, "updateStrategy": null,
        "extraManifests": null, "serviceAccount": {"name": null}, "image": {"tag": null, "digest": null},
        "rules": {"enabled": true, "alerts": null, "thresholds": null, "disabled": null, "additionalRuleLabels": null, "labels": null},
        "dashboards": {"enabled": true, "overrides": null, "disabled": null},
        "serviceMonitor": {"enabled": true, "labels": null, "relabelings": null, "tlsConfig": null, "honorTimestamps": null},
    });
    assert!(chart_of(&empty).len() > 9);
    let mut live = json!({"credential": {"existingSecret": "agntix"}, "config": null});
    assert_eq!(only(&chart_of(&live), "ConfigMap")["data"]["config.toml"], "");
    live["resources"] = Value::Null;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        live[probe] = Value::Null;
    }
    let objects = chart_of(&live);
    let container = &only(&objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    for gone in ["resources", "startupProbe", "livenessProbe", "readinessProbe"] {
        assert!(container.get(gone).is_none(), "{gone}");
    }
}

/// What YAML takes for something else when it is not in quotes.
const ODD: [&str; 8] = ["0123", "on", "1e3", "0x1f", "1_000", "12:30:45", "null", "1.10"];

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_text_stays_a_text() {
    for odd in ODD {
        let is_key = odd.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let is_name = is_key && odd.chars().all(|c| !c.is_uppercase() && c != '_') && !odd.starts_with('.');
        let key = if is_key { odd } else { "key" };
        let name = if is_name && !odd.contains('.') { odd } else { "name" };
        let values = json!({
            "nameOverride": name, "fullnameOverride": name, "namespaceOverride": name,
            "commonLabels": {"common": key}, "commonAnnotations": {"common": odd},
            "image": {"repository": "x", "tag": key},
            "imagePullSecrets": [name],
            "credential": {"existingSecret": name, "key": key},
            "extraEnv": [{"name": "A", "value": odd}], "extraArgs": [odd],
            "webhook": {"enabled": true, "existingSecret": name, "key": key, "path": format!("/{odd}"),
                "service": {"annotations": {"a": odd}},
                "ingress": {"enabled": true, "className": name, "host": name, "tlsSecret": name, "annotations": {"a": odd}}},
            "webConfig": {"existingSecret": name, "key": key},
            "service": {"labels": {"a": key}, "annotations": {"a": odd}},
            "persistence": {"storageClass": name, "annotations": {"a": odd}, "labels": {"a": key}},
            "serviceAccount": {"name": name},
            "podLabels": {"a": key}, "podAnnotations": {"a": odd}, "nodeSelector": {"a": key},
            "priorityClassName": name, "runtimeClassName": name, "schedulerName": name,
            "serviceMonitor": {"enabled": true, "labels": {"a": key}, "jobLabel": "a", "proxyUrl": odd},
        });
        let objects = chart_of(&values);
        for object in &objects {
            assert_eq!(object["metadata"]["namespace"], name, "{odd}");
            assert_eq!(object["metadata"]["labels"]["common"], key, "{odd}");
            assert_eq!(object["metadata"]["annotations"]["common"], odd, "{odd}");
        }
        let set = only(&objects, "StatefulSet");
        assert_eq!((&set["metadata"]["name"], &set["spec"]["serviceName"]), (&name.into(), &name.into()));
        assert_eq!(set["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"], name);
        let claim = &set["spec"]["volumeClaimTemplates"][0];
        assert_eq!(
            (&claim["spec"]["storageClassName"], &claim["metadata"]["annotations"]["a"]),
            (&name.into(), &odd.into())
        );
        let (metadata, pod) = (&set["spec"]["template"]["metadata"], &set["spec"]["template"]["spec"]);
        assert_eq!((&metadata["labels"]["a"], &metadata["annotations"]["a"]), (&key.into(), &odd.into()));
        for field in ["priorityClassName", "runtimeClassName", "schedulerName", "serviceAccountName"] {
            assert_eq!(pod[field], name, "{field}");
        }
        assert_eq!((&pod["nodeSelector"]["a"], &pod["imagePullSecrets"]), (&key.into(), &json!([{"name": name}])));
        let container = &pod["containers"][0];
        assert_eq!(container["image"], format!("x:{key}"));
        assert!(container["args"].as_array().unwrap().contains(&odd.into()));
        let env = container["env"].as_array().unwrap();
        assert_eq!(env.last().unwrap()["value"], odd);
        assert!(env.iter().all(|one| one["value"].is_string()));
        let secrets = pod["volumes"].as_array().unwrap().iter().filter_map(|volume| volume.get("secret"));
        for secret in secrets {
            assert_eq!(secret["secretName"], name);
            for item in secret["items"].as_array().into_iter().flatten() {
                assert_eq!((&item["key"], &item["path"]), (&key.into(), &key.into()));
            }
        }
        let ingress = &only(&objects, "Ingress")["spec"];
        assert_eq!((&ingress["ingressClassName"], &ingress["tls"][0]["secretName"]), (&name.into(), &name.into()));
        assert_eq!(ingress["rules"][0]["http"]["paths"][0]["path"], format!("/{odd}"));
        let monitor = only(&objects, "ServiceMonitor");
        assert_eq!(
            (&monitor["metadata"]["labels"]["a"], &monitor["spec"]["endpoints"][0]["proxyUrl"]),
            (&key.into(), &odd.into())
        );
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn a_key_of_digits_on_the_command_line_is_a_text() {
    let objects = chart(&[
        "--set",
        "credential.existingSecret=agntix,credential.key=0123",
        "--set-string",
        "podAnnotations.a=1e3,podLabels.b=on",
    ]);
    let template = &only(&objects, "StatefulSet")["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["a"], "1e3");
    assert_eq!(template["metadata"]["labels"]["b"], "on");
    let volumes = template["spec"]["volumes"].as_array().unwrap();
    let credential = volumes.iter().find(|volume| volume["name"] == "credential").unwrap();
    assert_eq!(credential["secret"]["items"], json!([{"key": "0123", "path": "0123"}]));
}

/// What is below a value, by the path of the value.
type Children<'c> = &'c dyn Fn(&str, &Value) -> Option<serde_json::Map<String, Value>>;

/// The paths of all values below one, as far as values.yaml or the schema names them.
fn paths(of: &Value, below: &str, list: Children<'_>) -> BTreeSet<String> {
    let Some(children) = list(below, of).filter(|children| !children.is_empty()) else {
        return BTreeSet::from([below.into()]);
    };
    children.iter().flat_map(|(name, child)| paths(child, &format!("{below}.{name}"), list)).collect()
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn each_value_has_a_default_a_schema_and_a_line_in_the_readme() {
    let text = |path: &str| std::fs::read_to_string(repository(path)).unwrap();
    let schema: Value = serde_json::from_str(&text("deploy/helm/agntix-exporter/files/values.schema.json")).unwrap();
    let values = &parsed(&text("deploy/helm/agntix-exporter/values.yaml"))[0];
    // Helm's own, and maps that have defaults but are the user's.
    let without_default = [".enabled", ".tags"];
    let open = [
        ".dashboards.labels",
        ".dashboards.annotations",
        ".dashboards.grafanaOperator.instanceSelector",
        ".livenessProbe",
        ".podMonitor",
        ".podSecurityContext",
        ".readinessProbe",
        ".resources",
        ".securityContext",
        ".startupProbe",
        ".updateStrategy",
    ];
    let in_schema = paths(&schema, "", &|below, one| {
        let name = one["$ref"].as_str().map(|name| name.trim_start_matches('#'));
        let one = name.map_or(one, |name| schema.pointer(name).unwrap());
        one["properties"].as_object().filter(|_| !open.contains(&below)).cloned()
    });
    let with_default = paths(values, "", &|below, one| one.as_object().filter(|_| !open.contains(&below)).cloned());
    let in_schema: BTreeSet<String> =
        in_schema.into_iter().filter(|path| !without_default.contains(&path.as_str())).collect();
    assert_eq!(in_schema, with_default);
    let readme = text("deploy/helm/agntix-exporter/README.md");
    for path in &with_default {
        // A group's keys stand behind it: `image.repository`, `.tag`.
        let path = path.trim_start_matches('.');
        let last = path.rsplit_once('.').map_or(path, |(_, last)| last);
        let named = ["`", "."]
            .iter()
            .any(|before| readme.contains(&format!("{before}{last}`")) || readme.contains(&format!("{before}{last}.")));
        assert!(named, "{path} is not in README.md");
    }
}

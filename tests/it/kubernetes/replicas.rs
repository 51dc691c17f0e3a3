//! Replicas that share a database: a Deployment without a volume, a target for the sessions and one a replica, and what keeps the
//! page served while a node is drained or the version changes.

use serde_json::json;

use super::manifests::check_operator;
use super::*;

const NAME: &str = "acme-agntix-exporter";

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn replicas_are_a_deployment_without_a_volume_that_serves_while_it_changes() {
    for version in VERSIONS {
        let objects = replicated(version, &[]);
        let expected = [
            "ConfigMap",
            "Deployment",
            "NetworkPolicy",
            "Pod",
            "PodDisruptionBudget",
            "Service",
            "ServiceAccount",
            "ServiceMonitor",
        ];
        assert_eq!(kinds(&objects), expected);
        let deployment = &only(&objects, "Deployment")["spec"];
        assert_eq!(deployment["replicas"], 3);
        assert_eq!(deployment["strategy"]["rollingUpdate"], json!({"maxUnavailable": 0, "maxSurge": 1}));
        let (labels, pod) = (&deployment["template"]["metadata"]["labels"], &deployment["template"]["spec"]);
        assert_eq!(only(&objects, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
        let spread = pod["topologySpreadConstraints"].as_array().unwrap();
        let keys: Vec<&Value> = spread.iter().map(|one| &one["topologyKey"]).collect();
        assert_eq!(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
        for constraint in spread {
            let selected = constraint["labelSelector"]["matchLabels"].as_object().unwrap();
            assert!(selected.iter().all(|(label, value)| labels[label] == *value), "{constraint}");
        }
        let container = &pod["containers"][0];
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/-/ready?page");
        // Older ones do not know it.
        let is_waiting = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
        assert_eq!(is_waiting, (version != "1.27.0").then_some(5));
        // It must end in what is left then.
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > 5 + 5);
    }
    let own = [
        "--set-json",
        r#"topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"rack","whenUnsatisfiable":"DoNotSchedule"}]"#,
    ];
    let objects = replicated("1.31.0", &own);
    let spread = &only(&objects, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"];
    assert_eq!((spread.as_array().unwrap().len(), &spread[0]["topologyKey"]), (1, &"rack".into()));
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn one_target_is_the_organizations_and_one_a_replica_is_the_processs() {
    let objects = replicated("1.31.0", &[]);
    assert_eq!(check_operator(&objects), 2);
    let endpoint = |name: &str| {
        let monitor = &named(&objects, "ServiceMonitor", name)["spec"];
        let wanted = monitor["selector"]["matchLabels"].as_object().unwrap();
        let chosen: Vec<&Value> = objects
            .iter()
            .filter(|one| one["kind"] == "Service")
            .filter(|one| wanted.iter().all(|(label, value)| one["metadata"]["labels"][label] == *value))
            .collect();
        assert_eq!(chosen.len(), 1, "{name}");
        assert_eq!(chosen[0]["metadata"]["name"], name);
        monitor["endpoints"][0].clone()
    };
    let (sessions, exporter) = (endpoint(NAME), endpoint(&format!("{NAME}-replicas")));
    assert_eq!(sessions["params"], json!({"collect[]": ["sessions"]}));
    assert_eq!(exporter["params"], json!({"collect[]": ["exporter"]}));
    // Whatever pod is behind it, it is the same target: tests/it/replicas/targets.rs asks a real Prometheus.
    let last = |endpoint: &Value, label: &str| {
        let mut rules = endpoint["relabelings"].as_array().unwrap().iter();
        rules.rfind(|rule| rule["targetLabel"] == label).cloned().unwrap_or_default()["replacement"].clone()
    };
    assert_eq!(last(&sessions, "__address__"), "acme-agntix-exporter.agntix.svc:9899");
    assert_eq!(last(&sessions, "instance"), NAME);
    // Both are one job, which is the organization to the rules: the operator calls a job as its Service.
    assert_eq!((last(&sessions, "job"), last(&exporter, "job")), (Value::Null, NAME.into()));
    let drops: Vec<&Value> =
        sessions["relabelings"].as_array().unwrap().iter().filter(|rule| rule["action"] == "labeldrop").collect();
    assert_eq!(drops.len(), 1);
    assert_eq!(drops[0]["regex"], "pod|container|node");

    // Only who can serve is asked for the page and sent deliveries; each is asked for itself, whatever it can.
    let published = |name: &str| named(&objects, "Service", name)["spec"]["publishNotReadyAddresses"].clone();
    assert_eq!(published(NAME), Value::Null);
    assert_eq!(published(&format!("{NAME}-webhook")), Value::Null);
    assert_eq!(published(&format!("{NAME}-replicas")), true);
    let replicas = named(&objects, "Service", &format!("{NAME}-replicas"));
    assert_eq!(
        (&replicas["spec"]["clusterIP"], &replicas["metadata"]["annotations"]["a"]),
        (&"None".into(), &"b".into())
    );
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn network_policy_lets_replicas_reach_the_database_at_each_of_its_ports() {
    let objects = replicated("1.31.0", &[]);
    let egress = only(&objects, "NetworkPolicy")["spec"]["egress"].clone();
    let to_database = json!({"ports": [{"port": 6432}, {"port": 5432}], "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]});
    assert!(egress.as_array().unwrap().contains(&to_database), "{egress}");
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn notes_say_how_replicas_are_scraped() {
    // Helm 3 shows notes only to who has a cluster.
    let [_, helm] = helms();
    let values = repository("tests/it/kubernetes/replicas.yaml");
    let mut command = Command::new(helm);
    command.args(["install", "acme"]).arg(repository("deploy/helm/agntix-exporter"));
    command.args(["--namespace", "agntix", "--dry-run=client", "--values"]).arg(values);
    let shown = ask(command.args(["--set", "serviceMonitor.enabled=false"]), "").unwrap();
    for words in [
        "rollout status deployment/acme-agntix-exporter",
        "http://acme-agntix-exporter.agntix.svc:9899/metrics?collect[]=sessions",
        "http://acme-agntix-exporter-replicas.agntix.svc:9899/metrics?collect[]=exporter",
    ] {
        assert!(shown.contains(words), "{words} is not in {shown}");
    }
}

//! The pod: what it may do, what it is given, and that the program understands its arguments.

use super::*;

/// What makes the pods: a `StatefulSet` of one, or a `Deployment` of replicas.
fn workload(objects: &[Value]) -> &Value {
    let is_workload = |object: &&Value| object["kind"] == "StatefulSet" || object["kind"] == "Deployment";
    objects.iter().find(is_workload).unwrap()
}

fn pod(objects: &[Value]) -> &Value {
    &workload(objects)["spec"]["template"]["spec"]
}

fn kustomized() -> Vec<Value> {
    kustomized_in("deploy/kubernetes", &VERSIONS)
}

/// Replicas by Helm, and by kustomize, which has no older version of Kubernetes.
fn with_replicas() -> [Vec<Value>; 2] {
    [replicated("1.31.0", &[]), kustomized_in("deploy/kubernetes/replicas", &VERSIONS[1..])]
}

/// By the Pod Security Standard `restricted` of Kubernetes, and a read-only root file system besides.
fn assert_restricted(pod: &Value) {
    for forbidden in ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers", "ephemeralContainers"] {
        assert!(pod.get(forbidden).is_none(), "{forbidden}");
    }
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["runAsUser"], 65532);
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    let context = &containers[0]["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"], serde_json::json!({"drop": ["ALL"]}));
    assert!(context.get("privileged").is_none());
    for port in containers[0]["ports"].as_array().unwrap() {
        assert!(port.get("hostPort").is_none());
    }
    for volume in pod["volumes"].as_array().unwrap() {
        let kinds: Vec<&String> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        assert!(
            matches!(kinds[..], [kind] if ["configMap", "secret", "emptyDir"].contains(&kind.as_str())),
            "{volume}"
        );
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn it_is_restricted_and_alone() {
    for objects in [chart(&CREDENTIAL), chart(&["--set", "demo=true"]), everything(), kustomized()] {
        assert_restricted(pod(&objects));
        assert_eq!(only(&objects, "StatefulSet")["spec"]["replicas"], 1);
        let container = &pod(&objects)["containers"][0];
        for (probe, path) in
            [("startupProbe", "/-/healthy"), ("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")]
        {
            assert_eq!(container[probe]["httpGet"]["path"], path);
            assert_eq!(container[probe]["httpGet"]["port"], "metrics");
        }
    }
    let kustomized = kustomized();
    // With the namespace among them `kubectl delete -k` would delete the claim and so the counts.
    assert_eq!(kinds(&kustomized), ["ConfigMap", "Service", "ServiceAccount", "StatefulSet"]);
    let namespace = std::fs::read_to_string(repository("deploy/kubernetes/namespace.yaml")).unwrap();
    let namespace = &objects(&namespace, &VERSIONS)[0];
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    assert!(kustomized.iter().all(|object| object["metadata"]["namespace"] == namespace["metadata"]["name"]));
    // A claim of its own, kept when the release goes, is what makes a new pod go on counting.
    let claim = &only(&kustomized, "StatefulSet")["spec"];
    // By the other policy a pod that never becomes ready is not replaced by a mended one.
    assert_eq!(claim["podManagementPolicy"], "Parallel");
    assert_eq!(claim["volumeClaimTemplates"][0]["metadata"]["name"], "state");
    assert_eq!(claim["persistentVolumeClaimRetentionPolicy"]["whenDeleted"], "Retain");
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn every_mounted_volume_is_there_and_every_volume_is_mounted() {
    let single = [chart(&CREDENTIAL), chart(&["--set", "demo=true"]), everything(), kustomized()];
    for objects in single.into_iter().chain(with_replicas()) {
        let (set, pod) = (&workload(&objects)["spec"], pod(&objects));
        let named = |list: &Value, path: &str| -> std::collections::BTreeSet<String> {
            list.as_array()
                .into_iter()
                .flatten()
                .map(|one| one.pointer(path).unwrap().as_str().unwrap().into())
                .collect()
        };
        let mounted = named(&pod["containers"][0]["volumeMounts"], "/name");
        let there = &named(&pod["volumes"], "/name") | &named(&set["volumeClaimTemplates"], "/metadata/name");
        assert_eq!(mounted, there);
        let configs =
            pod["volumes"].as_array().unwrap().iter().filter_map(|volume| volume["configMap"]["name"].as_str());
        for name in configs {
            assert!(objects.iter().any(|one| one["kind"] == "ConfigMap" && one["metadata"]["name"] == name), "{name}");
        }
    }
}

/// Runs the program as the pod would, but for `--config.check`, with what is mounted at other places.
fn check_configuration(objects: &[Value]) -> String {
    const MOUNTED: &str = "/etc/agntix-exporter";
    let place = tempfile::tempdir().unwrap();
    let here = |path: &str| path.replace(MOUNTED, place.path().to_str().unwrap());
    let write = |path: &str, text: &str| {
        let path = PathBuf::from(here(path));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let (pod, container) = (pod(objects), &pod(objects)["containers"][0]);
    for mount in container["volumeMounts"].as_array().unwrap() {
        let path = mount["mountPath"].as_str().unwrap();
        let Some(volume) = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"])
        else {
            continue;
        };
        if let Some(name) = volume["configMap"]["name"].as_str() {
            let of_name = |one: &&Value| one["kind"] == "ConfigMap" && one["metadata"]["name"] == name;
            let data = &objects.iter().find(of_name).unwrap()["data"];
            write(path, data[mount["subPath"].as_str().unwrap()].as_str().unwrap());
        } else {
            // What the user's own Secrets hold, under the keys that the chart asks for or documents.
            let keys =
                volume["secret"]["items"].as_array().into_iter().flatten().map(|item| item["key"].as_str().unwrap());
            for key in keys {
                let secret = if mount["name"] == "webhook" { crate::support::WEBHOOK_SECRET } else { "pk" };
                write(&format!("{path}/{key}"), secret);
            }
            if mount["name"] == "web" {
                write(&format!("{path}/web.yml"), "http_server_config: {headers: {X-Frame-Options: deny}}\n");
            }
        }
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_agntix-exporter"));
    command.env_clear().arg("--config.check");
    command.args(container["args"].as_array().unwrap().iter().map(|argument| here(argument.as_str().unwrap())));
    for variable in container["env"].as_array().unwrap() {
        command.env(variable["name"].as_str().unwrap(), here(variable["value"].as_str().unwrap()));
    }
    ask(&mut command, "").unwrap_or_else(|e| panic!("{e}"))
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn the_program_understands_its_arguments_environment_and_files() {
    let usual = check_configuration(&chart(&CREDENTIAL));
    assert!(usual.contains("/data"), "{usual}");
    let all = check_configuration(&everything());
    for said in ["watch_recent = 20", "max_requests = 10", "format = \"json\"", "listen_address = \":9897\"", "2h"] {
        assert!(all.contains(said), "{said} is not in {all}");
    }
    check_configuration(&kustomized());
    let [by_helm, by_kustomize] = with_replicas().map(|objects| {
        assert_restricted(pod(&objects));
        check_configuration(&objects)
    });
    for said in ["postgres://exporter@db1:6432,db2/agntix?", "schema = \"acme\"", "/database/secret\""] {
        assert!(by_helm.contains(said), "{said} is not in {by_helm}");
    }
    assert!(by_kustomize.contains("postgres://exporter@postgres.example/agntix?"), "{by_kustomize}");
    assert!(!by_kustomize.contains("in-config.toml"), "{by_kustomize}");
    let demo = chart(&["--set", "demo=true"]);
    let arguments = &pod(&demo)["containers"][0]["args"];
    assert_eq!(*arguments, serde_json::json!(["demo", "--web.listen-address=:9899"]));
}

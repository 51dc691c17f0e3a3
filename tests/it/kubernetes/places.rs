//! Where the chart is installed: as a dependency of another chart, on OpenShift, and in namespaces and registries that others choose.

use serde_json::json;

use super::*;

/// A chart with this one among its dependencies, twice, as `helm dependency` brings it.
fn umbrella(helm: &Path, values: &Value) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let repository = format!("file://{}", repository("deploy/helm/agntix-exporter").display());
    let dependency = |alias: &str| {
        json!({"name": "agntix-exporter", "version": ">=0.0.0-0", "repository": repository, "alias": alias,
            "condition": format!("{alias}.enabled"), "tags": ["monitoring"]})
    };
    let chart = json!({"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": [dependency("acme"), dependency("beta")]});
    std::fs::write(place.path().join("Chart.yaml"), chart.to_string()).unwrap();
    std::fs::write(place.path().join("values.yaml"), values.to_string()).unwrap();
    let mut command = Command::new(helm);
    // Helm keeps what it knows of repositories in the user's home.
    command.env("HOME", place.path()).args(["dependency", "update", "--skip-refresh"]).arg(place.path());
    ask(&mut command, "").unwrap();
    place
}

/// The objects that each Helm makes of an umbrella with these values.
fn in_umbrella(values: &Value, arguments: &[&str]) -> [Vec<Value>; 2] {
    helms().map(|helm| {
        let place = umbrella(&helm, values);
        objects(&rendered_by(&helm, place.path(), arguments).unwrap(), &VERSIONS)
    })
}

fn set<'o>(objects: &'o [Value], name: &str) -> &'o Value {
    &named(objects, "StatefulSet", name)["spec"]["template"]["spec"]
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn an_umbrella_passes_on_what_is_global_and_chooses_by_condition() {
    let values = json!({
        "global": {"imageRegistry": "mirror.example:5000", "imagePullSecrets": ["mirror", {"name": "own"}], "storageClass": "fast", "of": {"others": 1}},
        "tags": {"monitoring": true},
        "acme": {"enabled": true, "credential": {"existingSecret": "acme"}, "imagePullSecrets": [{"name": "own"}],
            "image": {"repository": "registry.example/team/agntix-exporter"}},
        "beta": {"enabled": false, "demo": true},
    });
    for made in in_umbrella(&values, &[]) {
        let names: Vec<&Value> =
            made.iter().filter(|one| one["kind"] == "StatefulSet").map(|one| &one["metadata"]["name"]).collect();
        assert_eq!(names, ["acme"]);
        let pod = set(&made, "acme");
        // Its own registry gives way to that of all, and each secret is there once.
        assert_eq!(
            pod["containers"][0]["image"],
            format!("mirror.example:5000/team/agntix-exporter:{}", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "own"}, {"name": "mirror"}]));
        let test = named(&made, "Pod", "acme-test");
        assert_eq!(
            (&test["spec"]["containers"][0]["image"], &test["spec"]["imagePullSecrets"]),
            (&pod["containers"][0]["image"], &pod["imagePullSecrets"])
        );
    }
    // What a chart leaves empty for others.
    let empty = json!({"global": {"imageRegistry": null, "imagePullSecrets": null, "compatibility": {"openshift": null}}, "acme": {"demo": true}, "beta": {"enabled": false}});
    for made in in_umbrella(&empty, &[]) {
        assert!(set(&made, "acme").get("imagePullSecrets").is_none());
    }
    let both =
        in_umbrella(&values, &["--set", "beta.enabled=true,beta.image.registry=quay.example,global.imageRegistry="]);
    for made in both {
        let acme = set(&made, "acme")["containers"][0]["image"].as_str().unwrap();
        assert!(acme.starts_with("registry.example/team/agntix-exporter:"), "{acme}");
        let beta = set(&made, "acme-beta")["containers"][0]["image"].as_str().unwrap();
        assert!(beta.starts_with("quay.example/agntix-exporter/agntix-exporter:"), "{beta}");
    }
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn what_is_misspelt_in_an_umbrella_is_refused_and_enabled_is_not_forgotten() {
    for helm in helms() {
        let place = umbrella(&helm, &json!({"acme": {"demo": true}, "beta": {"enabled": false}}));
        let said = rendered_by(&helm, place.path(), &["--set", "acme.pdoLabels.a=b"]).unwrap_err();
        assert!(said.contains("pdoLabels is no value of this chart; did you mean podLabels?"), "{said}");
        // Without a condition Helm renders it all the same.
        let chart = std::fs::read_to_string(place.path().join("Chart.yaml")).unwrap();
        std::fs::write(place.path().join("Chart.yaml"), chart.replace(r#""condition":"beta.enabled","#, "")).unwrap();
        let said = rendered_by(&helm, place.path(), &[]).unwrap_err();
        assert!(said.contains("name beta.enabled as the condition of the dependency"), "{said}");
    }
}

/// Refuses what the constraint restricted-v2 of OpenShift refuses: it chooses user and groups from ranges of the namespace.
fn assert_restricted_v2(pod: &Value) {
    let contexts = [&pod["securityContext"], &pod["containers"][0]["securityContext"]];
    for context in contexts {
        for chosen in ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"] {
            assert!(context.get(chosen).is_none(), "{chosen}: {context}");
        }
    }
    assert_eq!(contexts[0]["runAsNonRoot"], true);
    assert_eq!(contexts[0]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(contexts[1]["allowPrivilegeEscalation"], false);
    assert_eq!(contexts[1]["capabilities"]["drop"], json!(["ALL"]));
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        assert!(kinds.iter().any(|kind| volume.get(kind).is_some()), "{volume}");
        // The group of the files may be another one than root's only by fsGroup.
        if let Some(mode) = volume["secret"].get("defaultMode") {
            assert_eq!(mode, 0o444, "{volume}");
        }
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn openshift_chooses_user_and_groups() {
    let own = repository("deploy/helm/agntix-exporter/values-openshift.yaml");
    let own = own.to_str().unwrap();
    let everything = repository("tests/it/kubernetes/everything.yaml");
    let force = ["--set", "global.compatibility.openshift.adaptSecurityContext=force"];
    let there = ["--api-versions", "security.openshift.io/v1"];
    let (of_demo, of_everything) = (["--set", "demo=true"], ["--values", everything.to_str().unwrap()]);
    for (arguments, values) in [(&["--values", own][..], &of_everything[..]), (&force, &CREDENTIAL), (&there, &of_demo)]
    {
        let made = chart(&[arguments, values].concat());
        for pod in [&only(&made, "StatefulSet")["spec"]["template"]["spec"], &only(&made, "Pod")["spec"]] {
            assert_restricted_v2(pod);
        }
    }
    let made = replicated("1.31.0", &["--values", own]);
    assert_restricted_v2(&only(&made, "Deployment")["spec"]["template"]["spec"]);
    let disabled =
        [&CREDENTIAL[..], &there, &["--set", "global.compatibility.openshift.adaptSecurityContext=disabled"]].concat();
    assert_eq!(
        only(&chart(&disabled), "StatefulSet")["spec"]["template"]["spec"]["securityContext"]["runAsUser"],
        65532
    );

    // Below another chart: by a file, where null is passed on, and by what all charts share, since it is not from values.yaml (helm#32132).
    let below =
        json!({"acme": {"demo": true, "podSecurityContext": {"runAsUser": null, "runAsGroup": null, "fsGroup": null}}});
    let file = values_file(&below);
    let globally = json!({"acme": {"demo": true}, "beta": {"enabled": false}, "global": {"compatibility": {"openshift": {"adaptSecurityContext": "force"}}}});
    for made in in_umbrella(&json!({"beta": {"enabled": false}}), &["--values", file.path().to_str().unwrap()])
        .into_iter()
        .chain(in_umbrella(&globally, &[]))
    {
        assert_restricted_v2(set(&made, "acme"));
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn openshift_chooses_user_and_groups_of_what_kustomize_makes() {
    for (folder, kind) in [("one", "StatefulSet"), ("replicas", "Deployment")] {
        let place = tempfile::tempdir().unwrap();
        let from = repository("deploy/kubernetes");
        let from = if folder == "replicas" { from.join("replicas") } else { from };
        for (source, copy) in [(from, "base"), (repository("deploy/kubernetes/openshift"), "openshift")] {
            std::fs::create_dir(place.path().join(copy)).unwrap();
            for (name, text) in files(source.to_str().unwrap()) {
                std::fs::write(place.path().join(copy).join(name), text).unwrap();
            }
        }
        let own = json!({"resources": ["base"], "components": ["openshift"]});
        std::fs::write(place.path().join("kustomization.yaml"), own.to_string()).unwrap();
        let objects = kustomized_in(place.path().to_str().unwrap(), &VERSIONS[1..]);
        let context = &only(&objects, kind)["spec"]["template"]["spec"]["securityContext"];
        let left = json!({"fsGroupChangePolicy": "OnRootMismatch", "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
        assert_eq!(*context, left);
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn security_contexts_are_the_users_down_to_nothing() {
    let context = |values: Value| {
        let mut values = values;
        values["demo"] = true.into();
        let made = chart_of(&values);
        let pod = &only(&made, "StatefulSet")["spec"]["template"]["spec"];
        (pod.get("securityContext").cloned(), pod["containers"][0].get("securityContext").cloned())
    };
    assert_eq!(context(json!({"podSecurityContext": null, "securityContext": null})), (None, None));
    let off = json!({"enabled": false});
    assert_eq!(context(json!({"podSecurityContext": off, "securityContext": off})), (None, None));
    let (pod, container) = context(json!({
        "podSecurityContext": {"runAsUser": 1000, "fsGroup": null, "fsGroupChangePolicy": null, "seccompProfile": null, "supplementalGroups": [5]},
        "securityContext": {"capabilities": {"drop": null, "add": ["NET_BIND_SERVICE"]}, "readOnlyRootFilesystem": null},
    }));
    assert_eq!(
        pod.unwrap(),
        json!({"runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 65532, "supplementalGroups": [5]})
    );
    assert_eq!(
        container.unwrap(),
        json!({"allowPrivilegeEscalation": false, "capabilities": {"add": ["NET_BIND_SERVICE"]}})
    );
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn all_objects_are_in_the_namespace_that_is_set_and_name_it() {
    let mut arguments = vec!["--set", "namespaceOverride=elsewhere"];
    let everything = repository("tests/it/kubernetes/everything.yaml");
    arguments.extend(["--values", everything.to_str().unwrap()]);
    for objects in [chart(&arguments), replicated("1.31.0", &arguments[..2])] {
        for object in &objects {
            assert_eq!(
                object["metadata"]["namespace"], "elsewhere",
                "{} {}",
                object["kind"], object["metadata"]["name"]
            );
        }
        let text = Value::from(objects).to_string();
        assert!(
            text.contains("elsewhere.svc") && !text.contains(".agntix.svc"),
            "an address is in the namespace of the release"
        );
    }
}

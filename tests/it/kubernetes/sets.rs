//! Forty sets of values, each of a user's situation, and the plain manifests, on each version of Kubernetes that has a schema.

use super::*;

/// Each version that the chart is checked against, from the oldest that `Chart.yaml` asks for to the newest that has a schema. A new one is a line
/// here, once the package of `.ci/tools` that brings the schemas has it.
const SUPPORTED: [&str; 11] =
    ["1.27.0", "1.28.0", "1.29.0", "1.30.0", "1.31.0", "1.32.0", "1.33.0", "1.34.0", "1.35.0", "1.36.0", "1.37.0"];
const CHART: &str = "deploy/helm/agntix-exporter";
const SETS: &str = "tests/it/kubernetes/sets";

/// What somebody renders, and on which version.
#[derive(Clone, serde::Serialize)]
struct Rendering {
    set: String,
    version: String,
    text: String,
}

/// What the schemas say of all renderings.
#[derive(serde::Deserialize)]
struct Said {
    problems: Vec<String>,
    kinds: BTreeMap<String, Vec<String>>,
    foreign: Vec<Value>,
}

/// Does this for all items, with as many threads as there are processors.
fn beside<I: Sync, O: Send>(items: &[I], work: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> = items
            .chunks(items.len().div_ceil(threads))
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<O>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

/// A set on a version, as Helm 4 renders it.
fn render(helm: &Path, set: &str, version: &str) -> Result<String, String> {
    let values = repository(SETS).join(format!("{set}.yaml"));
    rendered_by(helm, &repository(CHART), &["--values", values.to_str().unwrap(), "--kube-version", version])
}

/// What the schemas say of these renderings.
fn check(renderings: &[Rendering]) -> Said {
    let python = tool::locate("KUBERNETES_PYTHON", "kubernetes-python/bin/python");
    let asked = serde_json::json!({"versions": SUPPORTED, "renderings": renderings});
    let program = repository("tests/it/kubernetes/sets.py");
    let mut said: Said =
        serde_json::from_str(&ask(Command::new(python).arg(program), &asked.to_string()).unwrap()).unwrap();
    if let Err(problem) = models(&said.foreign) {
        said.problems.push(problem);
    }
    said
}

/// The versions, parted where a template asks whether Kubernetes is so new: within a part, all render the same.
fn steps() -> Vec<&'static [&'static str]> {
    let templates = files(&format!("{CHART}/templates"));
    let asked =
        templates.values().flat_map(|text| text.lines()).filter(|line| line.contains("Capabilities.KubeVersion"));
    let first: BTreeSet<String> = asked
        .map(|line| {
            let version = line.split_once("semverCompare \">=").and_then(|(_, rest)| rest.split_once("-0\""));
            format!("{}.0", version.unwrap_or_else(|| panic!("not one version and all newer ones: {line}")).0)
        })
        .collect();
    let mut parts = vec![&SUPPORTED[..]];
    while let Some(at) = parts.last().and_then(|part| part.iter().skip(1).position(|version| first.contains(*version)))
    {
        let (old, new) = parts.pop().unwrap().split_at(at + 1);
        parts.extend([old, new]);
    }
    assert_eq!(parts.len(), first.len() + 1, "{first:?}");
    parts
}

/// The documents of a rendering, in no order.
fn unordered(text: &str) -> BTreeSet<&str> {
    text.split("---\n").map(str::trim).collect()
}

/// Each set by its name, with who it is of and the kinds that it says it renders.
fn sets() -> BTreeMap<String, (String, String)> {
    let of = |(file, text): (String, String)| {
        let name = file.strip_suffix(".yaml").unwrap_or_else(|| panic!("{file} is no set of values")).to_owned();
        let mut comments = text.lines().map_while(|line| line.strip_prefix("# ").map(str::to_owned));
        let who = comments.next().unwrap_or_else(|| panic!("{file} does not say whose it is"));
        let kinds = comments.find_map(|line| line.strip_prefix("renders: ").map(str::to_owned));
        (name, (who, kinds.unwrap_or_else(|| panic!("{file} does not say what it renders"))))
    };
    files(SETS).into_iter().map(of).collect()
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn forty_sets_of_values_are_as_each_version_of_kubernetes_wants_them() {
    let sets = sets();
    let [old, new] = helms();
    let steps = steps();
    let wanted: Vec<(&String, &[&str])> =
        sets.keys().flat_map(|set| steps.iter().map(move |step| (set, *step))).collect();
    let mut renderings = beside(&wanted, |(set, versions)| {
        let text = render(&new, set, versions[0]).unwrap_or_else(|e| panic!("{set}, Kubernetes {}: {e}", versions[0]));
        let of = |version: &&str| Rendering { set: (*set).clone(), version: (*version).to_owned(), text: text.clone() };
        versions.iter().map(of).collect::<Vec<_>>()
    })
    .concat();
    let newest: Vec<Rendering> =
        renderings.iter().filter(|one| one.version == *SUPPORTED.last().unwrap()).cloned().collect();
    beside(&newest, |Rendering { set, version, text }| {
        let of_old = render(&old, set, version).unwrap_or_else(|e| panic!("{set}, Helm 3: {e}"));
        assert_eq!(unordered(&of_old), unordered(text), "{set}: Helm 3 and 4 differ");
    });
    let distinct: BTreeSet<&str> = newest.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(distinct.len(), newest.len(), "two sets render the same");

    for folder in ["deploy/kubernetes", "deploy/kubernetes/replicas"] {
        // What is generated for replicas waits by `sleep`, which 1.30 is the first to have.
        let text = kustomized(folder);
        let versions = SUPPORTED.into_iter().filter(|version| !folder.ends_with("replicas") || *version >= "1.30.0");
        renderings.extend(versions.map(|version| Rendering {
            set: folder.to_owned(),
            version: version.to_owned(),
            text: text.clone(),
        }));
    }
    let said = check(&renderings);
    assert!(said.problems.is_empty(), "{}", said.problems.join("\n"));
    for (set, (who, kinds)) in &sets {
        assert_eq!(said.kinds[set].join(" "), *kinds, "{set}: {who}");
    }
    assert!(sets.len() >= 40, "{} sets", sets.len());
}

#[test]
#[ignore = "needs the schemas from .ci/tools"]
fn a_misspelt_field_a_repeated_name_and_an_unknown_kind_are_refused() {
    let named =
        |kind: &str, api: &str, rest: &str| format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\n{rest}\n");
    let pod = |rest: &str| named("Pod", "v1", &format!("spec: {{containers: [{{name: a, image: a, {rest}}}]}}"));
    let service =
        |labels: &str| format!("{}  labels: {{{labels}}}\n", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n");
    let monitor = "monitoring.coreos.com/v1";
    let mistakes = [
        (pod("imagePullPolice: Always"), "imagePullPolice"),
        (pod("env: [{name: A, value: 1}]"), "1 is not of type 'string'"),
        (pod("env: [{name: A, value: x}, {name: A, value: y}]"), "two items have the same name: A"),
        (
            pod("ports: [{containerPort: 1}, {containerPort: 1, protocol: TCP}]"),
            "two items have the same containerPort and protocol",
        ),
        (pod("ports: [{containerPort: 1, name: much-too-long-name}]"), "much-too-long-name is no name of a port"),
        (pod("volumeMounts: [{name: b, mountPath: /b}]"), "a mounts b, and the volumes are []"),
        (pod("livenessProbe: {httpGet: {port: http}}"), "livenessProbe asks the port http"),
        (service("a: \"b c\""), "a: b c is no label"),
        (named("Pod", "v2", ""), "Kubernetes 1.37.0 has no Pod in v2"),
        (named("Something", "acme.example/v1", ""), "has no Something in acme.example/v1"),
        (
            named("ServiceMonitor", monitor, "spec: {selector: {}, endpoints: [{port: a, pathh: /}]}"),
            "there is no field .spec.endpoints.0.pathh",
        ),
        (
            named("PodMonitor", monitor, "spec: {selector: {}, podMetricsEndpoints: [{port: a, interval: 3x}]}"),
            "interval must match pattern",
        ),
        (
            named("HTTPRoute", "gateway.networking.k8s.io/v1", "spec: {parentRef: []}"),
            "there is no field .spec.parentRef",
        ),
        (
            named(
                "PodMonitoring",
                "monitoring.googleapis.com/v1",
                "spec: {selector: {}, endpoints: [{port: a, metricRelabeling: [{targetLabel: job}]}]}",
            ),
            "targetLabel: 'job' should not be valid",
        ),
        (
            named("GrafanaDashboard", "grafana.integreatly.org/v1beta1", "spec: {instanceSelector: {}, jsn: a}"),
            "'jsn' was unexpected",
        ),
        (
            named("Service", "v1", "spec: {ports: [{port: 1, targetPort: web}], selector: {a: b}}"),
            "the Service a chooses no pod",
        ),
        (format!("{0}---\n{0}", service("")), "there are two of v1 ConfigMap None a"),
    ];
    for (text, words) in mistakes {
        let said = check(&[Rendering { set: "mistake".into(), version: "1.37.0".into(), text: text.clone() }]);
        assert!(said.problems.iter().any(|problem| problem.contains(words)), "{text}{:?}", said.problems);
    }
}

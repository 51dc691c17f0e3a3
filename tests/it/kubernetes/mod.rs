//! The chart and the manifests of `deploy/`, as Helm 3, Helm 4 and kubectl make them, against the schemas of Kubernetes and of
//! Prometheus Operator, the files that they must not copy, and the program that they start. No cluster is needed.

mod copies;
mod dashboards;
mod manifests;
mod paths;
mod places;
mod pod;
mod replicas;
mod scraping;
mod sets;
mod settings;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::tool;

/// The oldest Kubernetes that the chart asks for, one between, and the newest with a schema.
const VERSIONS: [&str; 3] = ["1.27.0", "1.31.0", "1.37.0"];
const CREDENTIAL: [&str; 2] = ["--set", "credential.existingSecret=agntix"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn helms() -> [PathBuf; 2] {
    [tool::locate("HELM_3", "helm3/helm/helm"), tool::locate("HELM_4", "helm4/helm/helm")]
}

/// What a program prints, with this on its standard input; or what it says is wrong.
fn ask(command: &mut Command, input: &str) -> Result<String, String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    if output.status.success() { Ok(stdout) } else { Err(stderr) }
}

/// What a Helm makes of a chart as release `acme` in the namespace `agntix`.
fn rendered_by(helm: &Path, chart: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(helm);
    ask(command.args(["template", "acme"]).arg(chart).args(["--namespace", "agntix"]).args(arguments), "")
}

/// The values, as a file that `--values` names.
fn values_file(values: &Value) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(values.to_string().as_bytes()).unwrap();
    file
}

/// The objects that the chart makes of these values on Kubernetes 1.31 and newer, whichever Helm it is.
fn chart_of(values: &Value) -> Vec<Value> {
    let file = values_file(values);
    made_by_both(&["--values", file.path().to_str().unwrap(), "--kube-version", VERSIONS[1]], &VERSIONS[1..])
}

/// What each Helm says of these values.
fn refusals(values: &Value) -> [String; 2] {
    let file = values_file(values);
    let arguments = ["--values", file.path().to_str().unwrap()];
    helms().map(|helm| rendered_by(&helm, &repository("deploy/helm/agntix-exporter"), &arguments).unwrap_err())
}

/// These values beside those of replicas that share a database.
fn of_replicas(values: &Value) -> Value {
    let own = serde_json::json!({"replicas": 3, "state": {"url": "postgres://exporter@db/agntix"}, "credential": {"existingSecret": "agntix"}});
    let both = own.as_object().unwrap().clone().into_iter().chain(values.as_object().unwrap().clone());
    Value::Object(both.collect())
}

/// These values beside those of the one pod that counts.
fn of_one(values: &Value) -> Value {
    let own = serde_json::json!({"credential": {"existingSecret": "agntix"}});
    let both = own.as_object().unwrap().clone().into_iter().chain(values.as_object().unwrap().clone());
    Value::Object(both.collect())
}

/// The objects in a text, which must be as all these versions of Kubernetes want them.
fn objects(text: &str, versions: &[&str]) -> Vec<Value> {
    let python = tool::locate("KUBERNETES_PYTHON", "kubernetes-python/bin/python");
    let program = repository("tests/it/kubernetes/schemas.py");
    let printed = ask(Command::new(python).arg(program).args(versions), text).unwrap();
    serde_json::from_str(&printed).unwrap()
}

/// The documents in a text of YAML.
fn parsed(text: &str) -> Vec<Value> {
    objects(text, &[])
}

/// The objects that both Helms make of these arguments, which must be as all these versions of Kubernetes want them.
fn made_by_both(arguments: &[&str], versions: &[&str]) -> Vec<Value> {
    let [old, new] = helms().map(|helm| {
        rendered_by(&helm, &repository("deploy/helm/agntix-exporter"), arguments)
            .unwrap_or_else(|e| panic!("{}: {e}", helm.display()))
    });
    let made = objects(&new, versions);
    let by_name = |objects: Vec<Value>| -> BTreeMap<String, Value> {
        objects.into_iter().map(|one| (format!("{} {}", one["kind"], one["metadata"]["name"]), one)).collect()
    };
    // The same text need not be read twice.
    if old != new {
        assert_eq!(by_name(parsed(&old)), by_name(made.clone()), "Helm 3 and 4 differ");
    }
    made
}

/// The objects that the chart makes of these arguments, whichever Helm it is.
fn chart(arguments: &[&str]) -> Vec<Value> {
    made_by_both(arguments, &VERSIONS)
}

/// What the chart makes of replicas that share a database, for a version of Kubernetes.
fn replicated(version: &str, more: &[&str]) -> Vec<Value> {
    let values = repository("tests/it/kubernetes/replicas.yaml");
    let arguments = [&["--values", values.to_str().unwrap(), "--kube-version", version], more].concat();
    made_by_both(&arguments, &[version])
}

fn everything() -> Vec<Value> {
    chart(&["--values", repository("tests/it/kubernetes/everything.yaml").to_str().unwrap()])
}

/// What kustomize makes of a folder.
fn kustomized(folder: &str) -> String {
    let kubectl = tool::locate("KUBECTL", "helm4/kubectl/kubectl");
    ask(Command::new(kubectl).arg("kustomize").arg(repository(folder)), "").unwrap()
}

/// What kustomize makes of a folder, as these versions of Kubernetes want it.
fn kustomized_in(folder: &str, versions: &[&str]) -> Vec<Value> {
    objects(&kustomized(folder), versions)
}

/// What is wrong with objects whose schemas are those of npm's packages, which are Prometheus Operator's and the Gateway API's.
fn models(objects: &[Value]) -> Result<(), String> {
    let models = tool::locate(
        "KUBERNETES_NODE",
        "kubernetes-node/node_modules/@kubernetes-models/prometheus-operator/package.json",
    );
    let mut node = Command::new("node");
    node.arg(repository("tests/it/kubernetes/operator.js")).arg(models.parent().unwrap());
    ask(&mut node, &serde_json::to_string(objects).unwrap()).map(drop)
}

/// The object of this kind and name.
fn named<'o>(objects: &'o [Value], kind: &str, name: &str) -> &'o Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// The only object of this kind.
fn only<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "there are several {kind}");
    first
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The YAML files of a folder of the repository by their names, or JSON files, which are YAML as well.
fn files(folder: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(repository(folder)).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    entries.filter(|path| path.is_file()).map(read).collect()
}

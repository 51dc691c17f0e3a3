//! What must agree with the chart, its documentation too. The files that the chart brings along: true copies, real files, and missed in words where a copy of the chart lost them.

use super::*;

/// What Git has below a path: mode and path.
fn tracked(below: &str) -> Vec<(String, String)> {
    let mut git = Command::new("git");
    let listed = ask(git.current_dir(repository("")).args(["ls-files", "--stage", "--", below]), "").unwrap();
    let line = |line: &str| {
        let (stage, path) = line.split_once('\t').unwrap();
        (stage.split(' ').next().unwrap().to_owned(), path.to_owned())
    };
    listed.lines().map(line).collect()
}

/// The chart as an archive has it once its symbolic links are dropped, without what begins with one of these.
fn archived(without: &[&str]) -> tempfile::TempDir {
    const CHART: &str = "deploy/helm/agntix-exporter";
    let place = tempfile::tempdir().unwrap();
    for (mode, path) in tracked(CHART) {
        let inside = path.strip_prefix(CHART).unwrap().trim_start_matches('/');
        if mode.starts_with("100") && !without.iter().any(|prefix| inside.starts_with(prefix)) {
            let copy = place.path().join("agntix-exporter").join(inside);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(repository(&path), copy).unwrap();
        }
    }
    place
}

#[test]
fn the_chart_has_the_rules_and_dashboards_of_the_repository() {
    let mut generate = Command::new("python3");
    generate.arg(repository("deploy/helm/generate")).arg("--check");
    let output = generate.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for (own, source) in [("rules", "deploy/prometheus/rules"), ("dashboards", "grafana/dashboards")] {
        assert_eq!(files(&format!("deploy/helm/agntix-exporter/files/{own}")), files(source));
    }
}

#[test]
fn nothing_in_the_repository_is_a_symbolic_link() {
    let links: Vec<_> = tracked(".").into_iter().filter(|(mode, _)| mode == "120000").collect();
    assert!(links.is_empty(), "Flux, archives and Git on Windows drop links: {links:?}");
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn an_archive_of_the_chart_renders_as_the_chart_does() {
    let values = repository("tests/it/kubernetes/everything.yaml");
    let arguments = ["--values", values.to_str().unwrap()];
    let place = archived(&[]);
    for helm in helms() {
        let whole = rendered_by(&helm, &repository("deploy/helm/agntix-exporter"), &arguments).unwrap();
        let archive = rendered_by(&helm, &place.path().join("agntix-exporter"), &arguments).unwrap();
        assert!(whole == archive, "a file of the chart is a link, or not in Git");
        assert!(whole.contains("kind: PrometheusRule") && whole.contains("agntix-overview.json"));
    }
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn a_chart_that_lost_its_files_says_so() {
    for (switch, lost, words) in [
        (
            "rules.enabled",
            "files/rules",
            "rules.enabled is set, but this copy of the chart has no rules: no file is files/rules/*.yml",
        ),
        ("dashboards.enabled", "files/dashboards", "has no dashboards: no file is files/dashboards/*.json"),
    ] {
        let place = archived(&[lost]);
        let chart = place.path().join("agntix-exporter");
        for helm in helms() {
            let said = rendered_by(&helm, &chart, &["--set", &format!("demo=true,{switch}=true")]).unwrap_err();
            assert!(said.contains(words) && said.contains("symbolic links"), "{said}");
            rendered_by(&helm, &chart, &["--set", "demo=true"]).unwrap();
            // On Windows a link becomes a text file with its target.
            std::fs::create_dir_all(chart.join("files")).unwrap();
            std::fs::write(chart.join(lost), "../../../prometheus/rules").unwrap();
            let said = rendered_by(&helm, &chart, &["--set", &format!("demo=true,{switch}=true")]).unwrap_err();
            assert!(said.contains(words), "{said}");
            std::fs::remove_file(chart.join(lost)).unwrap();
        }
    }
    let place = archived(&["files"]);
    for helm in helms() {
        let said = rendered_by(&helm, &place.path().join("agntix-exporter"), &["--set", "demo=true"]).unwrap_err();
        assert!(said.contains("this copy of the chart has no schema: no file is files/values.schema.json"), "{said}");
    }
}

/// The values in the documentation: what is between fences, as far as it begins with a key of the chart.
fn examples(text: &str) -> Vec<Value> {
    let chart = &parsed(&std::fs::read_to_string(repository("deploy/helm/agntix-exporter/values.yaml")).unwrap())[0];
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let documents = blocks.flat_map(parsed);
    documents.filter(|one| one.as_object().unwrap().keys().all(|key| chart.get(key).is_some())).collect()
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn the_examples_of_the_documentation_render() {
    let examples = examples(&std::fs::read_to_string(repository("docs/kubernetes.md")).unwrap());
    assert!(examples.len() > 9, "{}", examples.len());
    let [_, helm] = helms();
    for mut values in examples {
        // An example shows its own subject only.
        values.as_object_mut().unwrap().entry("credential").or_insert(serde_json::json!({"existingSecret": "agntix"}));
        for group in ["rules", "dashboards"] {
            if values.get(group).is_some() {
                values[group]["enabled"] = true.into();
            }
        }
        let file = values_file(&values);
        let chart = repository("deploy/helm/agntix-exporter");
        rendered_by(&helm, &chart, &["--values", file.path().to_str().unwrap()])
            .unwrap_or_else(|e| panic!("{values}: {e}"));
    }
}

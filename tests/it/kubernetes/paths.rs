//! Where probes and scrapes ask: at the paths that the exporter serves with the same configuration.

use simulator::SimulatorConfig;

use super::*;
use crate::support::{Api, Setup};

/// What the probes ask for, each `SCHEME path`: at the start, whether it lives, and whether it is ready.
fn probes(objects: &[Value]) -> [String; 3] {
    let container = &only(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["port"], "metrics", "{probe}");
        format!("{} {}", get["scheme"].as_str().unwrap(), get["path"].as_str().unwrap())
    })
}

/// What is scraped: `scheme path`.
fn scraped(objects: &[Value]) -> String {
    let endpoint = &only(objects, "ServiceMonitor")["spec"]["endpoints"][0];
    format!("{} {}", endpoint["scheme"].as_str().unwrap(), endpoint["path"].as_str().unwrap())
}

fn configured(config: &str, demo: bool) -> Vec<Value> {
    let place = tempfile::tempdir().unwrap();
    let values = place.path().join("values.yaml");
    let wish = serde_json::json!({
        "demo": demo,
        "credential": {"existingSecret": "agntix"},
        "serviceMonitor": {"enabled": true},
        "config": config,
    });
    std::fs::write(&values, wish.to_string()).unwrap();
    chart(&["--values", values.to_str().unwrap()])
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn probes_and_scrapes_ask_where_the_exporter_answers() {
    let api = Api::start(SimulatorConfig::default());
    for (config, prefix, metrics) in [
        ("", "", "/metrics"),
        ("[web]\ntelemetry_path = \"/m\"\n", "", "/m"),
        ("[web]\nexternal_url = \"https://monitoring.example\"\n", "", "/metrics"),
        ("[web]\nexternal_url = \"https://monitoring.example:8443/agntix/\"\n", "/agntix", "/agntix/metrics"),
        ("[web]\nexternal_url = \"http://x/a\"\nroute_prefix = \"/\"\ntelemetry_path = \"/m\"\n", "", "/m"),
        ("web = {external_url = 'http://x/a', route_prefix = '/x/y//', telemetry_path = '/'}", "/x/y", "/x/y/"),
    ] {
        let objects = configured(config, false);
        let [healthy, ready] = ["healthy", "ready"].map(|what| format!("{prefix}/-/{what}"));
        assert_eq!(probes(&objects), [&healthy, &healthy, &ready].map(|path| format!("HTTP {path}")), "{config}");
        assert_eq!(scraped(&objects), format!("http {metrics}"), "{config}");

        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("config.toml");
        std::fs::write(&file, only(&objects, "ConfigMap")["data"]["config.toml"].as_str().unwrap()).unwrap();
        let setup = Setup::new(api.address, &place.path().join("state"));
        let daemon = setup.argument(&format!("--config.file={}", file.display())).start();
        assert_eq!(daemon.get(&healthy), (200, "Healthy.\n".into()), "{config}");
        // It may look back still.
        assert_ne!(daemon.get(&ready).0, 404, "{config}");
        let (status, page) = daemon.get(metrics);
        assert!(status == 200 && page.contains("\nagntix_exporter_"), "{config}: {status} {page}");

        // The demo is told nothing of it.
        let demo = configured(config, true);
        assert_eq!(probes(&demo), ["HTTP /-/healthy", "HTTP /-/healthy", "HTTP /-/ready"], "{config}");
        assert_eq!(scraped(&demo), "http /metrics", "{config}");
    }
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn with_tls_probes_and_scrapes_speak_it_and_the_webhook_does_not() {
    let all = everything();
    assert_eq!(probes(&all), ["HTTPS /-/healthy", "HTTPS /-/healthy", "HTTPS /-/ready"]);
    assert_eq!(scraped(&all), "https /metrics");
    // The webhook's listener has an empty web configuration of its own, since the Ingress speaks plain HTTP to it.
    let container = &only(&all, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    let own = |one: &&Value| one["name"] == "AGNTIX_EXPORTER__WEBHOOK__WEB_CONFIG_FILE";
    assert_eq!(container["env"].as_array().unwrap().iter().filter(own).count(), 1);

    // A file that sets users only; and a proxy that ends TLS for the scrapes alone.
    let wish = "credential.existingSecret=agntix,webConfig.existingSecret=web,serviceMonitor.enabled=true";
    let plain = chart(&["--set", wish]);
    assert_eq!((probes(&plain)[0].as_str(), scraped(&plain).as_str()), ("HTTP /-/healthy", "http /metrics"));
    let proxied = chart(&["--set", wish, "--set", "serviceMonitor.scheme=https"]);
    assert_eq!((probes(&proxied)[0].as_str(), scraped(&proxied).as_str()), ("HTTP /-/healthy", "https /metrics"));
}

#[test]
#[ignore = "needs Helm and the schemas from .ci/tools"]
fn what_probes_and_scrapes_cannot_follow_is_refused_in_words() {
    let cannot = "which the probes and the ServiceMonitor cannot follow;";
    let mut mistakes: Vec<(String, String)> = [
        ("external-url", "EXTERNAL_URL", "set web.external_url in config instead"),
        ("route-prefix", "ROUTE_PREFIX", "set web.route_prefix in config instead"),
        ("telemetry-path", "TELEMETRY_PATH", "set web.telemetry_path in config instead"),
        ("config.file", "CONFIG_FILE", "name the Secret that holds the file in webConfig.existingSecret instead"),
    ]
    .into_iter()
    .flat_map(|(flag, variable, advice)| {
        let argument = format!("extraArgs[1] sets --web.{flag}, {cannot} {advice}");
        let variable = format!("AGNTIX_EXPORTER__WEB__{variable}");
        [
            (format!("extraArgs={{--web.max-requests=10,--web.{flag}=/a}}"), argument.clone()),
            (format!("extraArgs={{--web.max-requests=10,--web.{flag},/a}}"), argument),
            (
                format!("extraEnv[0].name={variable},extraEnv[0].valueFrom.configMapKeyRef.name=a"),
                format!("extraEnv[0] sets {variable}, {cannot} {advice}"),
            ),
        ]
    })
    .collect();
    mistakes.push(("extraArgs={--config.file=/a}".into(), format!("--config.file, {cannot} put its text into config")));
    mistakes.push((
        "demo=true,extraArgs={--web.route-prefix=/a}".into(),
        "leave it out, or, without the demo, set web.route_prefix in config".into(),
    ));
    mistakes.push(("config=[web".into(), "config is not TOML as Helm reads it".into()));
    mistakes.push((
        "config=web.config_file = '/a'".into(),
        "config sets web.config_file, and the chart cannot see whether the probes have to speak HTTPS then".into(),
    ));
    for helm in helms() {
        let render = |wish: &str| {
            let arguments = [&CREDENTIAL[..], &["--set", wish]].concat();
            rendered_by(&helm, &repository("deploy/helm/agntix-exporter"), &arguments)
        };
        for (wish, words) in &mistakes {
            let said = render(wish).unwrap_err();
            assert!(said.contains(words), "{wish}: {said}");
        }
        // What the chart sets itself beats it, and flags that only begin alike are others.
        render("config=web.config_file = '/a',webConfig.existingSecret=web").unwrap();
        render("extraArgs={--web.telemetry-paths=/a}").unwrap();
    }
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn the_notes_name_the_paths() {
    // Helm 3 shows notes only to who has a cluster.
    let [_, helm] = helms();
    let mut command = Command::new(helm);
    command.args(["install", "acme"]).arg(repository("deploy/helm/agntix-exporter"));
    command.args(["--namespace", "agntix", "--dry-run=client"]).args(CREDENTIAL);
    command.args(["--set", "config=web.external_url = 'https://x/agntix/'"]);
    command.args(["--set", "webConfig.existingSecret=web,webConfig.tls=true,service.port=443"]);
    let shown = ask(&mut command, "").unwrap();
    for line in ["https://localhost:9899/agntix/", "https://acme-agntix-exporter.agntix.svc:443/agntix/metrics"] {
        assert!(shown.lines().any(|shown| shown.trim() == line), "{line} is not in {shown}");
    }
}

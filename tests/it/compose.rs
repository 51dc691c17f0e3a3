//! `deploy/compose.yaml` and `deploy/compose.ha.yaml` as Docker Compose itself reads it: no container engine is needed for that, and none is here.

mod database;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::tool;

const SERVICES: [&str; 5] = ["alertmanager", "exporter", "grafana", "prometheus", "receiver"];
const REPLICATED: [&str; 10] = [
    "alertmanager",
    "api",
    "exporter-1",
    "exporter-2",
    "exporter-3",
    "grafana",
    "primary",
    "prometheus",
    "receiver",
    "standby",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What Compose makes of these files, or what it says of them.
fn config(files: &[&str], environment: &[(&str, &str)]) -> Result<Value, String> {
    let compose = tool::locate("COMPOSE", "compose/usr/libexec/docker/cli-plugins/docker-compose");
    let output = Command::new(compose)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(root())
        .args(files.iter().flat_map(|file| ["-f", file]))
        .args(["config", "--format", "json"])
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    if output.status.success() && stderr.is_empty() { Ok(serde_json::from_str(&stdout).unwrap()) } else { Err(stderr) }
}

fn demo() -> Value {
    config(&["deploy/compose.yaml"], &[]).unwrap()
}

fn live() -> Value {
    let files = ["deploy/compose.yaml", "deploy/compose.live.yaml"];
    config(&files, &[("AGNTIX_API_KEY_FILE", "/run/agntix-api-key")]).unwrap()
}

fn replicated() -> Value {
    config(&["deploy/compose.ha.yaml"], &[]).unwrap()
}

fn services(config: &Value) -> BTreeMap<&str, &Value> {
    config["services"].as_object().unwrap().iter().map(|(name, service)| (name.as_str(), service)).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// Where a path inside a container comes from in the repository, if it is mounted from there.
fn mounted(service: &Value, path: &str) -> Option<PathBuf> {
    service["volumes"].as_array()?.iter().filter(|volume| volume["type"] == "bind").find_map(|volume| {
        let rest = Path::new(path).strip_prefix(volume["target"].as_str()?).ok()?;
        Some(Path::new(volume["source"].as_str()?).join(rest))
    })
}

#[test]
#[ignore = "needs Docker Compose from .ci/tools"]
fn every_service_is_confined_watched_and_pinned() {
    for config in [demo(), live(), replicated()] {
        let services = services(&config);
        let is_replicated = services.contains_key("standby");
        let expected = if is_replicated { &REPLICATED[..] } else { &SERVICES[..] };
        assert_eq!(services.keys().copied().collect::<Vec<_>>(), expected);
        for (name, service) in services {
            assert_eq!(service["read_only"], true, "{name}");
            assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
            assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
            assert_eq!(service["restart"], "unless-stopped", "{name}");
            assert!(!matches!(service["user"].as_str(), None | Some("root" | "0")), "{name} is root");
            // Nothing in its image could ask the simulation, and what asks it tries again.
            if !(is_replicated && name == "api") {
                assert_eq!(texts(&service["healthcheck"]["test"])[0], "CMD", "{name}");
            }
            // Compose can give a read-only container nothing but files, and says so only when it is to start.
            for (kind, used) in ["configs", "secrets"].map(|kind| (kind, &service[kind])) {
                for source in used.as_array().into_iter().flatten() {
                    let source = source["source"].as_str().unwrap();
                    assert!(config[kind][source]["file"].is_string(), "{name}: {kind} {source} is not a file");
                }
            }
            for key in ["privileged", "cap_add", "network_mode", "pid", "devices"] {
                assert!(service.get(key).is_none(), "{name} has {key}");
            }
            let image = service["image"].as_str().unwrap();
            if service.get("build").is_none() && image != "agntix-exporter" {
                let tag = image.split_once(':').map_or("", |(_, tag)| tag);
                assert!(tag.split('.').count() >= 3, "{name}: {image} is not one version");
            }
            for port in service["ports"].as_array().into_iter().flatten() {
                assert_eq!(port["host_ip"], "127.0.0.1", "{name} is open to the network");
            }
        }
    }
}

#[test]
#[ignore = "needs Docker Compose from .ci/tools"]
fn every_file_that_it_names_is_in_the_repository() {
    for config in [demo(), replicated()] {
        for (name, service) in services(&config) {
            for volume in service["volumes"].as_array().into_iter().flatten() {
                let (source, is_volume) = (volume["source"].as_str().unwrap(), volume["type"] == "volume");
                if is_volume {
                    assert!(config["volumes"].get(source).is_some(), "{name}: volume {source}");
                } else {
                    assert!(Path::new(source).starts_with(root()) && Path::new(source).exists(), "{name}: {source}");
                    assert_eq!(volume["read_only"], true, "{name} may write to {source}");
                }
            }
        }
        let services = services(&config);
        let exporter = services.get("exporter").or(services.get("exporter-1")).unwrap();
        let build = &exporter["build"];
        assert!(Path::new(build["context"].as_str().unwrap()).join(build["dockerfile"].as_str().unwrap()).is_file());
        for name in ["prometheus", "alertmanager"] {
            let flags = texts(&services[name]["command"]);
            let file = flags.iter().find_map(|flag| flag.strip_prefix("--config.file=")).unwrap();
            assert!(mounted(services[name], file).unwrap().is_file(), "{file}");
        }
    }
    let config = demo();
    let services = services(&config);
    let home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().unwrap();
    assert!(mounted(services["grafana"], home).unwrap().is_file(), "{home}");
}

/// Those of a service, as the program would get them.
fn environment(service: &Value) -> Vec<(String, String)> {
    let variables = service["environment"].as_object().unwrap().iter();
    variables.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

#[test]
#[ignore = "needs Docker Compose from .ci/tools"]
fn replicas_are_behind_one_name_and_share_a_database_with_a_synchronous_standby() {
    let config = replicated();
    let services = services(&config);
    let prometheus = std::fs::read_to_string(root().join("deploy/prometheus/prometheus.replicas.yml")).unwrap();
    assert!(prometheus.contains("targets: [exporter:9899]"));
    for name in ["exporter-1", "exporter-2", "exporter-3"] {
        let service = services[name];
        assert!(prometheus.contains(&format!("{name}:9899")), "Prometheus is not told of {name}");
        assert_eq!(texts(&service["networks"]["default"]["aliases"]), ["exporter"], "{name}");
        assert_eq!(service["ports"][0]["target"], 9899);
        let variables = environment(service);
        let value = |name: &str| &variables.iter().find(|(key, _)| key == name).unwrap().1;
        assert!(value("AGNTIX_EXPORTER__STATE__URL").starts_with("postgres://exporter@primary,standby/agntix?"));
        let port = service["ports"][0]["published"].as_str().unwrap();
        assert_eq!(*value("AGNTIX_EXPORTER__WEB__EXTERNAL_URL"), format!("http://localhost:{port}/"), "{name}");
        // The program understands it, with the password's file in another place.
        let place = tempfile::tempdir().unwrap();
        assert_eq!(*value("AGNTIX_EXPORTER__STATE__PASSWORD_FILE"), "/run/secrets/database-password");
        assert_eq!(service["secrets"][0]["source"], "database-password");
        let password = config["secrets"]["database-password"]["file"].as_str().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_agntix-exporter"));
        command.current_dir(place.path()).env_clear().envs(variables.iter().cloned());
        command.env("AGNTIX_EXPORTER__STATE__PASSWORD_FILE", password).arg("--config.check");
        let output = command.args(texts(&service["command"])).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_ne!(config["name"], demo()["name"]);
}

#[test]
#[ignore = "needs Docker Compose from .ci/tools"]
fn the_services_find_each_other() {
    let config = demo();
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let prometheus = read("deploy/prometheus/prometheus.yml");
    for target in ["exporter:9899", "alertmanager:9093"] {
        assert!(prometheus.contains(target), "Prometheus is not told of {target}");
        let (name, port) = target.split_once(':').unwrap();
        assert_eq!(config["services"][name]["ports"][0]["target"].to_string(), port, "{name}");
    }
    let exporter = &config["services"]["exporter"];
    assert_eq!(
        exporter["environment"]["AGNTIX_EXPORTER__WEB__EXTERNAL_URL"],
        format!("http://localhost:{}/", exporter["ports"][0]["published"].as_str().unwrap()),
        "the alerts lead to where a browser finds the runbooks"
    );
    let alertmanager = read("deploy/alertmanager/alertmanager.yml");
    assert!(alertmanager.contains("http://receiver:9095/") && alertmanager.contains("smarthost: receiver:9025"));
    let receiver = texts(&config["services"]["receiver"]["command"]);
    assert!(receiver.contains(&"--listen=0.0.0.0:9095") && receiver.contains(&"--smtp=0.0.0.0:9025"), "{receiver:?}");
    assert_eq!(config["services"]["receiver"]["volumes"][0]["target"], receiver[2]);
    let flags = texts(&config["services"]["prometheus"]["command"]);
    assert!(flags.contains(&"--storage.tsdb.retention.time=40d"), "the rules look back for four weeks and more");
    assert!(flags.contains(&"--enable-feature=exemplar-storage"), "the dashboards link exemplars to sessions");
    let source = read("grafana/provisioning/datasources/prometheus.yml");
    assert!(source.contains("${PROMETHEUS_URL}"), "the data source is where it is told");
    assert_eq!(config["services"]["grafana"]["environment"]["PROMETHEUS_URL"], "http://prometheus:9090");
}

#[test]
#[ignore = "needs Docker Compose from .ci/tools"]
fn an_organization_takes_the_place_of_the_demo() {
    let (demo, live) = (demo(), live());
    let command = |config: &Value| config["services"]["exporter"]["command"].clone();
    assert_eq!(texts(&command(&demo))[0], "demo");
    assert_eq!(texts(&command(&live)), [""; 0]);
    assert_eq!(live["secrets"]["agntix-api-key"]["file"], "/run/agntix-api-key");
    let exporter = &live["services"]["exporter"];
    assert_eq!(exporter["environment"]["AGNTIX_EXPORTER__API__KEY_FILE"], exporter["secrets"][0]["target"]);
    // What was simulated must not be in the volumes of what is real.
    assert_ne!(demo["name"], live["name"]);
    let said = config(&["deploy/compose.yaml", "deploy/compose.live.yaml"], &[]).unwrap_err();
    assert!(said.contains("AGNTIX_API_KEY_FILE") && said.contains("API key of the organization"), "{said}");
}

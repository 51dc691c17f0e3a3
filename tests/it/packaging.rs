//! What packages make from the program: completions, the manual page, and a configuration that fits the unit; and that its
//! words are plain where they are to be.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_agntix-exporter");

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(PROGRAM).args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a program says of a text on its standard input; it must find nothing wrong.
fn accepts(program: &str, arguments: &[&str], text: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn completions_are_made_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("agntix-exporter") && script.contains("webhook-test"), "{shell}: {script}");
    }
    assert_eq!(run(&["completions", "cmd.exe"], &[]).status.code(), Some(2));
    accepts("bash", &["-n"], &printed(&["completions", "bash"]));
}

#[test]
#[ignore = "needs man and mandoc"]
fn the_manual_page_is_sound() {
    let page = printed(&["man"]);
    assert_eq!(accepts("mandoc", &["-T", "lint", "-W", "error"], &page), "");
    let shown = accepts("man", &["--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l", "-"], &page);
    assert!(shown.contains("x T utf8"), "{shown}");
}

fn repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// What the unit says of a key, once for each line.
fn unit(key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository("deploy/systemd/agntix-exporter.service")).unwrap();
    let values = text.lines().filter_map(|line| line.split_once('=').filter(|(name, _)| *name == key));
    values.map(|(_, value)| value.to_owned()).collect()
}

/// doctor and state are run by hand as the service's user, and know of the unit's environment nothing.
#[test]
fn the_package_s_configuration_names_what_the_service_uses() {
    let made = Command::new(repository("deploy/debian/build")).arg("--config").output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("config.toml");
    std::fs::write(&file, &made.stdout).unwrap();
    let file = format!("--config.file={}", file.display());

    let credential = unit("LoadCredential").remove(0);
    let (name, key) = credential.split_once(':').unwrap();
    let state = format!("/var/lib/{}", unit("StateDirectory").remove(0));
    let by_hand = printed(&[&file, "--config.check"]);
    for (setting, value) in [("api.key_file", key), ("state.path", &state)] {
        assert!(by_hand.contains(&format!("{setting} = \"{value}\" ")), "{setting} {value}: {by_hand}");
    }

    // What systemd makes of %d and %S.
    let variables: Vec<String> = unit("Environment")
        .iter()
        .map(|variable| variable.replace("%d", "/run/credentials/agntix-exporter.service").replace("%S", "/var/lib"))
        .collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|variable| variable.split_once('=').unwrap()).collect();
    let service = run(&[&file, "--config.check"], &variables);
    let said = String::from_utf8(service.stdout).unwrap();
    let shown = format!("/run/credentials/agntix-exporter.service/{name}");
    for (setting, value) in [("api.key_file", &shown), ("state.path", &state)] {
        assert!(said.contains(&format!("{setting} = \"{value}\" ")), "{setting} {value}: {said}");
    }
    assert!(service.status.success() && service.stderr.is_empty(), "{:?}", service.stderr);
}

/// One is written from the other by hand, since the package needs both as files.
#[test]
fn the_unit_of_instances_is_the_service_s_for_each_organization() {
    let text = |path: &str| std::fs::read_to_string(repository(path)).unwrap();
    let settings = |text: String| text[text.find("[Unit]").unwrap()..].to_owned();
    let (one, each) = (
        settings(text("deploy/systemd/agntix-exporter.service")),
        settings(text("deploy/systemd/instances/agntix-exporter@.service")),
    );
    let of_instance = [
        ("Description=Prometheus exporter for Agntix", " (%i)"),
        ("StateDirectory=agntix-exporter", "/%i"),
        ("AGNTIX_EXPORTER__STATE__PATH=%S/agntix-exporter", "/%i"),
    ];
    let expected = of_instance
        .iter()
        .fold(one, |text, (line, more)| text.replace(&format!("{line}\n"), &format!("{line}{more}\n")));
    let expected = expected.replace("/etc/agntix-exporter/config.toml", "/etc/agntix-exporter/%i.toml");
    let files = ["api-key", "webhook-secret", "web.yml"];
    let expected = files.iter().fold(expected, |text, file| {
        text.replace(&format!("/etc/agntix-exporter/{file}\n"), &format!("/etc/agntix-exporter/%i.{file}\n"))
    });
    assert_eq!(each, expected);
}

#[test]
fn the_service_s_user_is_the_one_that_the_package_makes() {
    let user = unit("User").remove(0);
    assert_eq!(unit("Group"), [user.as_str()]);
    assert!(unit("DynamicUser").is_empty(), "nobody could run doctor and state as a user that comes and goes");
    let script = std::fs::read_to_string(repository("deploy/debian/postinst")).unwrap();
    let made = script.lines().map(str::trim).find(|line| line.starts_with("adduser ")).unwrap();
    assert!(made.contains("--system") && made.contains("--group") && made.ends_with(&format!(" {user}")), "{made}");
    for hint in ["useradd --system ", "install -d -o root -g "] {
        let text = std::fs::read_to_string(repository("deploy/systemd/agntix-exporter.service")).unwrap();
        assert!(text.lines().any(|line| line.contains(hint) && line.contains(&user)), "{hint}{user}");
    }
}

#[test]
fn no_color_means_none() {
    const ESCAPE: char = '\u{1b}';
    let text =
        |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    let forced = [("CLICOLOR_FORCE", "1")];
    assert!(text(&run(&["--help"], &forced)).contains(ESCAPE), "what follows would find nothing");
    let plain = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
    for arguments in [&["--help"][..], &["--no-such-flag"], &["session", "--help"]] {
        let said = text(&run(arguments, &plain));
        assert!(!said.is_empty() && !said.contains(ESCAPE), "{arguments:?}: {said:?}");
    }
}

#[test]
fn the_log_has_no_colour() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("state"), "no directory").unwrap();
    for format in ["logfmt", "json"] {
        // It logs its start, and then cannot use the state.
        let state = place.path().join("state").display().to_string();
        let variables = [
            ("AGNTIX_API_KEY", "pk"),
            ("AGNTIX_EXPORTER__STATE__PATH", &state),
            ("AGNTIX_EXPORTER__WEB__LISTEN_ADDRESS", "127.0.0.1:0"),
            ("CLICOLOR_FORCE", "1"),
            ("NO_COLOR", "1"),
        ];
        let log = run(&["--log.format", format], &variables).stderr;
        let log = String::from_utf8(log).unwrap();
        assert!(log.contains("agntix-exporter starts"), "{log}");
        assert!(!log.contains('\u{1b}'), "{log:?}");
    }
}

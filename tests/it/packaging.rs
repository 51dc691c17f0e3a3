//! What packages make from the program: completions and the manual page; and that its words are plain where they are to be.

use std::io::Write as _;
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

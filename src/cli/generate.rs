//! `completions` and `man`: what packages install beside the program, from the very command line that it reads.

use std::io::Write as _;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::terminal::{Failure, print};

const NAME: &str = "agntix-exporter";

/// Prints the completions of `shell` for `command`.
pub(super) fn completions(command: &mut Command, shell: Shell) -> Result<(), Failure> {
    print(script(command, shell))
}

fn script(command: &mut Command, shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, command, NAME, &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    // clap_complete spells a name with a hyphen in two ways, so that bash would complete nothing behind a command
    // (https://github.com/clap-rs/clap/issues/6421).
    if shell == Shell::Bash { text.replace("agntix__subcmd__exporter", "agntix__exporter") } else { text }
}

/// Prints the manual page of `command`, with `notes` at its end.
pub(super) fn man(command: Command, notes: &str) -> Result<(), Failure> {
    print(page(command, notes).map_err(Failure::running)?)
}

/// One page for all: the program, and after it each command with its own flags.
fn page(command: Command, notes: &str) -> std::io::Result<Vec<u8>> {
    // What --version prints is no part of a page.
    let mut command = command.display_name(NAME).version(env!("CARGO_PKG_VERSION"));
    command.build();
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    // clap_mangen's own title has the version where readers of roff expect a date.
    writeln!(text, ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '")?;
    let version = env!("CARGO_PKG_VERSION");
    writeln!(text, ".TH AGNTIX\\-EXPORTER 8 \"\" \"agntix\\-exporter {version}\" \"System Administration\"")?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    writeln!(text, ".SH COMMANDS")?;
    for (name, sub) in commands("", &command) {
        writeln!(text, ".SS {}", escaped(&name))?;
        if let Some(about) = sub.get_long_about().or_else(|| sub.get_about()) {
            for line in about.to_string().lines() {
                writeln!(text, "{}", if line.is_empty() { ".PP".to_owned() } else { escaped(line) })?;
            }
        }
        for argument in sub.get_arguments().filter(|argument| !argument.is_global_set() && !is_help(argument)) {
            let value = argument.get_value_names().and_then(|names| names.first());
            let value = value.map_or(String::new(), |name| format!("<{name}>"));
            let name = argument.get_long().map_or(value.clone(), |long| {
                let is_flag = !argument.get_action().takes_values();
                format!("--{long}{}", if is_flag { String::new() } else { format!(" {value}") })
            });
            writeln!(text, ".TP\n\\fB{}\\fR", escaped(&name))?;
            if let Some(says) = argument.get_long_help().or_else(|| argument.get_help()) {
                writeln!(text, "{}", escaped(&says.to_string()))?;
            }
        }
        if let Some(after) = sub.get_after_help() {
            writeln!(text, ".PP")?;
            verbatim(&mut text, &after.to_string())?;
        }
    }
    writeln!(text, ".SH NOTES")?;
    verbatim(&mut text, notes)?;
    Ok(text)
}

/// The commands and those of theirs, by their full names.
fn commands<'c>(of: &str, command: &'c Command) -> Vec<(String, &'c Command)> {
    let named = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    let named = named.map(|sub| (format!("{of}{}", sub.get_name()), sub));
    named
        .flat_map(|(name, sub)| {
            let theirs = commands(&format!("{name} "), sub);
            std::iter::once((name, sub)).chain(theirs)
        })
        .collect()
}

/// Text whose lines and columns are meant as they are.
fn verbatim(text: &mut Vec<u8>, lines: &str) -> std::io::Result<()> {
    writeln!(text, ".nf")?;
    for line in lines.lines() {
        writeln!(text, "{}", escaped(line))?;
    }
    writeln!(text, ".fi")
}

fn is_help(argument: &clap::Arg) -> bool {
    argument.get_long() == Some("help")
}

/// Text as roff, in which a backslash, a hyphen and a line that begins with a full stop or a quote mean something.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::cli::{AFTER_HELP, Cli};

    #[test]
    fn completions_of_every_shell_know_commands_and_flags() {
        for shell in Shell::value_variants() {
            let text = script(&mut Cli::command(), *shell);
            for word in ["webhook-test", "config.file", "healthcheck"] {
                assert!(text.contains(word), "{word} is not in the completions of {shell}");
            }
        }
    }

    /// What bash offers for the last of these words.
    fn completed(words: &[&str]) -> Vec<String> {
        let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let (line, last) = (line.join(" "), words.len() - 1);
        let ask = format!(
            "{}\nCOMP_WORDS=({line}); COMP_CWORD={last}; _agntix__exporter agntix-exporter '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script(&mut Cli::command(), Shell::Bash),
            words[last],
            words[last - 1],
        );
        let output = std::process::Command::new("bash").args(["-c", &ask]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(Into::into).collect()
    }

    #[test]
    fn bash_completes_behind_commands_too() {
        assert_eq!(completed(&["agntix-exporter", "heal"]), ["healthcheck"]);
        assert_eq!(completed(&["agntix-exporter", "state", "ex"]), ["export"]);
        assert_eq!(completed(&["agntix-exporter", "state", "export", "--t"]), ["--to"]);
        assert_eq!(completed(&["agntix-exporter", "webhook-test", "--rep"]), ["--repeated"]);
        assert_eq!(completed(&["agntix-exporter", "doctor", "--format", "j"]), ["json"]);
    }

    #[test]
    fn manual_page_has_every_command_and_flag() {
        let text = String::from_utf8(page(Cli::command(), AFTER_HELP).unwrap()).unwrap();
        let plain = text.replace("\\-", "-");
        assert!(plain.contains(".TH AGNTIX-EXPORTER 8"), "{plain}");
        let command = Cli::command();
        let all = commands("", &command);
        assert!(all.iter().any(|(name, _)| name == "state import"));
        for (name, sub) in &all {
            assert!(plain.contains(&format!(".SS {name}\n")), "{name}");
            for long in sub.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(plain.contains(&format!("--{long}")), "--{long} of {name}");
            }
        }
        for long in command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(clap::Arg::get_long) {
            assert!(plain.contains(&format!("--{long}")), "--{long}");
        }
    }

    #[test]
    fn manual_page_has_no_accidental_roff_request() {
        assert_eq!(escaped(".a-b\\"), "\\&.a\\-b\\e");
    }
}

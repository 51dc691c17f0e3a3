//! `completions` and `man`: what packages install beside the program, from the very command line that it reads.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{AFTER_HELP, Cli, Failure};

pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "agntix-exporter", &mut text);
    print(&text)
}

pub(super) fn man() -> Result<(), Failure> {
    print(&page().map_err(Failure::running)?)
}

/// One page for all: the program, and after it each command with its own flags.
fn page() -> std::io::Result<Vec<u8>> {
    let mut command = Cli::command();
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
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        writeln!(text, ".SS {}", escaped(sub.get_name()))?;
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
    verbatim(&mut text, AFTER_HELP)?;
    Ok(text)
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

fn print(text: &[u8]) -> Result<(), Failure> {
    std::io::stdout().write_all(text).map_err(|e| Failure::running(format!("standard output cannot be written ({e})")))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn completions_of_every_shell_know_commands_and_flags() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "agntix-exporter", &mut text);
            let text = String::from_utf8(text).unwrap();
            for word in ["webhook-test", "config.file", "healthcheck"] {
                assert!(text.contains(word), "{word} is not in the completions of {shell}");
            }
        }
    }

    #[test]
    fn the_page_tells_every_command_and_every_flag() {
        let text = String::from_utf8(page().unwrap()).unwrap();
        let plain = text.replace("\\-", "-");
        assert!(plain.contains(".TH AGNTIX-EXPORTER 8"), "{plain}");
        for command in std::iter::once(&Cli::command()).chain(Cli::command().get_subcommands()) {
            for long in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(plain.contains(&format!("--{long}")), "--{long} of {}", command.get_name());
            }
        }
        for sub in Cli::command().get_subcommands() {
            assert!(plain.contains(&format!(".SS {}\n", sub.get_name())), "{}", sub.get_name());
        }
    }

    #[test]
    fn roff_takes_no_line_of_ours_for_a_request() {
        assert_eq!(escaped(".a-b\\"), "\\&.a\\-b\\e");
    }
}

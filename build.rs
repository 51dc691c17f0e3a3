//! What the binary says of itself in `agntix_exporter_build_info`: commit, compiler, target.
//!
//! The commit is only looked for in release builds: a development build would be linked anew after every commit. Whoever builds
//! from an archive without Git sets `AGNTIX_REVISION`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=AGNTIX_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    let named = env::var("AGNTIX_REVISION").ok().filter(|revision| !revision.trim().is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let revision = named.or_else(|| if is_release { commit() } else { None }).unwrap_or_else(|| "unknown".into());
    set("REVISION", revision.trim());
    set("RUSTC", &compiler().unwrap_or_else(|| "unknown".into()));
    set("TARGET", &env::var("TARGET").unwrap_or_else(|_| "unknown".into()));
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env=AGNTIX_BUILD_{name}={value}");
}

/// The commit that is checked out. Cargo is told which files change when another one is.
fn commit() -> Option<String> {
    for file in ["HEAD", "logs/HEAD"] {
        let path = output("git", &["rev-parse", "--git-path", file])?;
        println!("cargo::rerun-if-changed={path}");
    }
    output("git", &["rev-parse", "HEAD"])
}

/// `1.93.0` of `rustc 1.93.0 (…)`.
fn compiler() -> Option<String> {
    let version = output(&env::var("RUSTC").ok()?, &["--version"])?;
    version.split(' ').nth(1).map(str::to_owned)
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

//! The committed JSON is what `grafana/source` makes, and survives the schema of Grafana's SDK.

use std::path::PathBuf;
use std::process::Command;

use super::directory;

/// A Python that has `grafana/requirements.txt`.
fn python() -> PathBuf {
    let fetched = || directory().parent().unwrap().join("target/tools/grafana-python/bin/python");
    let python = std::env::var_os("GRAFANA_PYTHON").map_or_else(fetched, PathBuf::from);
    assert!(
        python.is_file(),
        "{} is not there; run `.ci/grafana` once, or set GRAFANA_PYTHON to a Python with grafana/requirements.txt",
        python.display()
    );
    python
}

#[test]
#[ignore = "needs Grafana's foundation SDK from .ci/grafana"]
fn the_dashboards_are_what_their_source_makes() {
    let output = Command::new(python()).arg(directory().join("generate")).arg("--check").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("9 dashboards are up to date"), "{said}");
}

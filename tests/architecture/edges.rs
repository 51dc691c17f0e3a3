//! Who uses whom: crates by what Cargo says, the product's top-level modules by the paths in their source.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::{root, source};

/// The product, in the table and in Cargo.toml.
const PRODUCT: &str = "agntix-exporter";

/// One uses the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// Only tests, examples or benches do.
    pub in_tests: bool,
    /// Where, for whoever reads a fault.
    pub place: String,
}

/// How the table names a crate of the workspace: by its directory, but the product by its name.
fn crate_name(package: &str) -> String {
    if package == PRODUCT { PRODUCT.into() } else { format!("crates/{package}") }
}

/// By the name of a package of the workspace: the names of what it uses, and whether only its tests do.
type Packages = BTreeMap<String, Vec<(String, bool)>>;

fn packages() -> &'static Packages {
    static PACKAGES: LazyLock<Packages> = LazyLock::new(ask_cargo);
    &PACKAGES
}

fn ask_cargo() -> Packages {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let uses = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap();
        dependencies.iter().map(|used| (text(&used["name"]), used["kind"] == "dev")).collect()
    };
    metadata["packages"].as_array().unwrap().iter().map(|package| (text(&package["name"]), uses(package))).collect()
}

/// The crates of the workspace, as the table names them.
pub fn crates() -> BTreeSet<String> {
    packages().keys().map(|package| crate_name(package)).collect()
}

/// Which crate of the workspace uses which.
pub fn of_crates() -> Vec<Edge> {
    let packages = packages();
    let uses = packages.iter().flat_map(|(from, uses)| uses.iter().map(move |used| (from, used)));
    uses.filter(|(_, (to, _))| packages.contains_key(to))
        .map(|(from, (to, in_tests))| Edge {
            from: crate_name(from),
            to: crate_name(to),
            in_tests: *in_tests,
            place: format!("Cargo.toml of {from}"),
        })
        .collect()
}

/// The top-level modules of the product.
pub fn modules() -> BTreeSet<String> {
    source::files().iter().filter_map(|file| file.module.first().cloned()).collect()
}

/// Which top-level module of the product uses which other one, and which crate of the workspace; tests do not count.
pub fn of_modules() -> Vec<Edge> {
    let crates: BTreeMap<String, String> = packages()
        .keys()
        .filter(|package| *package != PRODUCT)
        .map(|package| (package.replace('-', "_"), crate_name(package)))
        .collect();
    let modules = modules();
    let mut edges = Vec::new();
    for file in source::files() {
        let Some(from) = file.module.first() else { continue };
        for path in &file.paths {
            let Some(first) = path.names.first() else { continue };
            let inner = match first.as_str() {
                "crate" => path.names.get(1),
                // From a file at depth 1, `super` is the root; each further `super` of a deeper file is one up.
                "super" => {
                    let up = path.names.iter().take_while(|name| *name == "super").count();
                    (up == file.module.len()).then(|| path.names.get(up)).flatten()
                }
                _ => None,
            };
            let to = match inner {
                Some(module) => modules.get(module).filter(|module| *module != from),
                // A module that was imported may have the name of a crate.
                None => crates.get(first).filter(|_| !file.imports.contains(first)),
            };
            if let Some(to) = to {
                let place = format!("{}, line {}", file.name, path.line);
                edges.push(Edge { from: from.clone(), to: to.clone(), in_tests: false, place });
            }
        }
    }
    edges
}

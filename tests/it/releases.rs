//! What a release publishes: that every file names one place and one version, and that packages, chart and formula are whole and come out the same
//! when they are made again. The program is the one that the tests have; what it does when installed is tried by `deploy/rpm/test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tool;

const PROGRAM: &str = env!("CARGO_BIN_EXE_agntix-exporter");
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a command prints, or what it says is wrong.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(said) }
}

/// The files that name the place and the version, copied to where they may be changed.
fn copied() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for path in ["Cargo.toml", "README.md", "docs", "deploy", ".github"] {
        run(Command::new("cp").arg("-r").arg(repository(path)).arg(place.path())).unwrap();
    }
    place
}

#[test]
fn every_file_names_the_place_and_the_version_of_cargo_toml() {
    run(&mut Command::new(repository("deploy/published"))).unwrap();
}

#[test]
fn a_file_that_names_another_place_or_version_is_refused() {
    let place = copied();
    let page = place.path().join("docs/installing.md");
    let text = std::fs::read_to_string(&page).unwrap();
    for wrong in [
        "docker run ghcr.io/somebody/agntix-exporter:0.1.0",
        "helm install oci://ghcr.io/somebody/charts/agntix-exporter",
        "https://github.com/somebody/agntix-exporter/releases",
        "agntix-exporter_9.9.9-1_amd64.deb",
        "agntix-exporter-9.9.9.tgz",
        "ghcr.io/agntix-exporter/agntix-exporter:9.9.9",
    ] {
        std::fs::write(&page, format!("{text}\n{wrong}\n")).unwrap();
        let refused = run(&mut Command::new(place.path().join("deploy/published"))).unwrap_err();
        assert!(refused.contains("docs/installing.md:"), "{wrong}: {refused}");
    }
}

#[test]
fn one_command_moves_everything_to_another_place_and_another_version() {
    let place = copied();
    let published = place.path().join("deploy/published");
    run(Command::new(&published).arg("https://github.com/Acme-Ops/exporter")).unwrap();
    run(Command::new(&published).args(["--version", "12.0.3"])).unwrap();
    run(&mut Command::new(&published)).unwrap();
    let print = |what| run(Command::new(&published).args(["--print", what])).unwrap();
    assert_eq!(print("releases"), "https://github.com/Acme-Ops/exporter/releases\n");
    assert_eq!(print("image"), "ghcr.io/acme-ops/agntix-exporter\n");
    assert_eq!(print("chart"), "oci://ghcr.io/acme-ops/charts/agntix-exporter\n");
    assert_eq!(print("version"), "12.0.3\n");
    let left = Command::new("grep")
        .args(["-rnE", "agntix-exporter/agntix-exporter|agntix-exporter[-_:]0\\.1\\.0"])
        .arg("--exclude=published")
        .arg(place.path())
        .output();
    assert_eq!(String::from_utf8(left.unwrap().stdout).unwrap(), "");
    for wrong in ["github.com/acme/exporter", "https://gitlab.com/acme/exporter"] {
        assert!(run(Command::new(&published).arg(wrong)).unwrap_err().contains("is no https://github.com/OWNER/NAME"));
    }
}

/// Runs a script of `deploy/` that puts a file into a directory, twice; the file must be the same both times.
fn made_twice(
    script: &str,
    arguments: &[&str],
    file: &str,
    environment: &[(&str, &Path)],
) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let directory = place.path().join(name);
        let mut command = Command::new(repository(script));
        command
            .args(arguments)
            .arg(&directory)
            .env("SOURCE_DATE_EPOCH", "1790000000")
            .envs(environment.iter().copied());
        run(&mut command).unwrap();
        directory.join(file)
    });
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(), "{script} makes two different files");
    (place, first)
}

#[test]
#[ignore = "needs rpm"]
fn the_rpm_package_has_everything_and_is_the_same_when_made_again() {
    let file = format!("agntix-exporter-{VERSION}-1.{}.rpm", std::env::consts::ARCH);
    let (_place, package) = made_twice("deploy/rpm/build", &[PROGRAM], &file, &[]);
    let ask = |what: &[&str]| run(Command::new("rpm").arg("-qp").args(what).arg(&package)).unwrap();

    let files = ask(&[
        "--queryformat",
        "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILENAMES}\n]",
    ]);
    for line in [
        "-rwxr-xr-x root root  /usr/bin/agntix-exporter",
        "-rw-r--r-- root root cn /etc/agntix-exporter/config.toml",
        "drwxr-x--- root agntix-exporter  /etc/agntix-exporter",
        "drwx------ agntix-exporter agntix-exporter  /var/lib/agntix-exporter",
        "-rw-r--r-- root root  /usr/lib/systemd/system/agntix-exporter.service",
        "-rw-r--r-- root root  /usr/lib/systemd/system/agntix-exporter@.service",
        "-rw-r--r-- root root  /usr/lib/sysusers.d/agntix-exporter.conf",
        "-rw-r--r-- root root  /usr/lib/tmpfiles.d/agntix-exporter.conf",
        "-rw-r--r-- root root d /usr/share/man/man8/agntix-exporter.8.gz",
        "-rw-r--r-- root root  /usr/share/bash-completion/completions/agntix-exporter",
        "-rw-r--r-- root root  /usr/share/zsh/site-functions/_agntix-exporter",
        "-rw-r--r-- root root l /usr/share/licenses/agntix-exporter/LICENSE",
        "-rw-r--r-- root root d /usr/share/doc/agntix-exporter/runbooks/AgntixExporterDown.md",
    ] {
        assert!(files.lines().any(|file| file == line), "{line}\n{files}");
    }
    assert_eq!(
        ask(&["--queryformat", "%{BUILDTIME} %{BUILDHOST} %{URL}"]),
        format!("1790000000 localhost {}", env!("CARGO_PKG_REPOSITORY"))
    );

    // What a distribution may lack: a C library newer than that of RHEL 9, and any other library.
    let needs = ask(&["--requires"]);
    let newest = needs.lines().filter_map(|need| need.split_once("GLIBC_2.")).filter_map(|(_, rest)| {
        rest.split(')').next().and_then(|minor| minor.split('.').next()).and_then(|minor| minor.parse::<u32>().ok())
    });
    assert!(newest.max().is_some_and(|minor| minor <= 34), "{needs}");
    for need in ["ca-certificates", "/usr/sbin/useradd", "libc.so.6()(64bit)"] {
        assert!(needs.lines().any(|line| line == need), "{need}: {needs}");
    }
    let libraries = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-"];
    for need in needs.lines().filter(|need| need.contains(".so.")) {
        assert!(libraries.iter().any(|library| need.starts_with(library)), "{need}");
    }

    // The user is that of the unit and of the Debian package.
    let scripts = ask(&["--scripts"]);
    let unit = std::fs::read_to_string(repository("deploy/systemd/agntix-exporter.service")).unwrap();
    let user = unit.lines().find_map(|line| line.strip_prefix("User=")).unwrap();
    for text in [&scripts, &std::fs::read_to_string(repository("deploy/rpm/sysusers.conf")).unwrap()] {
        assert!(text.contains(&format!(" {user}")) && text.contains("/nonexistent"), "{text}");
    }
    run(Command::new("sh").args(["-n", "-c", &scripts.replace(" scriptlet (using /bin/sh):", "() { :; }")])).unwrap();
}

#[test]
#[ignore = "needs Helm from .ci/tools"]
fn the_packaged_chart_is_the_same_when_made_again_and_by_either_helm() {
    let made = [("HELM_3", "helm3/helm/helm"), ("HELM_4", "helm4/helm/helm")].map(|(name, path)| {
        let helm = tool::locate(name, path);
        let (_place, package) =
            made_twice("deploy/helm/package", &[], &format!("agntix-exporter-{VERSION}.tgz"), &[("HELM", &helm)]);
        let metadata = run(Command::new(&helm).args(["show", "chart"]).arg(&package)).unwrap();
        for needed in [
            "home: https://",
            "icon: https://",
            "sources:",
            "maintainers:",
            "keywords:",
            "kubeVersion: ",
            "artifacthub.io/license: Apache-2.0",
            "artifacthub.io/changes: |",
            "artifacthub.io/links: |",
        ] {
            assert!(metadata.contains(needed), "{needed}: {metadata}");
        }
        let image = run(Command::new(repository("deploy/published")).args(["--print", "image"])).unwrap();
        assert!(metadata.contains(&format!("image: {}:{VERSION}\n", image.trim())), "{metadata}");
        std::fs::read(package).unwrap()
    });
    assert!(made[0] == made[1], "Helm 3 and 4 pack different charts");
}

/// What the documentation, the chart and Artifact Hub link of this repository is in it.
#[test]
fn links_into_the_repository_lead_to_files() {
    let place = env!("CARGO_PKG_REPOSITORY").trim_start_matches("https://github.com/");
    let prefixes = [format!("github.com/{place}/blob/"), format!("raw.githubusercontent.com/{place}/")];
    let mut found = 0;
    for file in ["deploy/helm/agntix-exporter/Chart.yaml", "README.md", "docs/installing.md", "docs/releasing.md"] {
        let text = std::fs::read_to_string(repository(file)).unwrap();
        for link in prefixes.iter().flat_map(|prefix| text.split(prefix.as_str()).skip(1)) {
            let path = link.split(char::is_whitespace).next().unwrap().split_once('/').unwrap().1;
            assert!(repository(path).is_file(), "{file} links {path}");
            found += 1;
        }
    }
    assert!(found >= 5, "{found}");
}

/// Ruby reads the formula; what Homebrew would be told is checked in the file.
#[test]
#[ignore = "needs ruby"]
fn the_formula_is_ruby_and_names_the_archive_and_its_checksum() {
    let place = tempfile::tempdir().unwrap();
    let archive = place.path().join("source.tar.gz");
    std::fs::write(&archive, "source").unwrap();
    let formula = run(Command::new(repository("deploy/homebrew/formula")).arg(&archive).arg("0123abcd")).unwrap();
    let file = place.path().join("agntix-exporter.rb");
    std::fs::write(&file, &formula).unwrap();
    let loaded =
        run(Command::new("ruby").arg("-w").arg(repository("tests/it/releases/formula.rb")).arg(&file)).unwrap();
    let releases = run(Command::new(repository("deploy/published")).args(["--print", "releases"])).unwrap();
    let expected = [
        format!("url {}/download/v{VERSION}/agntix-exporter-{VERSION}.source.tar.gz", releases.trim()),
        "sha256 41cf6794ba4200b839c53531555f0f3998df4cbb01a4d5cb0b94e3ca5e23947d".to_owned(),
        "license Apache-2.0".to_owned(),
        "run /opt/bin/agntix-exporter --config.file=/etc/agntix-exporter/config.toml".to_owned(),
        "env AGNTIX_EXPORTER__API__KEY_FILE=/etc/agntix-exporter/api-key".to_owned(),
        "env AGNTIX_EXPORTER__STATE__PATH=/var/lib/agntix-exporter".to_owned(),
        "install cargo install --locked".to_owned(),
        "revision 0123abcd".to_owned(),
        "test".to_owned(),
    ];
    for line in expected {
        assert!(loaded.lines().any(|said| said == line), "{line}\n{loaded}");
    }
}

/// Writes what `deploy/release` leaves on a machine: files, and their sums.
fn made_on(place: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(place).unwrap();
    for (name, text) in files {
        std::fs::write(place.join(name), text).unwrap();
    }
    let names = files.iter().map(|(name, _)| *name);
    let sums = run(Command::new("sha256sum").args(names).current_dir(place)).unwrap();
    std::fs::write(place.join("SHA256SUMS"), sums).unwrap();
}

#[test]
fn files_of_two_machines_are_put_together_only_if_common_ones_are_the_same() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let merge = |out: &str, from: &[&str]| {
        let from = from.iter().map(|name| at(name));
        run(Command::new(repository("deploy/merge")).arg(at(out)).args(from))
    };
    made_on(&at("amd64"), &[("chart.tgz", "chart"), ("amd64.deb", "one")]);
    made_on(&at("arm64"), &[("chart.tgz", "chart"), ("arm64.deb", "another")]);
    merge("release", &["amd64", "arm64"]).unwrap();
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(at("release"))).unwrap();
    let sums = std::fs::read_to_string(at("release/SHA256SUMS")).unwrap();
    let names: Vec<&str> = sums.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(names, ["amd64.deb", "arm64.deb", "chart.tgz"]);
    assert!(merge("release", &["amd64"]).unwrap_err().contains("is there already"));

    made_on(&at("other"), &[("chart.tgz", "another chart")]);
    assert!(merge("mixed", &["amd64", "other"]).unwrap_err().contains("chart.tgz is not the same"));
    std::fs::write(at("arm64/arm64.deb"), "damaged").unwrap();
    assert!(merge("damaged", &["amd64", "arm64"]).unwrap_err().contains("is not as its SHA256SUMS says"));
}

#[test]
fn the_notes_of_a_release_are_its_section_of_the_changelog() {
    let place = copied();
    let notes = || run(&mut Command::new(place.path().join("deploy/notes")));
    let changelog = |text: &str| std::fs::write(place.path().join("CHANGELOG.md"), text).unwrap();
    changelog(&format!(
        "# Changelog\n\n## Unreleased\n\n- Later\n\n## {VERSION} - 2026-12-01\n\n- Now\n\n## 0.0.1\n\n- Before\n"
    ));
    assert_eq!(notes().unwrap().trim(), "- Now");
    changelog("# Changelog\n\n## Unreleased\n\n- Later\n");
    assert!(notes().unwrap_err().contains("CHANGELOG.md has no section"));
}

/// An image as an archive in OCI's layout, with nothing in it but its architecture.
fn image_for(architecture: &str, directory: &Path) -> PathBuf {
    let layout = directory.join(architecture);
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |value: serde_json::Value| {
        let text = value.to_string();
        let file = directory.join("blob");
        std::fs::write(&file, &text).unwrap();
        let sum = run(Command::new("sha256sum").arg(&file)).unwrap();
        let digest = sum.split_whitespace().next().unwrap();
        std::fs::copy(&file, blobs.join(digest)).unwrap();
        serde_json::json!({ "digest": format!("sha256:{digest}"), "size": text.len(), "mediaType": "application/vnd.oci.image.manifest.v1+json" })
    };
    let config = blob(
        serde_json::json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } }),
    );
    let mut manifest = blob(serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [] }));
    manifest["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "name" });
    std::fs::write(
        layout.join("index.json"),
        serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string(),
    )
    .unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let archive = directory.join(format!("{architecture}.tar"));
    run(Command::new("tar").arg("-C").arg(&layout).arg("-cf").arg(&archive).arg(".")).unwrap();
    archive
}

#[test]
fn images_of_several_architectures_get_one_index() {
    let place = tempfile::tempdir().unwrap();
    let [amd, arm] = ["amd64", "arm64"].map(|architecture| image_for(architecture, place.path()));
    let index = |out: &str, archives: &[&Path]| {
        run(Command::new(repository("deploy/docker/index")).arg(place.path().join(out)).args(archives))
    };
    let digest = index("one", &[&amd, &arm]).unwrap();
    assert_eq!(digest, index("another", &[&arm, &amd]).unwrap(), "the order of the archives matters");
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(place.path().join("one").join(path)).unwrap()).unwrap()
    };
    let top = read("index.json");
    assert_eq!(top["manifests"][0]["digest"], digest.trim());
    let images = read(&format!("blobs/sha256/{}", digest.trim().trim_start_matches("sha256:")));
    for (image, architecture) in images["manifests"].as_array().unwrap().iter().zip(["amd64", "arm64"]) {
        assert_eq!(image["platform"], serde_json::json!({ "architecture": architecture, "os": "linux" }));
        let manifest =
            read(&format!("blobs/sha256/{}", image["digest"].as_str().unwrap().trim_start_matches("sha256:")));
        assert_eq!(manifest["schemaVersion"], 2);
    }
    assert!(index("twice", &[&amd, &amd]).unwrap_err().contains("same architecture"));
}

/// Which toolchain builds a release is said in three places.
#[test]
fn workflows_use_the_toolchain_of_the_dockerfile() {
    let dockerfile = std::fs::read_to_string(repository("deploy/docker/Dockerfile")).unwrap();
    let version = dockerfile.lines().find_map(|line| line.strip_prefix("FROM rust:")?.split('-').next()).unwrap();
    for workflow in ["ci", "release"] {
        let text = std::fs::read_to_string(repository(&format!(".github/workflows/{workflow}.yml"))).unwrap();
        assert!(
            text.contains(&format!("image: rust:{version}-bookworm ")),
            "{workflow}.yml has another Rust than {version}"
        );
    }
}

/// A module of name services needs the C library that it was made for, and with another one ends the process.
#[test]
#[ignore = "needs root, strace and a C compiler"]
fn the_static_program_loads_no_module_to_look_up_a_name() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    std::fs::write(at("nsswitch.conf"), "passwd: files\nhosts: files myhostname dns\n").unwrap();
    let program = "#include <netdb.h>\nint main(void) { struct addrinfo *found; return getaddrinfo(\"name.invalid\", \"80\", 0, &found) == 0; }\n";
    std::fs::write(at("look_up.c"), program).unwrap();
    let opened = |with: &[PathBuf]| {
        let mut compile = Command::new("cc");
        run(compile.args(["-static-pie", "-o"]).arg(at("look_up")).arg(at("look_up.c")).args(with)).unwrap();
        let inner = "mount --bind \"$1\" /etc/nsswitch.conf; shift; exec strace -f -e trace=openat \"$@\"";
        let mut look_up = Command::new("unshare");
        look_up.args(["--mount", "sh", "-ec", inner, "sh"]).arg(at("nsswitch.conf")).arg(at("look_up"));
        let output = look_up.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(opened(&[]).contains("libnss_myhostname"), "what follows would find nothing");
    let said = opened(&[repository("deploy/static/names.c")]);
    assert!(said.contains("/etc/hosts") && !said.contains("libnss_"), "{said}");
}

/// The names of image and chart lead to something once a release is published, and what they lead to runs.
#[test]
#[ignore = "needs root, podman, buildah, runc, skopeo and ip, and Helm and a registry from .ci/tools"]
fn the_readmes_container_and_chart_are_there_once_published() {
    let mut command = Command::new(repository("tests/containers/published"));
    for (name, path) in [
        ("HELM_3", "helm3/helm/helm"),
        ("KUBERNETES_PYTHON", "kubernetes-python/bin/python"),
        ("DOCKER_REGISTRY", "registry/usr/bin/docker-registry"),
    ] {
        command.env(if name == "HELM_3" { "HELM" } else { name }, tool::locate(name, path));
    }
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
}

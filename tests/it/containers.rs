//! The image, the Compose files and the manifests of Kubernetes in containers of a real engine: the scripts of `tests/containers`, which say what they
//! look at.

use std::path::Path;
use std::process::Command;

fn passes(script: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/containers").join(script)).current_dir(root).output().unwrap();
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}:\n{}\n{}", said(&output.stdout), said(&output.stderr));
}

#[test]
#[ignore = "needs root, podman, buildah, runc, netavark, aardvark-dns, iptables, iproute2, curl and openssl"]
fn the_image_runs_confined_as_any_user_of_group_0() {
    passes("image");
}

#[test]
#[ignore = "needs root, podman, buildah, runc, netavark, aardvark-dns, iptables, iproute2, curl and .ci/tools; takes nine minutes"]
fn a_simulated_incident_of_the_compose_file_arrives_at_the_receiver() {
    passes("compose");
}

#[test]
#[ignore = "needs root, podman, buildah, runc, netavark, aardvark-dns, iptables, iproute2, curl and .ci/tools"]
fn replicas_of_the_compose_file_count_on_without_one_of_them_and_without_the_primary() {
    passes("replicas");
}

#[test]
#[ignore = "needs root, podman, buildah, runc, netavark, aardvark-dns, iptables, iproute2, catatonit, curl and .ci/tools"]
fn podman_plays_the_manifests() {
    passes("play");
}

"""Reads objects as YAML, checks them as the API server of a version of Kubernetes would, and prints them as JSON.

schemas.py VERSION... < objects: a field that the schema does not know is refused, as `kubectl --validate=strict` does, and what others'
schemas describe is printed only.
"""

import functools
import json
import re
import sys

import jsonschema
import kubernetes_validate
import referencing
import yaml
from kubernetes_validate.utils import schema_contents

# The versions that have a schema of their own; the package takes the next older one for any other.
KNOWN = kubernetes_validate.utils.all_versions()
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
# Objects whose schemas are not those of Kubernetes: the group that each apiVersion begins with.
FOREIGN = ("monitoring.coreos.com/", "gateway.networking.k8s.io/", "monitoring.googleapis.com/", "grafana.integreatly.org/")


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """The loader in C, where there is one: the dashboards take the other ten seconds. A key that is there twice is refused."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def documents(text):
    """The objects in a text of YAML."""
    return [document for document in yaml.load_all(text, Loader=Loader) if document is not None]


def unique(_, keys, items, schema):
    """Two items with the same keys, which server-side apply refuses."""
    if schema.get("x-kubernetes-list-type") == "map" and isinstance(items, list):
        seen = set()
        for item in items:
            # The only key of these lists that has a default.
            of_item = tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys if isinstance(item, dict))
            if of_item in seen:
                yield jsonschema.ValidationError(f"two items have the same {' and '.join(keys)}: {', '.join(map(str, of_item))}")
            seen.add(of_item)


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"x-kubernetes-list-map-keys": unique})


@functools.cache
def definitions(version):
    """What the schemas of a version refer to; it is large and read once."""
    return referencing.Resource.from_contents(schema_contents(f"kubernetes-json-schema/v{version}-local-strict/_definitions.json", version))


@functools.cache
def validator(version, kind, api_version):
    """The schema of a kind of object."""
    # As the package names its files: rbac.authorization.k8s.io/v1 is rbac-v1.
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    try:
        schema = schema_contents(f"kubernetes-json-schema/v{version}-local-strict/{kind.lower()}-{short}.json", version)
    except FileNotFoundError:
        return None
    registry = referencing.Resource.from_contents(schema) @ (definitions(version) @ referencing.Registry())
    return Validator(schema, registry=registry)


def said(error):
    """What is wrong, and where."""
    return f"{'.'.join(map(str, error.absolute_path))}: {error.message}"


def of_schema(thing, version):
    """What is not as the schema of a version wants it."""
    if version not in KNOWN:
        return [f"there is no schema of Kubernetes {version}"]
    found = validator(version, thing["kind"], thing["apiVersion"])
    if found is None:
        return [f"Kubernetes {version} has no {thing['kind']} in {thing['apiVersion']}"]
    return [said(error) for error in found.iter_errors(thing)]


def of_names(thing):
    """What the schemas do not say of names and labels, and the API server refuses all the same."""
    metadata = thing["metadata"]
    name = metadata["name"]
    if not NAME.fullmatch(name) or len(name) > (63 if thing["kind"] == "Service" else 253):
        yield f"{name} is no name of a {thing['kind']}"
    template = thing.get("spec", {}).get("template", {}).get("metadata", {}) if isinstance(thing.get("spec"), dict) else {}
    for labels in (metadata.get("labels"), template.get("labels")):
        for key, value in (labels or {}).items():
            if len(key.rpartition("/")[2]) > 63 or not isinstance(value, str) or len(value) > 63 or not LABEL.fullmatch(value):
                yield f"{key}: {value} is no label"


def of_pods(thing):
    """What the parts of a pod say of each other."""
    spec = thing.get("spec")
    if thing["kind"] not in ("StatefulSet", "Deployment", "Pod", "Job") or not spec:
        return
    pod = spec if thing["kind"] == "Pod" else spec["template"]["spec"]
    if "selector" in spec:
        labels = spec["template"]["metadata"]["labels"]
        if any(labels.get(key) != value for key, value in spec["selector"]["matchLabels"].items()):
            yield f"the selector {spec['selector']} does not choose its own pods, which have {labels}"
    volumes = [volume["name"] for volume in pod.get("volumes") or []]
    claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or []]
    # A claim may stand in place of a volume, never beside one that has its name.
    known = set(volumes) | set(claims)
    if len(known) < len(volumes) + len(claims):
        yield f"two volumes have the same name: {volumes + claims}"
    ports = []
    for container in (pod.get("initContainers") or []) + pod["containers"]:
        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in known:
                yield f"{container['name']} mounts {mount['name']}, and the volumes are {sorted(known)}"
        named = [port["name"] for port in container.get("ports") or [] if "name" in port]
        ports += named
        for port in named:
            if len(port) > 15 or not NAME.fullmatch(port):
                yield f"{port} is no name of a port"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            port = (container.get(probe) or {}).get("httpGet", {}).get("port")
            if isinstance(port, str) and port not in named:
                yield f"{probe} asks the port {port}, and the ports of {container['name']} are {named}"
    if len(set(ports)) < len(ports):
        yield f"two ports have the same name: {ports}"


def problems(thing, version):
    """All that is wrong with an object of Kubernetes itself."""
    return [*of_schema(thing, version), *of_names(thing), *of_pods(thing)]


def main():
    """For the tests of single renderings."""
    objects = documents(sys.stdin)
    for version in sys.argv[1:]:
        for thing in objects:
            if not thing["apiVersion"].startswith(FOREIGN):
                for problem in problems(thing, version):
                    sys.exit(f"{thing['kind']} {thing['metadata']['name']} is not as Kubernetes {version} wants it: {problem}")
    json.dump(objects, sys.stdout, default=str)


if __name__ == "__main__":
    main()

"""Checks many renderings at once, as schemas.py does each, and says what is wrong and what there is.

Reads {"versions": [...], "renderings": [{"set", "version", "text"}, ...]}, as JSON; prints {"problems": [...], "kinds": {SET: [...]},
"foreign": [OBJECT, ...]}, where the foreign objects are those whose schemas the models of npm's packages are. An object that several
renderings have is checked once a version.
"""

import json
import pathlib
import sys

import jsonschema

import schemas

OWN = {
    (schema["properties"]["apiVersion"]["const"], schema["properties"]["kind"]["const"]): jsonschema.Draft202012Validator(schema)
    for schema in (json.loads(file.read_text()) for file in pathlib.Path(__file__).with_name("crds").glob("*.json"))
}
IN_MODELS = ("monitoring.coreos.com/", "gateway.networking.k8s.io/")


def of_services(objects):
    """Services that no pod of the rendering is behind, and what leads to a Service or a port that is not there."""
    pods = [thing["spec"]["template"] for thing in objects if thing["kind"] in ("StatefulSet", "Deployment")]
    services = {thing["metadata"]["name"]: thing["spec"] for thing in objects if thing["kind"] == "Service"}
    for name, spec in services.items():
        chosen = [pod for pod in pods if spec.get("selector", {}).items() <= pod["metadata"]["labels"].items()]
        if not chosen:
            yield f"the Service {name} chooses no pod"
        named = {port["name"] for pod in chosen for one in pod["spec"]["containers"] for port in one.get("ports") or [] if "name" in port}
        for port in spec["ports"]:
            if isinstance(port.get("targetPort"), str) and port["targetPort"] not in named:
                yield f"the Service {name} leads to the port {port['targetPort']}, and the pod's are {sorted(named)}"
    backends = []
    for thing in objects:
        if thing["kind"] == "Ingress":
            paths = [path for rule in thing["spec"].get("rules", []) for path in rule["http"]["paths"]]
            backends += [(path["backend"]["service"]["name"], path["backend"]["service"]["port"]) for path in paths]
        if thing["kind"] == "HTTPRoute":
            refs = [ref for rule in thing["spec"].get("rules", []) for ref in rule.get("backendRefs", [])]
            backends += [(ref["name"], {"number": ref["port"]}) for ref in refs]
    for name, wanted in backends:
        there = services.get(name, {}).get("ports", [])
        if not any(port["port"] == wanted.get("number") or port["name"] == wanted.get("name") for port in there):
            yield f"requests are led to {name} {wanted}, and its ports are {there}"


def of_rendering(objects):
    """What is wrong with objects beside each other."""
    yield from of_services(objects)
    seen = set()
    for thing in objects:
        identity = (thing["apiVersion"].partition("/")[0], thing["kind"], thing["metadata"].get("namespace"), thing["metadata"]["name"])
        if identity in seen:
            yield f"there are two of {' '.join(map(str, identity))}"
        seen.add(identity)


def of_object(thing, version):
    """What is wrong with an object by itself."""
    if not thing["apiVersion"].startswith(schemas.FOREIGN):
        return schemas.problems(thing, version)
    own = OWN.get((thing["apiVersion"], thing["kind"]))
    if own is not None:
        return [*map(schemas.said, own.iter_errors(thing)), *schemas.of_names(thing)]
    if thing["apiVersion"].startswith(IN_MODELS):
        return list(schemas.of_names(thing))
    return ["the tests have no schema for it"]


def main():
    """Everything at once, so that each schema is read once."""
    asked = json.load(sys.stdin)
    problems, kinds, foreign, parsed, checked = {}, {}, {}, {}, {}
    if schemas.KNOWN[-1] not in asked["versions"]:
        problems["the list of versions: this one has a schema, and is not checked"] = [schemas.KNOWN[-1]]
    for rendering in asked["renderings"]:
        name, version, text = rendering["set"], rendering["version"], rendering["text"]
        if text not in parsed:
            parsed[text] = [(thing, json.dumps(thing, sort_keys=True, default=str)) for thing in schemas.documents(text)]
        objects = parsed[text]
        kinds[name] = sorted({*kinds.get(name, []), *(thing["kind"] for thing, _ in objects)})
        for problem in of_rendering([thing for thing, _ in objects]):
            problems.setdefault(f"{name}: {problem}", []).append(version)
        for thing, key in objects:
            if thing["apiVersion"].startswith(IN_MODELS):
                foreign[key] = thing
            if (key, version) not in checked:
                checked[key, version] = of_object(thing, version)
            for problem in checked[key, version]:
                problems.setdefault(f"{name}: {thing['kind']} {thing['metadata']['name']}: {problem}", []).append(version)
    said = [f"{problem} (Kubernetes {versions[0]} to {versions[-1]})" for problem, versions in problems.items()]
    json.dump({"problems": said, "kinds": kinds, "foreign": list(foreign.values())}, sys.stdout, default=str)


if __name__ == "__main__":
    main()

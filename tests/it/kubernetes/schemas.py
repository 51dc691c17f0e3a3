"""Reads objects as YAML, checks them against the schemas of Kubernetes, and prints them as JSON.

schemas.py VERSION... < objects: what has no schema there is printed only, since its schema is another's.
"""

import json
import sys

import kubernetes_validate
import yaml

# The loader in C, where there is one: the dashboards take the other ten seconds.
loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
objects = [document for document in yaml.load_all(sys.stdin, Loader=loader) if document is not None]
for version in sys.argv[1:]:
    for thing in objects:
        if not thing["apiVersion"].startswith("monitoring.coreos.com/"):
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except kubernetes_validate.ValidationError as e:
                sys.exit(f"{thing['kind']} {thing['metadata']['name']} is not as Kubernetes {version} wants it: {e.message}")
json.dump(objects, sys.stdout, default=str)

"""A sound pod that each case changes at one place, and what the rules say of it in one line a complaint."""

from __future__ import annotations

import copy
from typing import Any

from apiserver.kinds.rules import rules_for
from machinery.api.canonical import canonical
from machinery.api.resource import Object
from machinery.api.resources import PODS
from tests.kind_rules import lines

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
VARIABLE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
PORT_CHARS = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def pod(spec: Object | None = None, **metadata: Any) -> Object:
    """A new pod as it is when its rules are asked: canonical, defaulted, prepared; sound but for what is given."""
    wanted = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "namespace": "default", **metadata},
        "spec": {"serviceAccountName": "default", "containers": [container()], **(spec or {})},
    }
    found = canonical(copy.deepcopy(wanted), PODS)
    rules = rules_for(PODS)
    rules.default(found)
    rules.prepare_create(found)
    return found


def container(**fields: Any) -> Object:
    return {"name": "c", "image": "nginx", **fields}


def with_container(**fields: Any) -> Object:
    """The spec with one container that has these fields, and volumes that it can mount."""
    volumes = [
        {"name": "v", "emptyDir": {}},
        {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}},
        {"name": "made", "ephemeral": {"volumeClaimTemplate": {"spec": claim_spec()}}},
    ]
    return {"containers": [container(**fields)], "volumes": volumes}


def claim_spec() -> Object:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def refusals(found: Object) -> list[str]:
    """All complaints of a new pod, as kubectl would list them."""
    return lines(rules_for(PODS).validate(found))

"""What a kubelet may do: the rules of ClusterRole `system:node`, and only secrets and the like that its pods use.

No binding gives the role to `system:nodes`: a stolen node key must not read every secret of the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.authz.rules import Rule
from apiserver.request import Attributes
from machinery.api.resource import Object
from machinery.client.cache import Cache

_PREFIX = "system:node:"
ROLE = "system:node"


def node_allows(asked: Attributes, cache: Cache, rules: Sequence[Rule]) -> bool:
    """Whether a user of group `system:nodes` may do what is asked; `rules` are those of ClusterRole `system:node`."""
    if not asked.user.name.startswith(_PREFIX) or asked.path:
        return False
    node = asked.user.name.removeprefix(_PREFIX)
    if asked.api_group == "" and asked.resource in ("secrets", "configmaps"):
        return _reads_what_pods_use(asked, cache, node)
    if asked.api_group == "" and (asked.resource, asked.subresource) == ("serviceaccounts", "token"):
        return asked.verb == "create" and any(
            _namespace(pod) == asked.namespace and _account(pod) == asked.name for pod in cache.on_node(node)
        )
    return any(each.allows(asked) for each in rules)


def _reads_what_pods_use(asked: Attributes, cache: Cache, node: str) -> bool:
    # list and watch are allowed with a field selector on one name, which reaches here as the name.
    if asked.verb not in ("get", "list", "watch") or not asked.name:
        return False
    kind = "Secret" if asked.resource == "secrets" else "ConfigMap"
    return any(_namespace(pod) == asked.namespace and (kind, asked.name) in uses(pod) for pod in cache.on_node(node))


def uses(pod: Object) -> set[tuple[str, str]]:
    """The ("Secret" | "ConfigMap", name) pairs that the pod's spec refers to."""
    spec = pod.get("spec") or {}
    found = {("Secret", ref.get("name", "")) for ref in spec.get("imagePullSecrets") or ()}
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()),
                      *(spec.get("ephemeralContainers") or ())):  # fmt: skip
        found |= _environment(container)
    for volume in spec.get("volumes") or ():
        found |= _volume(volume)
    return found


def _environment(container: Object) -> set[tuple[str, str]]:
    found = set()
    for source in container.get("envFrom") or ():
        found |= {("Secret", ref["name"]) for ref in [source.get("secretRef")] if ref}
        found |= {("ConfigMap", ref["name"]) for ref in [source.get("configMapRef")] if ref}
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        found |= {("Secret", ref["name"]) for ref in [source.get("secretKeyRef")] if ref}
        found |= {("ConfigMap", ref["name"]) for ref in [source.get("configMapKeyRef")] if ref}
    return found


def _volume(volume: Object) -> set[tuple[str, str]]:
    found = set()
    for kind, key, name in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
        if volume.get(key):
            found.add((kind, volume[key].get(name, "")))
    for source in (volume.get("projected") or {}).get("sources") or ():
        for kind, key in (("Secret", "secret"), ("ConfigMap", "configMap")):
            if source.get(key):
                found.add((kind, source[key].get("name", "")))
    for driver in volume.values():
        if isinstance(driver, dict):
            for key in ("secretRef", "nodePublishSecretRef"):
                if isinstance(driver.get(key), dict):
                    found.add(("Secret", driver[key].get("name", "")))
    return found


def _namespace(pod: Object) -> str:
    return str(pod["metadata"].get("namespace", ""))


def _account(pod: Object) -> str:
    spec = pod.get("spec") or {}
    return str(spec.get("serviceAccountName") or "default")

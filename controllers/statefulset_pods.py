"""A StatefulSet's pods: each has an ordinal, and with it a name, a host name and claims that outlive it."""

from __future__ import annotations

import re

from controllers.history import POD_LABEL
from controllers.plan import owner_reference
from controllers.pods import pod_from_template
from machinery.api.resource import Object
from machinery.api.resources import STATEFUL_SETS
from machinery.api.views import Pod, StatefulSet

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
_INDEX_LABEL = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)")
_LARGEST = 2**31 - 1


def ordinal_of(stateful_set: StatefulSet, name: str) -> int | None:
    """The ordinal of a pod of this name, None where it is no name of one of the set's."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] != stateful_set.name or int(found[2]) > _LARGEST:
        return None
    return int(found[2])


def is_in_range(stateful_set: StatefulSet, ordinal: int) -> bool:
    return stateful_set.start <= ordinal < stateful_set.start + stateful_set.replicas


def pod_name(stateful_set: StatefulSet, ordinal: int) -> str:
    return f"{stateful_set.name}-{ordinal}"


def claim_name(stateful_set: StatefulSet, template: Object, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{stateful_set.name}-{ordinal}"


def new_pod(stateful_set: StatefulSet, template: Object, revision: str, ordinal: int) -> Object:
    """The pod of an ordinal, as `template` of the revision makes it."""
    made = pod_from_template(template, stateful_set.obj, owner_reference(STATEFUL_SETS, stateful_set.obj))
    name = pod_name(stateful_set, ordinal)
    labels = {**made["metadata"].get("labels", {}), **_identity(name, ordinal), POD_LABEL: revision}
    spec = {**made["spec"], "hostname": name}
    if stateful_set.service_name:
        spec["subdomain"] = stateful_set.service_name
    if stateful_set.claim_templates:
        spec["volumes"] = _volumes(stateful_set, ordinal, spec.get("volumes") or [])
    return {**made, "metadata": {**made["metadata"], "name": name, "labels": labels}, "spec": spec}


def repaired(stateful_set: StatefulSet, pod: Pod, ordinal: int) -> Object | None:
    """The pod with its name in its labels and its claims in its volumes; None where they are."""
    mounted = {volume["name"]: (volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in pod.volumes}
    has_storage = _claims(stateful_set, ordinal).items() <= mounted.items()
    if pod.labels.get(NAME_LABEL) == pod.name and has_storage:
        return None
    metadata = {**pod.obj["metadata"], "labels": {**pod.labels, **_identity(pod.name, ordinal)}}
    spec = pod.obj["spec"]
    if not has_storage:
        spec = {**spec, "volumes": _volumes(stateful_set, ordinal, pod.volumes)}
    return {**pod.obj, "metadata": metadata, "spec": spec}


def _identity(name: str, ordinal: int) -> dict[str, str]:
    return {NAME_LABEL: name, _INDEX_LABEL: str(ordinal)}


def _claims(stateful_set: StatefulSet, ordinal: int) -> dict[str, str]:
    """The names of a pod's claims by those of their volumes."""
    return {
        template["metadata"]["name"]: claim_name(stateful_set, template, ordinal)
        for template in stateful_set.claim_templates
    }


def _volumes(stateful_set: StatefulSet, ordinal: int, others: list[Object]) -> list[Object]:
    """The set's claims as volumes, in place of others of the same names."""
    claims = _claims(stateful_set, ordinal)
    own = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()]
    return [*own, *(volume for volume in others if volume["name"] not in claims)]

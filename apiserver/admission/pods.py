"""What admission does to new pods: their ServiceAccount and its token, their priority, tolerations of lost nodes."""

from __future__ import annotations

from apiserver.admission.chain import Admit, Review
from apiserver.rules.pods.token_name import TOKEN_VOLUME
from machinery.api.errors import forbidden
from machinery.api.names import random_suffix
from machinery.api.resource import Object
from machinery.api.resources import PODS, PRIORITY_CLASSES, SERVICE_ACCOUNTS
from machinery.client.cache import Cache

_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_MIRROR = "kubernetes.io/config.mirror"
_TOLERATED_SECONDS = 300
_LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def _new_pod(review: Review) -> Object | None:
    is_new = review.operation == "CREATE" and review.resource == PODS and not review.subresource
    return review.obj if is_new else None


def service_account(cache: Cache) -> Admit:
    """ServiceAccount: a pod runs as an account that is there, and finds its token mounted."""

    async def admit(review: Review) -> None:
        pod = _new_pod(review)
        if pod is None or _MIRROR in (pod["metadata"].get("annotations") or {}):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        account = cache.get(SERVICE_ACCOUNTS, review.namespace, name)
        if account is None:
            where = f"{review.namespace}/{name}"
            raise forbidden(
                "pods", review.name, f'error looking up service account {where}: serviceaccount "{name}" not found'
            )
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken", True)
        if wanted:
            _mount_token(spec)

    return admit


def _mount_token(spec: Object) -> None:
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    lacking = [
        each
        for each in containers
        if all(mount.get("mountPath") != _TOKEN_PATH for mount in each.get("volumeMounts") or [])
    ]
    if not lacking:
        return
    volume = _token_volume()
    spec["volumes"] = [*(spec.get("volumes") or []), volume]
    for each in lacking:
        mount = {"name": volume["name"], "readOnly": True, "mountPath": _TOKEN_PATH}
        each["volumeMounts"] = [*(each.get("volumeMounts") or []), mount]


def _token_volume() -> Object:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": f"{TOKEN_VOLUME}{random_suffix()}",
        "projected": {
            "sources": [
                # A little more than an hour, so that renewal after 80 % of it falls before the hour ends.
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 420,
        },
    }


def priority(cache: Cache) -> Admit:
    """Priority: the number that a pod's PriorityClass stands for; one class at most stands for pods that name none."""

    async def admit(review: Review) -> None:
        if review.resource == PRIORITY_CLASSES:
            _only_default(cache, review)
            return
        pod = _new_pod(review)
        if pod is None:
            return
        spec = pod["spec"]
        name = spec.get("priorityClassName") or ""
        found = cache.get(PRIORITY_CLASSES, "", name) if name else _global_default(cache)
        if name and found is None:
            raise forbidden("pods", review.name, f"no PriorityClass with name {name} was found")
        value: int = (found or {}).get("value", 0)
        policy: str = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        given = spec.get("priority")
        if given is not None and given != value:
            raise forbidden(
                "pods",
                review.name,
                f"the integer value of priority ({given}) must not be provided in pod spec; priority admission "
                f"controller computed {value} from the given PriorityClass name",
            )
        if found is not None and not name:
            spec["priorityClassName"] = found["metadata"]["name"]
        spec["priority"] = value
        spec["preemptionPolicy"] = spec.get("preemptionPolicy") or policy

    return admit


def _only_default(cache: Cache, review: Review) -> None:
    if review.obj is None or not review.obj.get("globalDefault"):
        return
    default = _global_default(cache)
    if default is None or (review.old is not None and default["metadata"]["name"] == review.name):
        return
    why = f"PriorityClass {default['metadata']['name']} is already marked as default. Only one default can exist"
    raise forbidden("priorityclasses", review.name, why, PRIORITY_CLASSES.group)


def _global_default(cache: Cache) -> Object | None:
    defaults = [each for each in cache.list(PRIORITY_CLASSES) if each.get("globalDefault")]
    return min(defaults, key=lambda each: int(each.get("value", 0)), default=None)


async def default_toleration_seconds(review: Review) -> None:
    """DefaultTolerationSeconds: a pod stays five minutes on a node that is lost, unless it says otherwise."""
    pod = _new_pod(review)
    if pod is None:
        return
    tolerations = list(pod["spec"].get("tolerations") or [])
    for key in _LOST:
        if not any(_tolerates(each, key) for each in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS}
            )
    pod["spec"]["tolerations"] = tolerations


def _tolerates(toleration: Object, key: str) -> bool:
    return (toleration.get("key") == key or not toleration.get("key")) and toleration.get("effect") in (
        None, "", "NoExecute",
    )  # fmt: skip

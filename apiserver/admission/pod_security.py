"""PodSecurity: a namespace's labels say which of the Pod Security Standards its pods are held to, or warned of.

https://kubernetes.io/docs/concepts/security/pod-security-admission/; what is only audited shows nowhere yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apiserver.admission.chain import Admit, Review
from apiserver.rules.security.findings import Finding, name_of
from apiserver.rules.security.levels import PRIVILEGED, Level, Policy, findings, policy_of
from machinery.api.errors import forbidden, invalid
from machinery.api.resource import Object
from machinery.api.resources import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    POD_TEMPLATES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from machinery.api.views import Pod
from machinery.client.cache import Cache

_IGNORED = ("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status")
_TEMPLATE = ("spec", "template")
_TEMPLATES = {
    **dict.fromkeys((REPLICATION_CONTROLLERS, REPLICA_SETS, DEPLOYMENTS, DAEMON_SETS, STATEFUL_SETS, JOBS), _TEMPLATE),
    POD_TEMPLATES: ("template",),
    CRON_JOBS: ("spec", "jobTemplate", *_TEMPLATE),
}
_MOST_PODS = 3000


def pod_security(cache: Cache) -> Admit:
    """The admission function over the namespaces and pods that `cache` knows."""

    async def admit(review: Review) -> None:
        if review.obj is None or review.operation == "DELETE":
            return
        if review.resource == NAMESPACES:
            if not review.subresource:
                _judge_namespace(cache, review, review.obj)
        elif review.resource == PODS:
            if review.subresource not in _IGNORED:
                _judge_pod(_policy(cache, review), review, review.obj)
        elif review.resource in _TEMPLATES and not review.subresource:
            _warn_of_template(_policy(cache, review), review, review.obj)

    return admit


def _policy(cache: Cache, review: Review) -> Policy:
    namespace = cache.get(NAMESPACES, "", review.namespace)
    labels = (namespace["metadata"].get("labels") or {}) if namespace is not None else {}
    return policy_of(labels)[0]


def _judge_pod(policy: Policy, review: Review, pod: Object) -> None:
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    if policy.is_privileged or (review.old is not None and not _is_significant(spec, review.old["spec"])):
        return
    if found := findings(policy.enforce, metadata, spec):
        why = f'violates PodSecurity "{policy.enforce}": {_told(found)}'
        raise forbidden(review.resource.plural, review.name, why, review.resource.group)
    _warn(policy.warn, review, metadata, spec)


def _is_significant(new: Object, old: Object) -> bool:
    """Whether other images run: of what the levels are about nothing else may change."""
    if any(_images(new, part) != _images(old, part) for part in ("containers", "initContainers")):
        return True
    before = {name_of(each): each.get("image") for each in old.get("ephemeralContainers") or ()}
    now = {name_of(each): each.get("image") for each in new.get("ephemeralContainers") or ()}
    return not now.items() <= before.items()


def _images(spec: Object, part: str) -> list[str]:
    return [each.get("image", "") for each in spec.get(part) or ()]


def _warn_of_template(policy: Policy, review: Review, obj: Object) -> None:
    """Who makes pods is not refused: it may never make one."""
    if policy.warn.name == PRIVILEGED:
        return
    found = obj
    for part in _TEMPLATES[review.resource]:
        found = found.get(part) or {}
    if found.get("spec"):
        _warn(policy.warn, review, found.get("metadata") or {}, found["spec"])


def _warn(level: Level, review: Review, metadata: Object, spec: Object) -> None:
    if found := findings(level, metadata, spec):
        review.call.warn(f'would violate PodSecurity "{level}": {_told(found)}')


def _told(found: Sequence[Finding]) -> str:
    return ", ".join(map(str, found))


def _judge_namespace(cache: Cache, review: Review, namespace: Object) -> None:
    """Labels that can't be read are refused; of pods that a stricter level would not take it is warned."""
    policy, errors = policy_of(namespace["metadata"].get("labels") or {})
    before, old_errors = policy_of((review.old or {"metadata": {}})["metadata"].get("labels") or {})
    if errors and errors != old_errors:
        raise invalid(NAMESPACES.kind, review.name, errors)
    if review.old is None or policy.enforce == before.enforce or policy.enforce.name == PRIVILEGED:
        return
    if policy.enforce.minor == before.enforce.minor and policy.enforce.rank <= before.enforce.rank:
        return
    for warning in _existing(policy.enforce, review.name, cache.list(PODS, review.name)):
        review.call.warn(warning)


def _existing(level: Level, namespace: str, pods: Sequence[Object]) -> Iterator[str]:
    ordered = _first_of_each(pods)
    if len(ordered) > _MOST_PODS:
        start = "new PodSecurity enforce level only checked against the first"
        yield f"{start} {_MOST_PODS} of {len(ordered)} existing pods"
    bad: dict[str, list[str]] = {}
    for pod in ordered[:_MOST_PODS]:
        if found := findings(level, pod["metadata"], pod["spec"]):
            bad.setdefault(", ".join(each.reason for each in found), []).append(pod["metadata"]["name"])
    if bad:
        yield f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{level}"'
    yield from sorted(f"{min(names)}{_others(len(names) - 1)}: {reasons}" for reasons, names in bad.items())


def _others(count: int) -> str:
    return f" (and {count} other pod{'s' if count > 1 else ''})" if count else ""


def _first_of_each(pods: Sequence[Object]) -> list[Object]:
    """Pods of one controller are mostly alike, so the first of each come first."""
    first: list[Object] = []
    further: list[Object] = []
    seen: set[str] = set()
    for pod in pods:
        owner = (Pod(pod).controller or {}).get("uid", "")
        (further if owner in seen else first).append(pod)
        seen |= {owner} if owner else set()
    return [*first, *further]

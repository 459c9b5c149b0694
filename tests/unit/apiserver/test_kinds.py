"""Defaults and refusals of kinds: the recorded messages of a v1.36.2 server are the oracle for the rules."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from apiserver.kinds.rules import rules_for
from apiserver.registry.strategy import fill_new, prepare_status_update
from machinery.api.errors import Cause, invalid
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    BY_PATH,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    JOBS,
    LIMIT_RANGES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    RESOURCES,
    SECRETS,
    SERVICES,
)

EXCHANGES = Path(__file__).parents[2] / "exchanges"
NOT_RULES = {"invalid/pod-bad-name", "invalid/pod-bad-label", "invalid/no-name", "invalid/no-kind"}  # the registry's
LATER = {"invalid/svc-dup-port"}


def refused() -> list[tuple[str, str, Object, str]]:
    found = []
    for row in json.loads((EXCHANGES / "invalid.json").read_text()):
        (step, answer) = row["steps"][-1], row["answers"][-1]
        if answer and answer["code"] == 422 and row["name"] not in NOT_RULES | LATER:
            found.append((row["name"], step[1], step[2], answer["body"]["message"]))
    return found


def resource_of(path: str) -> Resource:
    parts = path.strip("/").split("/")
    plural = parts[-1]
    return BY_PATH[("", parts[1], plural) if parts[0] == "api" else (parts[1], parts[2], plural)]


@pytest.mark.parametrize(("name", "path", "obj", "message"), refused(), ids=lambda v: v if isinstance(v, str) else "")
def test_the_rules_refuse_in_the_words_of_upstream(name: str, path: str, obj: Object, message: str) -> None:
    resource = resource_of(path)
    rules = rules_for(resource)
    rules.default(obj)
    obj["metadata"]["uid"] = "u"
    rules.prepare_create(obj)
    causes: list[Cause] = rules.validate(obj)
    assert causes, "nothing was refused"
    assert invalid(resource.kind, obj["metadata"]["name"], causes, resource.group).message == message


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: f"{r.group}/{r.version}/{r.plural}")
def test_an_empty_object_of_any_kind_breaks_no_rule_function(resource: Resource) -> None:
    rules, obj = rules_for(resource), {"metadata": {"name": "x"}, "spec": {}}
    rules.default(obj)
    rules.prepare_create(obj)
    rules.validate(obj)
    rules.validate_update(obj, obj)


def test_a_pods_defaults_are_complete() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    rules_for(PODS).default(pod)
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert pod["spec"]["enableServiceLinks"] is True


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    pod = {"metadata": {}, "spec": {"containers": [{"name": "c", "image": image}]}}
    rules_for(PODS).default(pod)
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_deployments_selector_must_match_its_template() -> None:
    template = {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    deployment = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    rules = rules_for(DEPLOYMENTS)
    rules.default(deployment)
    (cause,) = rules.validate(deployment)
    assert cause.field == "spec.template.metadata.labels"


def test_string_data_is_folded_into_data() -> None:
    secret = {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
    rules_for(SECRETS).default(secret)
    assert secret["data"] == {"a": "Yg=="}
    assert secret["type"] == "Opaque"


def test_an_immutable_config_map_stays() -> None:
    old = {"metadata": {"name": "c"}, "immutable": True, "data": {"a": "b"}}
    causes = rules_for(CONFIG_MAPS).validate_update({"metadata": {"name": "c"}, "data": {"a": "c"}}, old)
    assert [cause.field for cause in causes] == ["immutable", "data"]


def test_a_services_ports_are_defaulted() -> None:
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    rules_for(SERVICES).default(service)
    assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


def job(**spec: object) -> Object:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made: Object = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": template, **spec}}
    rules_for(JOBS).default(made)
    return made


def test_labels_that_a_job_takes_from_its_template_show_what_is_generated() -> None:
    made = job()
    rules_for(JOBS).prepare_create(made)
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"]
    assert made["metadata"]["labels"]["job-name"] == "j"
    assert made["spec"]["manualSelector"] is False


def test_a_job_whose_template_has_no_labels_shows_those_that_are_generated() -> None:
    made: Object = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": {}}}}
    rules_for(JOBS).default(made)
    rules_for(JOBS).prepare_create(made)
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"]
    assert made["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"


def test_a_jobs_own_labels_stay_its_own() -> None:
    made = job()
    made["metadata"]["labels"] = {"a": "b"}
    rules_for(JOBS).prepare_create(made)
    assert made["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        ({"completions": 3}, "field is immutable"),
        ({"completions": 3, "completionMode": "Indexed"}, "can only be modified in tandem with spec.parallelism"),
        ({"completions": 3, "parallelism": 3, "completionMode": "Indexed"}, ""),
    ],
)
def test_completions_move_with_an_indexed_jobs_parallelism_alone(new: Object, complaint: str) -> None:
    old = job(completions=2, parallelism=2, completionMode=new.get("completionMode", "NonIndexed"))
    causes = rules_for(JOBS).validate_update(job(**{"parallelism": 2, **new}), old)
    assert [cause.message.rpartition(": ")[2] for cause in causes] == ([complaint] if complaint else [])


def test_a_suspended_jobs_pods_may_be_placed_anew() -> None:
    old, new = job(suspend=True), job(suspend=True)
    new["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "a"}
    assert not rules_for(JOBS).validate_update(new, old)
    old["spec"]["suspend"] = False
    assert [cause.field for cause in rules_for(JOBS).validate_update(new, old)] == ["spec.template"]


def test_a_limit_ranges_defaults_follow_from_its_limits() -> None:
    item = {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Mi"}}
    limit_range = {"metadata": {"name": "l"}, "spec": {"limits": [item]}}
    rules_for(LIMIT_RANGES).default(limit_range)
    assert item["default"] == {"cpu": "2"}
    assert item["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}
    assert not rules_for(LIMIT_RANGES).validate(limit_range)


@pytest.mark.parametrize(
    ("kind", "address", "fields"),
    [
        ("IPv4", "10.0.0.1", []),
        ("IPv6", "fd00::1", []),
        ("IPv4", "0.0.0.0", ["endpoints[0].addresses[0]"]),
        ("IPv4", "169.254.1.1", ["endpoints[0].addresses[0]"]),
        ("IPv4", "224.0.0.5", ["endpoints[0].addresses[0]"]),
        ("IPv6", "10.0.0.1", ["endpoints[0].addresses"]),
        ("FQDN", "a.example", []),
        ("FQDN", "alone", ["endpoints[0].addresses[0]"]),
        ("Other", "x", ["addressType"]),
    ],
)
def test_an_endpoint_slices_addresses_are_of_its_type(kind: str, address: str, fields: list[str]) -> None:
    causes = rules_for(ENDPOINT_SLICES).validate({"addressType": kind, "endpoints": [{"addresses": [address]}]})
    assert [cause.field for cause in causes] == fields


def claim(size: str, phase: str = "Pending", **spec: object) -> Object:
    resources = {"requests": {"storage": size}}
    made: Object = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources}}
    made["spec"] |= spec
    rules_for(PERSISTENT_VOLUME_CLAIMS).default(made)
    return {**made, "status": {"phase": phase, "capacity": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        (claim("1Gi"), claim("2Gi"), ["spec"]),
        (claim("1Gi"), claim("1Gi", storageClassName="fast"), []),
        (claim("1Gi", storageClassName="slow"), claim("1Gi", storageClassName="fast"), ["spec"]),
        (claim("1Gi"), claim("1Gi", volumeName="v"), []),
        (claim("1Gi", "Bound"), claim("2Gi", "Bound"), []),
        (claim("2Gi", "Bound"), claim("1Gi", "Bound"), ["spec.resources.requests.storage"]),
        (claim("1Gi"), claim("1Gi", volumeMode="Block"), ["spec", "volumeMode"]),
    ],
)
def test_of_a_claim_little_may_change(old: Object, new: Object, fields: list[str]) -> None:
    causes = rules_for(PERSISTENT_VOLUME_CLAIMS).validate_update(new, old)
    assert [cause.field for cause in causes] == fields


def test_a_claim_must_ask_for_storage_and_a_way_to_use_it() -> None:
    causes = rules_for(PERSISTENT_VOLUME_CLAIMS).validate({"metadata": {"name": "c"}, "spec": {}})
    assert [cause.field for cause in causes] == ["spec.accessModes", "spec.resources[storage]"]


def definition(schema: Object) -> Object:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "a.example", "scope": "Namespaced", "names": {"plural": "xs", "kind": "X"}, "versions": [version]}
    made: Object = {"metadata": {"name": "xs.a.example"}, "spec": spec}
    rules_for(CUSTOM_RESOURCE_DEFINITIONS).default(made)
    return made


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"a": {"type": "string"}}, ""),
        ({"a": {"x-kubernetes-int-or-string": True}}, ""),
        ({"a": {}}, "properties[a].type"),
        ({"a": {"type": "array"}}, "properties[a].items"),
        ({"a": {"type": "text"}}, "properties[a].type"),
        ({"a": {"type": "array", "items": {}}}, "properties[a].items.type"),
    ],
)
def test_a_definitions_schema_is_structural(properties: Object, field: str) -> None:
    made = definition({"type": "object", "properties": properties})
    causes = rules_for(CUSTOM_RESOURCE_DEFINITIONS).validate(made)
    assert [cause.field for cause in causes] == ([f"spec.validation.openAPIV3Schema.{field}"] if field else [])


def test_a_definitions_identity_stays_once_its_names_are_accepted() -> None:
    old, update = definition({"type": "object"}), rules_for(CUSTOM_RESOURCE_DEFINITIONS).validate_update
    spec = {**old["spec"], "group": "b.example", "scope": "Cluster", "names": {"plural": "ys", "kind": "Y"}}
    assert update({**old, "spec": spec}, old) == []
    old["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
    causes = update({**old, "spec": spec}, old)
    assert [f"{cause.field}: {cause.message}" for cause in causes] == [
        'spec.group: Invalid value: "b.example": field is immutable',
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.plural: Invalid value: "ys": field is immutable',
        'spec.names.kind: Invalid value: "Y": field is immutable',
    ]


def test_a_controllers_selector_must_match_its_template() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    rules = rules_for(BY_PATH[("", "v1", "replicationcontrollers")])
    made = {"metadata": {"name": "r"}, "spec": {"selector": {"a": "c"}, "template": template}}
    rules.default(made)
    assert [cause.field for cause in rules.validate(made)] == ["spec.template.metadata.labels"]


def test_a_lease_lasts() -> None:
    rules = rules_for(BY_PATH[("coordination.k8s.io", "v1", "leases")])
    assert [cause.field for cause in rules.validate({"spec": {"leaseDurationSeconds": 0}})] == [
        "spec.leaseDurationSeconds"
    ]


@pytest.mark.parametrize(
    ("namespace", "about", "is_sound"),
    [("a", "a", True), ("default", "", True), ("a", "", False), ("a", "b", False)],
)
def test_an_event_stands_beside_what_it_is_about(namespace: str, about: str, *, is_sound: bool) -> None:
    event = {"metadata": {"name": "e", "namespace": namespace}, "involvedObject": {"namespace": about}}
    assert bool(rules_for(BY_PATH[("", "v1", "events")]).validate(event)) is not is_sound


def test_a_webhook_says_whom_it_asks_and_how() -> None:
    rules = rules_for(BY_PATH[("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")])
    made = {"metadata": {"name": "w"}, "webhooks": [{"name": "a.b", "clientConfig": {"url": "http://x.example"}}]}
    rules.default(made)
    assert [cause.field for cause in rules.validate(made)] == [
        "webhooks[0].name",
        "webhooks[0].sideEffects",
        "webhooks[0].clientConfig.url",
        "webhooks[0].admissionReviewVersions",
    ]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"securityContext": {"runAsUser": -1}}, "spec.securityContext.runAsUser"),
        ({"hostAliases": [{"ip": "x"}]}, "spec.hostAliases[0].ip"),
        ({"readinessGates": [{"conditionType": "a b"}]}, "spec.readinessGates[0].conditionType"),
    ],
)
def test_a_pods_wrong_value_is_refused_where_it_stands(spec: Object, field: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    rules_for(PODS).default(pod)
    assert [cause.field for cause in rules_for(PODS).validate(pod)] == [field]


def test_a_deployment_without_selector_selects_not_even_its_template() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = {"metadata": {"name": "d"}, "spec": {"template": template}}
    rules_for(DEPLOYMENTS).default(made)
    fields = [cause.field for cause in rules_for(DEPLOYMENTS).validate(made)]
    assert fields == ["spec.selector", "spec.template.metadata.labels"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("metadata.name", ""),
        ("metadata.labels['a']", ""),
        ("status.phase", "FieldValueNotSupported"),
        ("spec.x", "FieldValueInvalid"),
    ],
)
def test_an_environment_tells_what_it_can_of_its_pod(path: str, reason: str) -> None:
    entry = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "env": [entry]}]}}
    rules_for(PODS).default(pod)
    assert [cause.reason for cause in rules_for(PODS).validate(pod)] == ([reason] if reason else [])


def test_a_volume_begins_pending_since_now() -> None:
    spec = {"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    made: Object = {"metadata": {"name": "v"}, "spec": spec, "status": {"phase": "Bound"}}
    fill_new(made, PERSISTENT_VOLUMES, datetime(2026, 1, 2, tzinfo=UTC))
    assert made["status"] == {"phase": "Pending", "lastPhaseTransitionTime": "2026-01-02T00:00:00Z"}


EARLIER, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("written", "since"),
    [
        ({"phase": "Pending"}, EARLIER),
        ({"phase": "Pending", "lastPhaseTransitionTime": LATER}, LATER),
        ({"phase": "Bound"}, LATER),
        ({"phase": "Bound", "lastPhaseTransitionTime": EARLIER}, LATER),
        ({"phase": "Bound", "lastPhaseTransitionTime": "2025-01-01T00:00:00Z"}, "2025-01-01T00:00:00Z"),
    ],
)
def test_a_volume_s_phase_has_its_time(written: Object, since: str) -> None:
    old = {"metadata": {"name": "v"}, "status": {"phase": "Pending", "lastPhaseTransitionTime": EARLIER}}
    new = {"metadata": {"name": "v"}, "status": written}
    found = prepare_status_update(new, old, PERSISTENT_VOLUMES, datetime(2026, 1, 2, tzinfo=UTC))
    assert found["status"] == {"phase": written["phase"], "lastPhaseTransitionTime": since}

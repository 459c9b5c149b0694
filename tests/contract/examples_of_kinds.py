"""A small valid object of every stored kind, for tests that walk through all rows."""

from __future__ import annotations

import copy
from typing import Any

from machinery.api.resource import Object, Resource

_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
_WORKLOAD: Object = {"selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE}
_JOB: Object = {"template": {"spec": {**_TEMPLATE["spec"], "restartPolicy": "Never"}}}  # type: ignore[dict-item]
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_CSR = (
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISE1IQUNBUUF3RGpFTU1Bb0dBMVVFQXd3RFlXNXVNRmt3RXdZ"
    "SEtvWkl6ajBDQVFZSUtvWkl6ajBEQVFjRApRZ0FFaXU0OUZHVG9ZTkZmYWFmcHliVjVnVVZYR0luWDJSVmoyS2h4czU4NjNIeDlK"
    "ZTJnbUdHKzZWUnVMSWYrCll1UWNkYnI1cFZnUTdOWEFxVjhsSlJuTjlxQUFNQW9HQ0NxR1NNNDlCQU1DQTBjQU1FUUNJRW1UL1dj"
    "WHJqTVIKVjl2bTdEbWtzNTN2dTllVFZHMzhlMmJ4eUZTZ2hyUWxBaUIvRlZTUWxEblYyUngzeTRMSGdUaGJCaktKRXdubQpTZzNC"
    "S0pjTlVJS3kxZz09Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo="
)
"""PEM in base64, asked for by the common name ann."""
_ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
_SCALED = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 3}
_WEBHOOK = {
    "name": "hook.example.com",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://127.0.0.1:1/hook"},
    "failurePolicy": "Ignore",
    "namespaceSelector": {"matchLabels": {"nobody": "has"}},
}
_DEVICES: Object = {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "gpu.example.com"}}]}}
_POLICY = {
    "failurePolicy": "Ignore",
    "matchConstraints": {"resourceRules": [
        {"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["none"]}
    ]},
}  # fmt: skip
_MUTATION = {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}

_PARTS: dict[str, Object] = {
    "apiservices": {"metadata": {"name": "v1.example.com"}, "spec": {
        "group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
        "service": {"name": "s", "namespace": "default"}, "insecureSkipTLSVerify": True}},
    "certificatesigningrequests": {
        "spec": {"signerName": "example.com/any", "usages": ["client auth"], "request": _CSR}},
    "clusterrolebindings": {"roleRef": _ROLE_REF, "subjects": []},
    "controllerrevisions": {"revision": 1, "data": {"any": "thing"}},
    "cronjobs": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": _JOB}}},
    "csidrivers": {"metadata": {"name": "example.csi.test"}, "spec": {}},
    "csinodes": {"spec": {"drivers": []}},
    "csistoragecapacities": {"storageClassName": "any"},
    "customresourcedefinitions": {"metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
        "versions": [{"name": "v1", "served": True, "storage": True,
                      "schema": {"openAPIV3Schema": {"type": "object"}}}]}},
    "daemonsets": {"spec": _WORKLOAD},
    "deployments": {"spec": _WORKLOAD},
    "deviceclasses": {"spec": {}},
    "endpointslices": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}], "ports": []},
    "flowschemas": {"spec": {"priorityLevelConfiguration": {"name": "catch-all"}, "matchingPrecedence": 900}},
    "horizontalpodautoscalers": {"spec": _SCALED},
    "ingressclasses": {"spec": {"controller": "example.com/ingress"}},
    "ingresses": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "ipaddresses": {"metadata": {"name": "10.96.200.200"}, "spec": {
        "parentRef": {"group": "", "resource": "services", "namespace": "default", "name": "s"}}},
    "jobs": {"spec": _JOB},
    "leases": {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 40}},
    "limitranges": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}},
    "mutatingadmissionpolicies": {"spec": {**_POLICY, "reinvocationPolicy": "Never", "mutations": [_MUTATION]}},
    "mutatingadmissionpolicybindings": {"spec": {"policyName": "any"}},
    "mutatingwebhookconfigurations": {"webhooks": [_WEBHOOK]},
    "networkpolicies": {"spec": {"podSelector": {}}},
    "nodes": {"spec": {}},
    "persistentvolumeclaims": {"spec": _CLAIM},
    "persistentvolumes": {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
                                   "storageClassName": "of-nobody", "hostPath": {"path": "/tmp/any"}}},
    "poddisruptionbudgets": {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}},
    "pods": {"spec": _TEMPLATE["spec"]},
    "podtemplates": {"template": _TEMPLATE},
    "priorityclasses": {"value": 7},
    "prioritylevelconfigurations": {"spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}}},
    "replicasets": {"spec": _WORKLOAD},
    "replicationcontrollers": {"spec": {"selector": {"a": "b"}, "template": _TEMPLATE}},
    "resourceclaims": {"spec": _DEVICES},
    "resourceclaimtemplates": {"spec": {"spec": _DEVICES}},
    "resourcequotas": {"spec": {"hard": {"pods": "1k"}}},
    "resourceslices": {"spec": {"driver": "gpu.example.com", "nodeName": "n", "pool": {
        "name": "p", "generation": 1, "resourceSliceCount": 1}}},
    "rolebindings": {"roleRef": _ROLE_REF, "subjects": []},
    "runtimeclasses": {"handler": "runc"},
    "secrets": {"data": {"k": "dg=="}},
    "servicecidrs": {"spec": {"cidrs": ["10.97.0.0/16"]}},
    "services": {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
    "statefulsets": {"spec": {**_WORKLOAD, "serviceName": "s"}},
    "storageclasses": {"provisioner": "example.com/any"},
    "validatingadmissionpolicies": {"spec": {**_POLICY, "validations": [{"expression": "true"}]}},
    "validatingadmissionpolicybindings": {"spec": {"policyName": "any", "validationActions": ["Deny"]}},
    "validatingwebhookconfigurations": {"webhooks": [_WEBHOOK]},
    "volumeattachments": {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}},
    "volumeattributesclasses": {"driverName": "example.csi.test", "parameters": {"a": "b"}},
}  # fmt: skip


def example(row: Resource) -> Object:
    """A new object, named after its kind where the kind does not say how it must be named."""
    part: dict[str, Any] = copy.deepcopy(_EVENTS.get((row.group, row.plural)) or _PARTS.get(row.plural, {}))
    part.setdefault("metadata", {"name": f"a-{row.singular}"})
    return {"apiVersion": row.api_version, "kind": row.kind, **part}


_EVENTS: dict[tuple[str, str], Object] = {
    ("", "events"): {
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "Tested", "type": "Normal",
        "source": {"component": "test"}, "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z"},
    ("events.k8s.io", "events"): {
        "metadata": {"name": "a-new-event"}, "regarding": {"kind": "Pod", "namespace": "default", "name": "p"},
        "reason": "Tested", "type": "Normal", "action": "Testing", "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/test", "reportingInstance": "test-1"},
}  # fmt: skip

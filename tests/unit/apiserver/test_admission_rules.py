"""Rules of webhooks, of policies of admission and of APIServices: what each wrong value is refused with."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.kind_rules import lines, on_create, on_update, rules_of

GROUP = "admissionregistration.k8s.io"
WEBHOOKS = rules_of(GROUP, "v1", "mutatingwebhookconfigurations")
VALIDATING = rules_of(GROUP, "v1", "validatingadmissionpolicies")
MUTATING = rules_of(GROUP, "v1", "mutatingadmissionpolicies")
VALIDATING_BINDINGS = rules_of(GROUP, "v1", "validatingadmissionpolicybindings")
MUTATING_BINDINGS = rules_of(GROUP, "v1", "mutatingadmissionpolicybindings")
SERVICES = rules_of("apiregistration.k8s.io", "v1", "apiservices")
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
FORM = "desired format: https://host[/path]"
LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def hook(**fields: object) -> Object:
    return {
        "name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://h/p"}, **fields,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({}, []),
        ({"name": ""}, ["name: Required value"]),
        ({"name": "a.b"},
         ['name: Invalid value: "a.b": should be a domain with at least three segments separated by dots']),
        ({"failurePolicy": "Odd", "matchPolicy": "Odd", "reinvocationPolicy": "Odd"},
         ['failurePolicy: Unsupported value: "Odd": supported values: "Fail", "Ignore"',
          'matchPolicy: Unsupported value: "Odd": supported values: "Equivalent", "Exact"',
          'reinvocationPolicy: Unsupported value: "Odd": supported values: "IfNeeded", "Never"']),
        ({"sideEffects": None}, ["sideEffects: Required value: must specify one of None, NoneOnDryRun"]),
        ({"sideEffects": "Some"},
         ['sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"']),
        ({"timeoutSeconds": 31},
         ["timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"]),
        ({"admissionReviewVersions": []}, ["admissionReviewVersions: Required value: must specify one of v1, v1beta1"]),
        ({"admissionReviewVersions": ["v2", "v2", "V"]},
         ['admissionReviewVersions[1]: Invalid value: "v2": duplicate version',
          f'admissionReviewVersions[2]: Invalid value: "V": {LABEL_1035}',
          'admissionReviewVersions: Invalid value: ["v2","v2","V"]: must include at least one of v1, v1beta1']),
        ({"clientConfig": {}}, ["clientConfig: Required value: exactly one of url or service is required"]),
        ({"clientConfig": {"url": "http://u:p@h/?q#f"}},
         [f"clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; {FORM}",
          'clientConfig.url: Invalid value: "u:p": user information is not permitted in the URL',
          'clientConfig.url: Invalid value: "f": fragments are not permitted in the URL',
          'clientConfig.url: Invalid value: "q": query parameters are not permitted in the URL']),
        ({"clientConfig": {"url": "https:///p"}},
         [f'clientConfig.url: Invalid value: "": host must be provided; {FORM}']),
        ({"clientConfig": {"service": {"port": 70000, "path": "a//"}}},
         ["clientConfig.service.name: Required value: service name is required",
          "clientConfig.service.namespace: Required value: service namespace is required",
          "clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
          "clientConfig.service.path: Invalid value: \"a//\": must start with a '/'",
          'clientConfig.service.path: Invalid value: "a//": segment[0] may not be empty',
          'clientConfig.service.path: Invalid value: "a//": segment[1] may not be empty']),
        ({"matchConditions": [{"name": "a"}, {"expression": "true"}, {"name": "a", "expression": " "}]},
         ["matchConditions[0].expression: Required value", "matchConditions[1].name: Required value",
          "matchConditions[2].expression: Required value", 'matchConditions[2].name: Duplicate value: "a"']),
    ],
)  # fmt: skip
def test_a_webhook(fields: Object, errors: list[str]) -> None:
    assert on_create(WEBHOOKS, {"webhooks": [hook(**fields)]}) == [f"webhooks[0].{error}" for error in errors]


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({}, []),
        ({"operations": [], "apiGroups": [], "apiVersions": [], "resources": []},
         [f"{field}: Required value" for field in ("operations", "apiGroups", "apiVersions", "resources")]),
        ({"operations": ["*", "PATCH"], "apiVersions": ["*", ""], "scope": "Odd"},
         ["operations: Invalid value: [\"*\",\"PATCH\"]: if '*' is present, must not specify other operations",
          'operations[1]: Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
          "apiVersions: Invalid value: [\"*\",\"\"]: if '*' is present, must not specify other API versions",
          "apiVersions[1]: Required value",
          'scope: Unsupported value: "Odd": supported values: "*", "Cluster", "Namespaced"']),
        ({"resources": ["pods/*", "pods/log", "*/log", "nodes/log"]},
         ["resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
          "resources[3]: Invalid value: \"nodes/log\": if '*/log' is present, must not specify nodes/log"]),
        ({"resources": ["*", "pods"]},
         ["resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources without"
          " subresources"]),
    ],
)  # fmt: skip
def test_a_webhooks_rule(fields: Object, errors: list[str]) -> None:
    found = on_create(WEBHOOKS, {"webhooks": [hook(rules=[{**RULE, **fields}])]})
    assert found == [f"webhooks[0].rules[0].{error}" for error in errors]


def test_names_of_webhooks_are_unique() -> None:
    twice = {"webhooks": [hook(), hook()]}
    assert on_create(WEBHOOKS, twice) == ['webhooks[1].name: Duplicate value: "a.b.c"']
    assert on_update(WEBHOOKS, twice, twice) == []


def test_old_webhooks_may_stay_as_they_are() -> None:
    old = {"webhooks": [hook(sideEffects="Some", admissionReviewVersions=["v0"], matchConditions=[{}])]}
    assert on_update(WEBHOOKS, old, old) == []
    other = {"webhooks": [hook(sideEffects="Odd", admissionReviewVersions=["v0"])]}
    known = '"None", "NoneOnDryRun", "Some", "Unknown"'
    assert on_update(WEBHOOKS, other, old) == [
        f'webhooks[0].sideEffects: Unsupported value: "Odd": supported values: {known}'
    ]


def policy(**fields: object) -> Object:
    return {"spec": {"matchConstraints": {"resourceRules": [RULE]}, **fields}}


TRUE = {"expression": "true"}
NEITHER = "Required value: validations or auditAnnotations must contain at least one item"


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"validations": [TRUE]}, []),
        ({}, [f"validations: {NEITHER}", f"auditAnnotations: {NEITHER}"]),
        ({"validations": [TRUE], "failurePolicy": "Odd", "matchConstraints": None},
         ['failurePolicy: Unsupported value: "Odd": supported values: "Fail", "Ignore"',
          "matchConstraints: Required value"]),
        ({"validations": [TRUE], "matchConstraints": {"resourceRules": []}},
         ["matchConstraints.resourceRules: Required value"]),
        ({"validations": [TRUE], "matchConstraints": {"resourceRules": [{**RULE, "resourceNames": ["a", "a", "b/c"]}]}},
         ['matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
          "matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: \"b/c\": may not contain '/'"]),
        ({"validations": [TRUE], "paramKind": {}},
         ["paramKind.apiVersion: Required value", "paramKind.kind: Required value"]),
        ({"validations": [TRUE], "paramKind": {"apiVersion": "a/b/c", "kind": "K!"}},
         ['paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
          f'paramKind.kind: Invalid value: "K!": may have mixed case, but should otherwise match: {LABEL_1035}']),
        ({"validations": [TRUE], "variables": [{}, {"name": "in", "expression": "1"}]},
         ["variables[0].name: Required value: name is not specified",
          "variables[0].expression: Required value: expression is not specified",
          'variables[1].name: Invalid value: "in": must be a valid CEL identifier']),
        ({"validations": [{"message": "a\nb", "reason": "Odd", "messageExpression": " "}]},
         ["validations[0].expression: Required value: expression is not specified",
          'validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
          'validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
          'validations[0].reason: Unsupported value: "Odd": supported values: "Forbidden", "Invalid",'
          ' "RequestEntityTooLarge"']),
        ({"auditAnnotations": [{"key": "a", "valueExpression": "b"}, {"key": "a"}]},
         ["auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
          'auditAnnotations[1].key: Duplicate value: "a"']),
    ],
)  # fmt: skip
def test_a_validating_policy(fields: Object, errors: list[str]) -> None:
    assert on_create(VALIDATING, policy(**fields)) == [f"spec.{error}" for error in errors]


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]}, []),
        ({}, ["mutations: Required value: mutations must contain at least one item"]),
        ({"mutations": [{}, {"patchType": "Odd"}]},
         ["mutations[0].patchType: Required value",
          'mutations[1].patchType: Unsupported value: "Odd": supported values: "ApplyConfiguration", "JSONPatch"']),
        ({"mutations": [{"patchType": "JSONPatch", "applyConfiguration": {}}]},
         ["mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
          'mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when'
          " patchType is JSONPatch"]),
        ({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " "}}]},
         ["mutations[0].applyConfiguration.expression: Required value"]),
    ],
)  # fmt: skip
def test_a_mutating_policy(fields: Object, errors: list[str]) -> None:
    made = policy(reinvocationPolicy="Never", **fields)
    assert on_create(MUTATING, made) == [f"spec.{error}" for error in errors]


def test_a_mutating_policy_is_not_for_what_is_deleted() -> None:
    match = {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}
    mutations = [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]
    supported = 'Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"'
    assert on_create(MUTATING, policy(matchConstraints=match, mutations=mutations)) == [
        f"spec.matchConstraints.resourceRules.operations: {supported}", "spec.reinvocationPolicy: Required value",
    ]  # fmt: skip
    assert on_create(MUTATING_BINDINGS, {"spec": {"policyName": "p", "matchResources": match}}) == [
        f"spec.matchResources.resourceRules.operations: {supported}"
    ]


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"validationActions": ["Deny"]}, []),
        ({"policyName": ""},
         ["policyName: Required value",
          "validationActions: Required value: at least one validation action is required"]),
        ({"validationActions": ["Deny", "Warn", "Odd", "Odd"]},
         ['validationActions[2]: Unsupported value: "Odd": supported values: "Audit", "Deny", "Warn"',
          'validationActions[3]: Unsupported value: "Odd": supported values: "Audit", "Deny", "Warn"',
          'validationActions[3]: Duplicate value: "Odd"',
          'validationActions: Invalid value: ["Deny","Warn","Odd","Odd"]: must not contain both Deny and Warn'
          " (repeating the same validation failure information in the API response and headers serves no purpose)"]),
        ({"validationActions": ["Deny"], "paramRef": {"name": "n", "selector": {}, "parameterNotFoundAction": "Odd"}},
         ["paramRef.name: Forbidden: name and selector are mutually exclusive",
          "paramRef.selector: Forbidden: name and selector are mutually exclusive",
          'paramRef.parameterNotFoundAction: Unsupported value: "Odd": supported values: "Deny", "Allow"']),
        ({"validationActions": ["Deny"], "paramRef": {}},
         ["paramRef: Required value: one of name or selector must be specified",
          "paramRef.parameterNotFoundAction: Required value"]),
    ],
)  # fmt: skip
def test_a_binding(fields: Object, errors: list[str]) -> None:
    binding = {"spec": {"policyName": "p", **fields}}
    assert on_create(VALIDATING_BINDINGS, binding) == [f"spec.{error}" for error in errors]


def test_a_policys_status() -> None:
    status = {"typeChecking": {"expressionWarnings": [{"fieldRef": "spec"}, {"warning": "w"}]}}
    assert lines(VALIDATING.validate_status({"status": status}, {})) == [
        "status.typeChecking.expressionWarnings[0].warning: Required value",
        "status.typeChecking.expressionWarnings[1].fieldRef: Required value",
    ]


PRIORITIES = {"groupPriorityMinimum": 1, "versionPriority": 1}


@pytest.mark.parametrize(
    ("name", "spec", "errors"),
    [
        ("v1.g.io", {"group": "g.io", "version": "v1"}, []),
        ("v1.h", {"group": "g", "version": "v1", "groupPriorityMinimum": 20001, "versionPriority": 0},
         ['metadata.name: Invalid value: "v1.h": must be `spec.version+"."+spec.group`: "v1.g"',
          "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
          "spec.versionPriority: Invalid value: 0: must be positive and less than 1000"]),
        ("v2.", {"version": "v2", "caBundle": "YWI=", "insecureSkipTLSVerify": True},
         ["spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
          'spec.caBundle: Invalid value: "2 bytes": local APIServices may not have a caBundle',
          "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"]),
        ("v1.g", {"group": "g", "version": "v1", "service": {}, "caBundle": "YQ==", "insecureSkipTLSVerify": True},
         ["spec.service.namespace: Required value", "spec.service.name: Required value",
          "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"]),
    ],
)  # fmt: skip
def test_an_api_service(name: str, spec: Object, errors: list[str]) -> None:
    assert on_create(SERVICES, {"metadata": {"name": name}, "spec": {**PRIORITIES, **spec}}) == errors


def test_what_the_server_serves_itself_is_available() -> None:
    made: Object = {"metadata": {"name": "v1.g"}, "spec": {"group": "g", "version": "v1"}}
    SERVICES.prepare_create(made)
    assert made["status"]["conditions"][0]["reason"] == "Local"
    assert lines(SERVICES.validate_status({"status": {"conditions": [{"status": "Odd"}]}}, {})) == [
        'status.conditions[0].status: Unsupported value: "Odd": supported values: "True", "False", "Unknown"'
    ]

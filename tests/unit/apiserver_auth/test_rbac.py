"""What roles and bindings allow, how a denial reads, and that changes count at once."""

from __future__ import annotations

import pytest

from apiserver.authz.escalation import check_escalation
from apiserver.authz.rbac import Rbac, forbidden
from apiserver.authz.rules import Rule, rule, uncovered
from apiserver.request import ANONYMOUS, LOOPBACK, Attributes, Target, User
from machinery.api.errors import Forbidden
from machinery.api.resource import Object
from machinery.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, PODS, ROLE_BINDINGS, ROLES
from tests.watched_store import Stage

BOB = User("bob", ("system:authenticated",))
ACCOUNT = User("system:serviceaccount:default:default", ("system:serviceaccounts", "system:authenticated"))
READER = {"apiGroups": [""], "resources": ["pods", "pods/log"], "resourceNames": ["one"], "verbs": ["get"]}


def role(name: str, *rules: Object, namespace: str = "") -> Object:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"metadata": metadata, "rules": list(rules)}


def binding(name: str, kind: str, role_name: str, *subjects: Object, namespace: str = "") -> Object:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": role_name}, "subjects": list(subjects)}


def ask(user: User, verb: str, resource: str, name: str = "", *, sub: str = "", namespace: str = "ns") -> Attributes:
    return Attributes(user, verb, resource=resource, name=name, subresource=sub, namespace=namespace)


async def test_a_role_binding_reaches_its_namespace_and_names(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    await stage.put(ROLES, role("reader", READER, namespace="ns"))
    await stage.put(ROLE_BINDINGS, binding("rb", "Role", "reader", {"kind": "User", "name": "bob"}, namespace="ns"))
    allowed = rbac.authorize(ask(BOB, "get", "pods", "one"))
    assert allowed.reason == 'RBAC: allowed by RoleBinding "rb/ns" of Role "reader" to User "bob"'
    assert rbac.authorize(ask(BOB, "get", "pods", "one", sub="log")).allowed
    for denied in (
        ask(BOB, "get", "pods", "two"),
        ask(BOB, "list", "pods"),
        ask(BOB, "get", "pods", "one", sub="exec"),
        ask(BOB, "get", "pods", "one", namespace="other"),
        ask(BOB, "get", "pods", "one", namespace=""),
        ask(ANONYMOUS, "get", "pods", "one"),
    ):
        assert (rbac.authorize(denied).allowed, rbac.authorize(denied).reason) == (False, "")


async def test_changes_count_at_once(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    asked = ask(BOB, "list", "secrets", namespace="")
    assert not rbac.authorize(asked).allowed
    await stage.put(CLUSTER_ROLE_BINDINGS, binding("b", "ClusterRole", "r", {"kind": "User", "name": "bob"}))
    assert rbac.authorize(asked).reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "r" not found'
    await stage.put(CLUSTER_ROLES, role("r", {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}))
    assert rbac.authorize(asked).reason == 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "bob"'
    await stage.put(CLUSTER_ROLE_BINDINGS, binding("b", "ClusterRole", "r", {"kind": "Group", "name": "dev"}))
    assert not rbac.authorize(asked).allowed
    await stage.put(CLUSTER_ROLE_BINDINGS, binding("b", "ClusterRole", "r", {"kind": "User", "name": "bob"}))
    await stage.delete(CLUSTER_ROLE_BINDINGS, "", "b")
    assert not rbac.authorize(asked).allowed


async def test_a_service_account_is_named_with_its_namespace(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    await stage.put(CLUSTER_ROLES, role("r", {"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["*"]}))
    await stage.put(CLUSTER_ROLE_BINDINGS, binding("b", "ClusterRole", "r", subject))
    asked = Attributes(ACCOUNT, "update", api_group="apps", resource="deployments", subresource="scale", name="d")
    assert rbac.authorize(asked).reason.endswith('to ServiceAccount "default/default"')
    assert not rbac.authorize(Attributes(ACCOUNT, "update", api_group="apps", resource="deployments")).allowed


async def test_paths_are_allowed_by_prefix(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    urls = {"nonResourceURLs": ["/healthz", "/apis/*"], "verbs": ["get"]}
    await stage.put(CLUSTER_ROLES, role("r", urls))
    group = {"kind": "Group", "name": "system:unauthenticated"}
    await stage.put(CLUSTER_ROLE_BINDINGS, binding("b", "ClusterRole", "r", group))
    allowed = [path for path in ("/healthz", "/apis/apps", "/apis", "/metrics", "/healthz/etcd")
               if rbac.authorize(Attributes(ANONYMOUS, "get", path=path)).allowed]  # fmt: skip
    assert allowed == ["/healthz", "/apis/apps"]


async def test_a_senseless_role_harms_nobody_else(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    subject = {"kind": "User", "name": "bob"}
    await stage.put(CLUSTER_ROLES, {"metadata": {"name": "odd"}, "rules": [7, {"verbs": 3}]})
    await stage.put(CLUSTER_ROLES, role("r", {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}))
    await stage.put(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": "a"}, "subjects": ["x", 1], "roleRef": {}})
    await stage.put(CLUSTER_ROLE_BINDINGS, binding("b", "ClusterRole", "odd", subject))
    await stage.put(CLUSTER_ROLE_BINDINGS, binding("c", "ClusterRole", "r", subject))
    assert rbac.authorize(ask(BOB, "get", "pods")).allowed


async def test_masters_may_everything(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    assert rbac.authorize(ask(LOOPBACK, "delete", "secrets", "x")).allowed
    assert rbac.authorize(Attributes(LOOPBACK, "get", path="/metrics")).allowed


async def test_a_node_reads_the_secrets_of_its_pods_alone(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    node = User("system:node:n1", ("system:nodes", "system:authenticated"))
    get_pods = {"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list"]}
    await stage.put(CLUSTER_ROLES, role("system:node", get_pods))
    mine = {"nodeName": "n1", "containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "mine"}}]}],
            "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "shown"}}]}}]}  # fmt: skip
    await stage.put(PODS, {"metadata": {"namespace": "ns", "name": "p"}, "spec": mine})
    assert rbac.authorize(ask(node, "get", "secrets", "mine")).allowed
    assert rbac.authorize(ask(node, "get", "configmaps", "shown")).allowed
    assert rbac.authorize(ask(node, "list", "pods")).allowed
    assert rbac.authorize(ask(node, "create", "serviceaccounts", "default", sub="token")).allowed
    for denied in (
        ask(node, "get", "secrets", "other"),
        ask(node, "list", "secrets"),
        ask(node, "get", "secrets", "mine", namespace="else"),
        ask(User("system:node:n2", node.groups), "get", "secrets", "mine"),
        ask(node, "create", "serviceaccounts", "builder", sub="token"),
        ask(User("eve", node.groups), "list", "pods"),
    ):
        assert not rbac.authorize(denied).allowed


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            Attributes(ACCOUNT, "list", resource="secrets", namespace="default"),
            'secrets is forbidden: User "system:serviceaccount:default:default" cannot list resource "secrets" '
            'in API group "" in the namespace "default"',
        ),
        (
            Attributes(BOB, "update", api_group="apps", resource="deployments", subresource="scale", name="d"),
            'deployments.apps "d" is forbidden: User "bob" cannot update resource "deployments/scale" '
            'in API group "apps" at the cluster scope',
        ),
        (Attributes(ANONYMOUS, "get", path="/"), 'forbidden: User "system:anonymous" cannot get path "/"'),
    ],
)
def test_denials_read_as_upstreams(asked: Attributes, message: str) -> None:
    assert forbidden(asked).message == message
    assert forbidden(asked, "why").message == f"{message}: why"


def wires(*rules: Object) -> list[Rule]:
    return [rule(each) for each in rules]


@pytest.mark.parametrize(
    ("owned", "asked", "missing"),
    [
        ([READER], [READER], 0),
        ([READER], [{**READER, "resourceNames": []}], 2),
        ([{**READER, "resourceNames": []}], [READER], 0),
        ([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}], [READER], 0),
        ([{"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}], [READER], 1),
        ([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
         [{"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]}], 1),
        ([{"verbs": ["get"], "nonResourceURLs": ["/a*"]}], [{"verbs": ["get"], "nonResourceURLs": ["/a/b", "/b"]}], 1),
    ],
)  # fmt: skip
def test_what_rules_cover(owned: list[Object], asked: list[Object], missing: int) -> None:
    assert len(uncovered(wires(*owned), wires(*asked))) == missing


async def test_nobody_grants_what_they_do_not_hold(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
    await stage.put(ROLES, role("reader", pods, namespace="ns"))
    subject = {"kind": "User", "name": "bob"}
    await stage.put(ROLE_BINDINGS, binding("rb", "Role", "reader", subject, namespace="ns"))
    check_escalation(BOB, Target(ROLES, "ns"), role("mine", pods, namespace="ns"), None, rbac)
    wider = {"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["list", "watch"]}
    with pytest.raises(Forbidden) as denied:
        check_escalation(BOB, Target(ROLES, "ns"), role("mine", wider, namespace="ns"), None, rbac)
    assert denied.value.message == (
        'roles.rbac.authorization.k8s.io "mine" is forbidden: user "bob" (groups=["system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["list" "watch"]}'
    )
    check_escalation(LOOPBACK, Target(ROLES, "ns"), role("mine", wider, namespace="ns"), None, rbac)
    old = role("mine", wider, namespace="ns")
    check_escalation(BOB, Target(ROLES, "ns"), {**old, "metadata": {**old["metadata"], "labels": {}}}, old, rbac)
    await stage.put(CLUSTER_ROLES, role("secrets", wider))
    escalating = binding("x", "ClusterRole", "secrets", subject, namespace="ns")
    with pytest.raises(Forbidden, match="not currently held"):
        check_escalation(BOB, Target(ROLE_BINDINGS, "ns"), escalating, None, rbac)
    bind = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"]}
    await stage.put(ROLES, role("reader", pods, bind, namespace="ns"))
    check_escalation(BOB, Target(ROLE_BINDINGS, "ns"), escalating, None, rbac)
    apply_subjects = {key: value for key, value in escalating.items() if key != "roleRef"}
    await stage.put(ROLES, role("reader", pods, namespace="ns"))
    with pytest.raises(Forbidden, match="not currently held"):
        check_escalation(BOB, Target(ROLE_BINDINGS, "ns"), apply_subjects, {**escalating, "subjects": []}, rbac)

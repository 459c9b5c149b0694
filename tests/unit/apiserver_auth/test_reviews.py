"""The answers of reviews, as upstream's server gave them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from apiserver.authn.authenticator import Authenticator
from apiserver.authz.rbac import Rbac
from apiserver.request import LOOPBACK, User
from apiserver.reviews import Reviews
from machinery.api.errors import BadRequest, Conflict, Invalid, NotFound, StatusError
from machinery.api.resource import Object
from machinery.api.resources import (
    BY_PATH,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    NODES,
    PODS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SERVICE_ACCOUNTS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
)
from machinery.pki import Pki
from tests.watched_store import SetClock, Stage

RECORDED = json.loads((Path(__file__).parents[2] / "exchanges" / "rbac.json").read_text())


@pytest.fixture
async def reviews(pki: Pki, stage: Stage, clock: SetClock) -> Reviews:
    await stage.put(SERVICE_ACCOUNTS, {"metadata": {"namespace": "ns", "name": "sa", "uid": "sa-1"}})
    spec = {"serviceAccountName": "sa", "nodeName": "n1"}
    await stage.put(PODS, {"metadata": {"namespace": "ns", "name": "pod", "uid": "pod-1"}, "spec": spec})
    await stage.put(NODES, {"metadata": {"name": "n1", "uid": "node-1"}})
    authenticator = Authenticator(pki, stage.cache, clock=clock)
    return Reviews(authenticator, Rbac(stage.cache), stage.cache)


@pytest.mark.parametrize("scenario", RECORDED, ids=[each["name"] for each in RECORDED])
async def test_recorded_access_reviews(scenario: dict[str, Any], reviews: Reviews, stage: Stage) -> None:
    for (_, path, body, _options), answer in zip(scenario["steps"], scenario["answers"], strict=True):
        _, _, group, version, *rest = path.split("/")
        resource = BY_PATH[group, version, rest[-1]]
        if resource is not SUBJECT_ACCESS_REVIEWS:
            await stage.put(resource, {**body, "metadata": {**body["metadata"], "namespace": "{ns}"}})
            continue
        answered = await reviews.review(resource, body, LOOPBACK)
        assert answered["status"] == answer["body"]["status"]
        assert answered["spec"] == answer["body"]["spec"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"user": "bob"}, "spec.resourceAttributes: Invalid value: null: exactly one of"),
        ({"resourceAttributes": {}}, 'spec.user: Invalid value: "": at least one of user or group must be specified'),
        (
            {"user": "bob", "resourceAttributes": {}, "nonResourceAttributes": {"path": "/x", "verb": "get"}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: cannot be specified in combination',
        ),
        (
            {"user": "bob", "resourceAttributes": {"labelSelector": {}}},
            "spec.resourceAttributes.labelSelector.requirements: Required value: when"
            " spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required",
        ),
        (
            {"user": "bob", "resourceAttributes": {"fieldSelector": {"requirements": [{"operator": "In"}]}}},
            "[spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must be specified,"
            " spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be specified when"
            " `operator` is 'In' or 'NotIn']",
        ),
    ],
)
async def test_unclear_questions_are_invalid(reviews: Reviews, spec: Object, said: str) -> None:
    with pytest.raises(Invalid) as error:
        await reviews.review(SUBJECT_ACCESS_REVIEWS, {"spec": spec}, LOOPBACK)
    assert said in error.value.message
    assert error.value.message.startswith('.authorization.k8s.io "" is invalid: ')


async def test_a_local_review_stays_in_its_namespace(reviews: Reviews) -> None:
    asked = {"metadata": {"namespace": "ns"}, "spec": {"user": "bob", "resourceAttributes": {"namespace": "else"}}}
    with pytest.raises(Invalid, match="spec.resourceAttributes.namespace: .*: must match metadata.namespace"):
        await reviews.review(LOCAL_SUBJECT_ACCESS_REVIEWS, asked, LOOPBACK)


async def test_self_reviews_are_about_who_asks(reviews: Reviews, clock: SetClock) -> None:
    jane = User("jane", ("dev",), "u-1", {"k": ("v",)})
    who = await reviews.review(SELF_SUBJECT_REVIEWS, {"kind": "SelfSubjectReview"}, jane)
    info = {"username": "jane", "uid": "u-1", "groups": ["dev"], "extra": {"k": ["v"]}}
    assert who["status"] == {"userInfo": info}
    may = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    assert (await reviews.review(SELF_SUBJECT_ACCESS_REVIEWS, may, jane))["status"] == {"allowed": False}
    assert (await reviews.review(SELF_SUBJECT_ACCESS_REVIEWS, may, LOOPBACK))["status"] == {"allowed": True}


async def test_rules_are_listed_as_they_are_written(reviews: Reviews, stage: Stage) -> None:
    rule = {"verbs": ["list", "get"], "apiGroups": [""], "resources": ["pods"]}
    urls = {"verbs": ["get"], "nonResourceURLs": ["/healthz"]}
    reference, user = {"kind": "ClusterRole", "name": "r"}, {"kind": "User", "name": "bob"}
    await stage.put(CLUSTER_ROLES, {"metadata": {"name": "r"}, "rules": [rule, urls]})
    await stage.put(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": "r"}, "roleRef": reference, "subjects": [user]})
    asked = {"spec": {"namespace": "ns"}}
    answered = await reviews.review(SELF_SUBJECT_RULES_REVIEWS, asked, User("bob"))
    assert answered["status"] == {"resourceRules": [rule], "nonResourceRules": [urls], "incomplete": False}
    node = User("system:node:n1", ("system:nodes",))
    assert (await reviews.review(SELF_SUBJECT_RULES_REVIEWS, asked, node))["status"]["incomplete"]
    with pytest.raises(BadRequest, match="no namespace on request"):
        await reviews.review(SELF_SUBJECT_RULES_REVIEWS, {"spec": {}}, User("bob"))


async def test_a_pods_token_names_a_node_that_is_not_known(reviews: Reviews, stage: Stage) -> None:
    spec = {"serviceAccountName": "sa", "nodeName": "unknown"}
    await stage.put(PODS, {"metadata": {"name": "far", "namespace": "ns", "uid": "pod-2"}, "spec": spec})
    asked = {"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "far"}}}
    token = (await reviews.create_token("ns", "sa", asked, LOOPBACK))["status"]["token"]
    status = (await reviews.review(TOKEN_REVIEWS, {"spec": {"token": token}}, LOOPBACK))["status"]
    told = {name.partition("/")[2]: value for name, value in status["user"]["extra"].items()}
    assert told.pop("credential-id")[0].startswith("JTI=")
    assert told == {"pod-name": ["far"], "pod-uid": ["pod-2"], "node-name": ["unknown"]}


async def test_a_requested_token_is_bound_and_reviewed(reviews: Reviews, clock: SetClock) -> None:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "pod", "uid": "pod-1"}
    asked = {"spec": {"audiences": ["vault"], "expirationSeconds": 900, "boundObjectRef": reference}}
    made = await reviews.create_token("ns", "sa", asked, LOOPBACK)
    assert made["spec"]["expirationSeconds"] == 900
    assert made["metadata"]["name"] == "sa"
    token = made["status"]["token"]
    review = {"spec": {"token": token, "audiences": ["vault", "else"]}}
    status = (await reviews.review(TOKEN_REVIEWS, review, LOOPBACK))["status"]
    assert status["authenticated"]
    assert status["audiences"] == ["vault"]
    assert status["user"]["username"] == "system:serviceaccount:ns:sa"
    assert status["user"]["extra"]["authentication.kubernetes.io/node-uid"] == ["node-1"]
    refused = (await reviews.review(TOKEN_REVIEWS, {"spec": {"token": token}}, LOOPBACK))["status"]
    assert refused["user"] == {}
    assert "audiences" in refused["error"]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"expirationSeconds": 599}, Invalid),
        ({"expirationSeconds": 0}, Invalid),
        ({"expirationSeconds": (1 << 32) + 1}, Invalid),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "gone"}}, NotFound),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "pod", "uid": "old"}}, Conflict),
        ({"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}, BadRequest),
    ],
)
async def test_tokens_that_are_not_made(reviews: Reviews, spec: Object, error: type[Exception]) -> None:
    with pytest.raises(error):
        await reviews.create_token("ns", "sa", {"spec": spec}, LOOPBACK)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {"name": "other"},
            'TokenRequest.authentication.k8s.io "sa" is invalid: metadata.name: Invalid value: "other": must',
        ),
        (
            {"namespace": "else"},
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            {"uid": "old"},
            'on TokenRequest.authentication.k8s.io "sa": the UID in the token request (old) does not match',
        ),
    ],
)
async def test_a_request_for_another_account_than_the_paths(reviews: Reviews, metadata: Object, said: str) -> None:
    with pytest.raises(StatusError, match=re.escape(said)):
        await reviews.create_token("ns", "sa", {"metadata": metadata}, LOOPBACK)


async def test_a_token_request_tells_of_its_account(reviews: Reviews) -> None:
    made = await reviews.create_token("ns", "sa", {"metadata": {"labels": {"a": "b"}}}, LOOPBACK)
    assert (made["metadata"]["uid"], made["metadata"]["labels"]) == ("sa-1", {"a": "b"})


async def test_no_token_for_another_accounts_pod_or_for_nobody(reviews: Reviews, stage: Stage) -> None:
    await stage.put(SERVICE_ACCOUNTS, {"metadata": {"namespace": "ns", "name": "other", "uid": "sa-2"}})
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "pod"}
    with pytest.raises(BadRequest, match="different serviceaccount name"):
        await reviews.create_token("ns", "other", {"spec": {"boundObjectRef": reference}}, LOOPBACK)
    with pytest.raises(NotFound, match='serviceaccounts "ghost" not found'):
        await reviews.create_token("ns", "ghost", {}, LOOPBACK)

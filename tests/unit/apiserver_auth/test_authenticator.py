"""Who is who: certificates, tokens and what voids them, nobody, and acting as somebody else."""

from __future__ import annotations

import base64
import ssl
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from apiserver.authn.authenticator import Authenticator
from apiserver.authn.impersonation import impersonated
from apiserver.authn.tokens import ISSUER, Reference
from apiserver.authz.rbac import Rbac
from apiserver.request import ANONYMOUS, LOOPBACK, Attributes, User
from machinery.api.errors import BadRequest, Forbidden, Unauthorized
from machinery.api.resource import Object
from machinery.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, PODS, SECRETS, SERVICE_ACCOUNTS
from machinery.pki import Pki
from machinery.structs import replace
from tests.watched_store import SetClock, Stage


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def authenticator(pki: Pki, stage: Stage, clock: SetClock) -> Authenticator:
    await stage.put(SERVICE_ACCOUNTS, {"metadata": {"namespace": "ns", "name": "sa", "uid": "sa-1"}})
    await stage.put(PODS, {"metadata": {"namespace": "ns", "name": "pod", "uid": "pod-1"}})
    return Authenticator(pki, stage.cache, clock=clock)


async def test_a_client_certificate_names_user_and_groups(authenticator: Authenticator, pki: Pki) -> None:
    certificate, _ = pki.issue_client("jane", ["dev", "ops"])
    user = await authenticator.authenticate({}, der(certificate))
    assert (user.name, user.groups) == ("jane", ("dev", "ops", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


async def test_another_cas_certificate_an_old_one_and_a_servers_are_nobodys(
    authenticator: Authenticator, pki: Pki, clock: SetClock, tmp_path: Path
) -> None:
    foreign, _ = Pki.load_or_create(tmp_path).issue_client("jane", ["system:masters"])
    mine, _ = pki.issue_client("jane")
    assert (await authenticator.authenticate({}, der(mine))).name == "jane"
    for each in (der(foreign), der(pki.server.certificate.read_bytes()), b"no certificate"):
        with pytest.raises(Unauthorized):
            await authenticator.authenticate({}, each)
    clock.time += timedelta(days=400)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate({}, der(mine))


async def test_without_credentials_one_is_anonymous(authenticator: Authenticator) -> None:
    assert await authenticator.authenticate({}, None) == ANONYMOUS
    assert await authenticator.authenticate({"Authorization": "Basic YTpi"}, None) == ANONYMOUS


async def test_a_token_says_what_upstreams_says(authenticator: Authenticator) -> None:
    token = authenticator.issue_token("ns", "sa", "sa-1", bound={"pod": Reference("pod", "pod-1")})
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iss"] == ISSUER
    assert claims["aud"] == [ISSUER]
    assert claims["sub"] == "system:serviceaccount:ns:sa"
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["kubernetes.io"] == {
        "namespace": "ns",
        "serviceaccount": {"name": "sa", "uid": "sa-1"},
        "pod": {"name": "pod", "uid": "pod-1"},
    }
    user = await authenticator.authenticate(bearer(token), None)
    assert user.name == "system:serviceaccount:ns:sa"
    assert user.uid == "sa-1"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("pod",)


async def test_the_key_set_checks_tokens(authenticator: Authenticator) -> None:
    token = authenticator.issue_token("ns", "sa", "sa-1")
    key = jwt.PyJWKSet.from_dict(authenticator.key_set())[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["ES256"], audience=ISSUER)["sub"].endswith(":sa")


async def test_kubelets_tokens_live_a_year(authenticator: Authenticator) -> None:
    token = authenticator.issue_token(
        "ns", "sa", "sa-1", expiration_seconds=3607, bound={"pod": Reference("pod", "pod-1")}
    )
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607


async def test_a_token_ends_with_its_time(authenticator: Authenticator, clock: SetClock) -> None:
    token = authenticator.issue_token("ns", "sa", "sa-1", expiration_seconds=600)
    await authenticator.authenticate(bearer(token), None)
    clock.time += timedelta(seconds=601)
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(bearer(token), None)


async def test_a_token_ends_with_its_pod_and_with_its_account(authenticator: Authenticator, stage: Stage) -> None:
    bound = authenticator.issue_token("ns", "sa", "sa-1", bound={"pod": Reference("pod", "pod-1")})
    free = authenticator.issue_token("ns", "sa", "sa-1")
    await authenticator.authenticate(bearer(bound), None)
    await stage.delete(PODS, "ns", "pod")
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(bearer(bound), None)
    await authenticator.authenticate(bearer(free), None)
    await stage.put(SERVICE_ACCOUNTS, {"metadata": {"namespace": "ns", "name": "sa", "uid": "sa-2"}})
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(bearer(free), None)


async def test_forged_and_foreign_tokens_are_refused(authenticator: Authenticator, pki: Pki) -> None:
    good = authenticator.issue_token("ns", "sa", "sa-1")
    head, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    other_issuer = jwt.encode({**claims, "iss": "https://elsewhere"}, pki.service_account_key, algorithm="ES256")
    other_subject = jwt.encode({**claims, "sub": "system:admin"}, pki.service_account_key, algorithm="ES256")
    unsigned = jwt.encode(claims, "", algorithm="none")
    other_audience = authenticator.issue_token("ns", "sa", "sa-1", audiences=["vault"])
    broken = f"{head}.{body}.{signature[::-1]}"
    for token in (other_issuer, other_subject, unsigned, other_audience, broken, "x", "a.b.c"):
        with pytest.raises(Unauthorized, match="^Unauthorized$"):
            await authenticator.authenticate(bearer(token), None)
    assert authenticator.verify_token(other_audience, ["vault"])[1] == ("vault",)


def listing_pods(user: User) -> Attributes:
    return Attributes(user, "list", "", "v1", "pods", namespace="ns")


async def test_masters_may_act_as_others_and_others_may_not(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    as_account = [("Impersonate-User", "system:serviceaccount:default:default")]
    user = impersonated(as_account, LOOPBACK, rbac, listing_pods)
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
    as_jane = [("Impersonate-User", "jane"), ("Impersonate-Group", "dev"), ("Impersonate-Extra-Acme.com%2fteam", "a")]
    user = impersonated(as_jane, LOOPBACK, rbac, listing_pods)
    assert (user.groups, user.extra) == (("dev", "system:authenticated"), {"acme.com/team": ("a",)})
    as_master = [("Impersonate-User", "jane"), ("Impersonate-Group", "system:masters")]
    assert impersonated(as_master, LOOPBACK, rbac, listing_pods).groups == ("system:masters", "system:authenticated")
    as_node = [("Impersonate-User", "system:node:n1")]
    assert impersonated(as_node, LOOPBACK, rbac, listing_pods).groups == ("system:nodes", "system:authenticated")
    assert impersonated([("Accept", "*/*")], LOOPBACK, rbac, listing_pods) == LOOPBACK
    with pytest.raises(Forbidden) as denied:
        impersonated(as_jane, User("bob"), rbac, listing_pods)
    assert denied.value.message == (
        'pods is forbidden: User "bob" cannot impersonate-on:user-info:list resource "pods" in API group "" '
        'in the namespace "ns"'
    )
    with pytest.raises(BadRequest) as nobody:
        impersonated([("Impersonate-Group", "dev")], LOOPBACK, rbac, listing_pods)
    assert nobody.value.message == (
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"dev"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name"
    )


async def test_who_may_act_as_others_for_some_verbs_does_no_more(stage: Stage) -> None:
    rbac = Rbac(stage.cache)
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["impersonate-on:user-info:list"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["users"], "verbs": ["impersonate:user-info"]},
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "lister"}}
    await stage.put(CLUSTER_ROLES, {**role, "rules": rules})
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "lister"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": "lister", "apiGroup": "rbac.authorization.k8s.io"},
    }
    await stage.put(CLUSTER_ROLE_BINDINGS, binding)
    as_jane = [("Impersonate-User", "jane")]
    assert impersonated(as_jane, User("bob"), rbac, listing_pods).groups == ("system:authenticated",)
    with pytest.raises(Forbidden, match='cannot impersonate-on:user-info:get resource "pods"'):
        impersonated(as_jane, User("bob"), rbac, lambda user: replace(listing_pods(user), verb="get"))
    with pytest.raises(Forbidden, match="impersonating the system:masters group is not allowed"):
        impersonated([*as_jane, ("Impersonate-Group", "system:masters")], User("bob"), rbac, listing_pods)


async def test_a_token_of_a_secret_is_good_while_the_secret_holds_it(
    authenticator: Authenticator, stage: Stage, clock: SetClock
) -> None:
    account = {"metadata": {"namespace": "ns", "name": "sa", "uid": "sa-1"}}
    secret: Object = {"metadata": {"namespace": "ns", "name": "t", "uid": "t-1"}}
    token = authenticator.issue_for_secret(secret, account)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iss"] == "kubernetes/serviceaccount"
    assert claims["kubernetes.io/serviceaccount/secret.name"] == "t"
    with pytest.raises(Unauthorized, match="Token has been invalidated"):
        authenticator.verify_token(token)
    held = {**secret, "data": {"token": base64.b64encode(token.encode()).decode()}}
    await stage.put(SECRETS, held)
    clock.time += timedelta(days=4000)
    user, audiences = authenticator.verify_token(token)
    assert (user.name, user.uid, audiences) == ("system:serviceaccount:ns:sa", "sa-1", (ISSUER,))
    with pytest.raises(Unauthorized):
        authenticator.verify_token(token, ["vault"])
    await stage.put(SECRETS, {**held, "data": {"token": base64.b64encode(b"another").decode()}})
    with pytest.raises(Unauthorized):
        authenticator.verify_token(token)
    await stage.put(SECRETS, held)
    assert authenticator.verify_token(token)[0] == user
    await stage.put(SERVICE_ACCOUNTS, {"metadata": {"namespace": "ns", "name": "sa", "uid": "sa-2"}})
    with pytest.raises(Unauthorized, match="service account sa has been deleted"):
        authenticator.verify_token(token)


async def test_a_token_of_another_issuer_is_nobodys(authenticator: Authenticator, pki: Pki) -> None:
    claims = {"iss": "elsewhere", "sub": "system:serviceaccount:ns:sa"}
    token = jwt.encode(claims, pki.service_account_key, algorithm="ES256")
    with pytest.raises(Unauthorized, match="invalid bearer token"):
        authenticator.verify_token(token)

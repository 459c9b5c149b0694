"""Certificate requests: which are approved by themselves, what is signed and why not, and when they go."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apiserver.authn.certificates import CertificateAuthenticator
from controllers.certificate_rules import CertificateSigningRequest
from controllers.certificates import State, certificate_controllers, clean
from controllers.plan import Action, Delete, Update, UpdateStatus
from machinery.api.resource import Object
from machinery.api.timestamps import rfc3339
from machinery.pki import Authority, Pki
from machinery.signing import signed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT, KUBELET, SERVING = (
    "kubernetes.io/kube-apiserver-client",
    "kubernetes.io/kube-apiserver-client-kubelet",
    "kubernetes.io/kubelet-serving",
)
NODE = "system:node:n"
NODES = "system:nodes"
USED = ("client auth", "digital signature")
SERVED = ("server auth", "digital signature")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory: Path = tmp_path_factory.mktemp("pki")
    return Pki.load_or_create(directory, now=NOW).authority


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(name: str, *groups: str, names: Sequence[x509.GeneralName] = ()) -> str:
    attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*attributes, x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(key(), hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def condition(kind: str, *, ago: timedelta = timedelta()) -> Object:
    return {"type": kind, "status": "True", "lastUpdateTime": rfc3339(NOW - ago)}


def csr(
    request: str,
    signer: str = CLIENT,
    usages: Sequence[str] = USED,
    *conditions: Object,
    username: str = "ann",
    age: timedelta = timedelta(),
    seconds: int | None = None,
    certificate: str = "",
) -> CertificateSigningRequest:
    spec: Object = {"request": request, "signerName": signer, "usages": list(usages), "username": username}
    if seconds:
        spec["expirationSeconds"] = seconds
    status: Object = {"conditions": list(conditions)}
    if certificate:
        status["certificate"] = certificate
    metadata = {"name": "c", "uid": "c", "creationTimestamp": rfc3339(NOW - age)}
    return CertificateSigningRequest({"metadata": metadata, "spec": spec, "status": status})


def approval(found: CertificateSigningRequest, *allowed: str) -> Sequence[Action]:
    approving, _, _ = certificate_controllers(lambda *asked: b"", lambda spec, subresource: subresource in allowed)
    actions: Sequence[Action] = approving.plan(State(found), NOW).actions
    return actions


def test_kubelets_get_their_certificates_by_themselves() -> None:
    for username, allowed, said in (
        (NODE, "selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
        ("bootstrapper", "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
    ):
        (update,) = approval(csr(pem(NODE, NODES), KUBELET, username=username), allowed)
        assert isinstance(update, Update)
        (told,) = update.obj["status"]["conditions"]
        assert (update.subresource, told["type"], told["reason"], told["message"]) == (
            "approval", "Approved", "AutoApproved", said,
        )  # fmt: skip


@pytest.mark.parametrize(
    "found",
    [
        csr(pem("ann")),
        csr(pem(NODE, "other"), KUBELET, username=NODE),
        csr(pem("ann", NODES), KUBELET, username="ann"),
        csr(pem(NODE, NODES), KUBELET, ("client auth",), username=NODE),
        csr(pem(NODE, NODES), SERVING, SERVED, username=NODE),
        csr(pem(NODE, NODES), KUBELET, USED, condition("Denied"), username=NODE),
    ],
)
def test_nobody_else_is_approved(found: CertificateSigningRequest) -> None:
    assert not approval(found, "selfnodeclient", "nodeclient")


def test_no_kubelet_gets_another_s() -> None:
    assert not approval(csr(pem(NODE, NODES), KUBELET, username="system:node:other"), "selfnodeclient")


def signing(found: CertificateSigningRequest, authority: Authority) -> Object:
    _, signer, _ = certificate_controllers(partial(signed, authority), lambda spec, subresource: False)
    actions = signer.plan(State(found), NOW).actions
    if not actions:
        return {}
    (update,) = actions
    assert isinstance(update, UpdateStatus)
    status: Object = update.obj["status"]
    return status


APPROVED = condition("Approved")


def test_what_is_approved_is_signed_and_authenticates(authority: Authority) -> None:
    status = signing(csr(pem("ann", "team"), CLIENT, USED, APPROVED), authority)
    made = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
    user = CertificateAuthenticator(authority.pem).authenticate(made.public_bytes(serialization.Encoding.DER), NOW)
    assert (user.name, user.groups) == ("ann", ("team", "system:authenticated"))
    assert made.public_key() == key().public_key()
    assert made.not_valid_after_utc == NOW + timedelta(days=365)


def test_a_short_life_is_given_and_a_long_one_is_not(authority: Authority) -> None:
    for seconds, expected in ((600, timedelta(seconds=600)), (10**9, timedelta(days=365))):
        status = signing(csr(pem("ann"), CLIENT, USED, APPROVED, seconds=seconds), authority)
        made = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
        assert made.not_valid_after_utc == NOW + expected


def test_a_serving_certificate_keeps_its_names(authority: Authority) -> None:
    names = [x509.DNSName("n"), x509.IPAddress(ip_address("10.0.0.1"))]
    status = signing(csr(pem(NODE, NODES, names=names), SERVING, SERVED, APPROVED), authority)
    made = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
    found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(found) == names
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (csr(pem("ann"), CLIENT, ("server auth",), APPROVED), "invalid usage for client certificate: server auth"),
        (
            csr(pem("ann"), CLIENT, ("digital signature",), APPROVED),
            "missing required usage for client certificate: client auth",
        ),
        (csr(pem("ann"), KUBELET, USED, APPROVED), "subject organization is not system:nodes"),
        (
            csr(pem("ann", NODES), KUBELET, USED, APPROVED),
            "subject common name does not begin with 'system:node:'",
        ),
        (
            csr(pem(NODE, NODES, names=[x509.DNSName("n")]), KUBELET, USED, APPROVED),
            "DNS subjectAltNames are not allowed",
        ),
        (csr(pem(NODE, NODES), SERVING, SERVED, APPROVED), "DNS or IP subjectAltName is required"),
    ],
)
def test_what_a_signer_refuses_has_failed(authority: Authority, found: CertificateSigningRequest, why: str) -> None:
    told = signing(found, authority)["conditions"][-1]
    assert (told["type"], told["status"], told["reason"], told["message"]) == (
        "Failed", "True", "SignerValidationFailure", why,
    )  # fmt: skip


@pytest.mark.parametrize(
    "found",
    [
        csr(pem("ann")),
        csr(pem("ann"), CLIENT, USED, condition("Denied")),
        csr(pem("ann"), CLIENT, USED, APPROVED, condition("Failed")),
        csr(pem("ann"), CLIENT, USED, APPROVED, certificate="there"),
        csr(pem("ann"), "example.com/signer", USED, APPROVED),
    ],
)
def test_what_is_left_alone(authority: Authority, found: CertificateSigningRequest) -> None:
    assert not signing(found, authority)


def test_keys_of_rsa_are_signed_too(authority: Authority) -> None:
    other = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(other, hashes.SHA256())
    made = x509.load_pem_x509_certificate(signed(authority, request, ["client auth", "key encipherment"], NOW))
    assert made.public_key() == other.public_key()
    assert made.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_old_requests_go(authority: Authority) -> None:
    def ended(found: CertificateSigningRequest) -> float | None | str:
        decided = clean(State(found), NOW)
        return "gone" if any(isinstance(each, Delete) for each in decided.actions) else decided.requeue_after

    issued = signing(csr(pem("ann"), CLIENT, USED, APPROVED, seconds=600), authority)["certificate"]
    assert ended(csr(pem("ann"), age=DAY)) == "gone"
    assert ended(csr(pem("ann"), age=HOUR)) == 23 * 3600
    assert ended(csr(pem("ann"), CLIENT, USED, condition("Denied", ago=HOUR))) == "gone"
    assert ended(csr(pem("ann"), CLIENT, USED, condition("Failed", ago=HOUR / 2))) == 1800
    assert ended(csr(pem("ann"), CLIENT, USED, condition("Approved", ago=HOUR))) == 23 * 3600
    assert ended(csr(pem("ann"), CLIENT, USED, condition("Approved", ago=HOUR), certificate=issued)) == "gone"
    assert ended(csr(pem("ann"), CLIENT, USED, APPROVED, certificate=issued)) == 600

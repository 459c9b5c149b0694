"""Certificate requests: what is wrong with one, and what an approval may change."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apiserver.kinds.certificatesigningrequests import prepare_update, validate, validate_update
from apiserver.registry.approval import approved
from apiserver.rules.name_rules import signer_name_errors
from machinery.api.resource import Object

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def csr(*conditions: Object, **spec: Any) -> Object:
    given = {"request": request(), "signerName": "example.com/s", "usages": ["client auth"], **spec}
    return {"metadata": {"name": "c"}, "spec": given, "status": {"conditions": list(conditions)}}


def condition(kind: str, status: str = "True", **more: str) -> Object:
    return {"type": kind, "status": status, **more}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, []),
        ({"request": "bm9uZQ=="}, ["spec.request"]),
        ({"usages": []}, ["spec.usages"]),
        ({"usages": ["client auth", "magic", "client auth"]}, ["spec.usages[1]", "spec.usages[2]"]),
        ({"signerName": "nobody"}, ["spec.signerName"]),
        ({"signerName": "kubernetes.io/legacy-unknown"}, ["spec.signerName"]),
        ({"expirationSeconds": 599}, ["spec.expirationSeconds"]),
    ],
)
def test_what_is_wrong_with_a_request(spec: dict[str, Any], fields: list[str]) -> None:
    assert [cause.field for cause in validate(csr(**spec))] == fields


def test_nobody_both_approves_and_denies_nor_takes_a_verdict_back() -> None:
    both = csr(condition("Approved"), condition("Denied"))
    assert [cause.field for cause in validate(both)] == ["status.conditions[1].type"]
    assert [cause.field for cause in validate(csr(condition("Approved", "False")))] == ["status.conditions[0].status"]
    assert validate_update(csr(), csr(condition("Denied")))
    assert not validate_update(csr(condition("Denied")), csr(condition("Denied")))


def test_an_update_changes_neither_what_is_asked_for_nor_the_verdict() -> None:
    old, new = csr(condition("Denied")), csr(condition("Approved"), usages=["server auth"])
    prepare_update(new, old)
    assert (new["spec"], new["status"]) == (old["spec"], old["status"])


def test_an_approval_is_dated_where_it_is_not() -> None:
    wanted = csr(condition("Approved", lastUpdateTime="2025-01-01T00:00:00Z"))
    (told,) = approved(wanted, NOW)(csr())["status"]["conditions"]
    assert (told["lastUpdateTime"], told["lastTransitionTime"]) == ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
    again = approved(csr(condition("Approved")), NOW.replace(year=2027))(csr(told))["status"]["conditions"]
    assert again[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"


@pytest.mark.parametrize(
    ("name", "errors"),
    [
        ("example.com/s", []),
        ("", ["Required value"]),
        (
            "a",
            ["Invalid value: \"a\": must be a fully qualified domain and path of the form 'example.com/signer-name'"],
        ),
        ("a/b", ['Invalid value: "a": should be a domain with at least two segments separated by dots']),
        ("A.b/c", [f'Invalid value: "A.b": validating label "A": {LABEL}']),
    ],
)
def test_a_signers_name(name: str, errors: list[str]) -> None:
    found = [cause.message for cause in signer_name_errors(name, "spec.signerName")]
    assert len(found) == len(errors)
    assert all(message.startswith(error) for message, error in zip(found, errors, strict=True))

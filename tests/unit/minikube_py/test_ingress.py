"""Whose Ingresses are served here, and which Secrets hold a certificate; what nginx makes of them: tests/contract."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from machinery.pki import Pki
from minikube_py.addons.ingress.certificates import Certificate, certificate
from minikube_py.addons.ingress.classes import CLASS, CONTROLLER, made_class, owned

OURS = {"metadata": {"name": "nginx"}, "spec": {"controller": CONTROLLER}}
OTHER = {"metadata": {"name": "other"}, "spec": {"controller": "example.org/other"}}
TAKEN = {"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}


def default(ingress_class: dict[str, Any]) -> dict[str, Any]:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    return {**ingress_class, "metadata": {**ingress_class["metadata"], "annotations": annotations}}


@pytest.mark.parametrize(
    ("said", "classes", "is_ours"),
    [
        ({"ingressClassName": "nginx"}, [], True),
        ({"ingressClassName": "nginx"}, [OURS], True),
        ({"ingressClassName": "nginx"}, [TAKEN], False),
        ({"ingressClassName": "other"}, [OURS, OTHER], False),
        ({"ingressClassName": "unknown"}, [OURS], False),
        ({}, [], True),
        ({}, [default(OURS)], True),
        ({}, [OURS, default(OTHER)], False),
    ],
)
def test_whose_an_ingress_is(said: dict[str, str], classes: list[Any], *, is_ours: bool) -> None:
    ingress = {"metadata": {"namespace": "d", "name": "i"}, "spec": said}
    assert (owned([ingress], classes) == [ingress]) is is_ours


def test_the_old_annotation_names_the_class_too() -> None:
    named = {"metadata": {"annotations": {"kubernetes.io/ingress.class": "other"}}, "spec": {}}
    assert owned([named], [OURS, OTHER]) == []


def test_the_class_is_the_default_unless_another_is() -> None:
    assert made_class([]) == default({"metadata": {"name": CLASS}, "spec": {"controller": CONTROLLER}})
    assert "annotations" not in made_class([default(OTHER)])["metadata"]


def test_a_secret_is_a_pair_or_what_is_wrong_with_it(tmp_path: Path) -> None:
    pki = Pki.load_or_create(tmp_path)
    pairs = [pki.server_for(host, host, (host,), ()) for host in ("a.org", "b.org")]
    (chain, key), (_, other) = ((Path(each.certificate).read_bytes(), Path(each.key).read_bytes()) for each in pairs)

    def secret(chain: bytes, key: bytes) -> dict[str, Any]:
        encode = base64.b64encode
        return {"data": {"tls.crt": encode(chain).decode(), "tls.key": encode(key).decode()}}

    made = certificate(secret(chain, key))
    assert isinstance(made, Certificate) and chain.strip() in made.pem and key.strip() in made.pem
    assert certificate(secret(chain, other)) == "certificate and key are no pair"
    assert certificate({"data": {"tls.crt": ""}}) == "it has no tls.key"
    assert str(certificate(secret(b"?", key))).startswith("it holds no certificate and key in PEM")
    assert str(certificate({"data": {"tls.crt": "?", "tls.key": "?"}})).startswith("its data is no base64")

"""What each of the cluster's signers signs, and what it refuses in upstream's words. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from machinery.api.resource import Object
from machinery.api.views import View, field
from machinery.signing import alternative_names

API_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
_NODES = ["system:nodes"]


class CertificateSigningRequest(View):
    signer = field("spec.signerName", "")
    usages: field[list[str]] = field("spec.usages", [])
    expiration_seconds: field[int | None] = field("spec.expirationSeconds", None)
    username = field("spec.username", "")
    certificate = field("status.certificate", "")

    @property
    def is_approved(self) -> bool:
        return self.condition("Approved") is not None and not self.is_denied

    @property
    def is_denied(self) -> bool:
        return self.condition("Denied") is not None

    @property
    def has_failed(self) -> bool:
        return self.is_true("Failed")

    def parsed(self) -> x509.CertificateSigningRequest:
        """Raises ValueError where it is none; the API server lets none through that is not."""
        return x509.load_pem_x509_csr(base64.b64decode(self.obj["spec"].get("request") or ""))


def objection(csr: CertificateSigningRequest, request: x509.CertificateSigningRequest) -> str:
    """Why the signer that is asked doesn't sign it; "" where it does."""
    return _RULES[csr.signer](request, csr.usages)


def _api_client(request: x509.CertificateSigningRequest, usages: Sequence[str]) -> str:
    for usage in usages:
        if usage not in ("digital signature", "key encipherment", "client auth"):
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _kubelet_client(request: x509.CertificateSigningRequest, usages: Sequence[str]) -> str:
    names = alternative_names(request)
    if why := _not_a_node(request):
        return why
    for kind, word in ((x509.DNSName, "DNS"), (x509.RFC822Name, "Email"), (x509.IPAddress, "IP"),
                       (x509.UniformResourceIdentifier, "URI")):  # fmt: skip
        if names is not None and names.get_values_for_type(kind):
            return f"{word} subjectAltNames are not allowed"
    return _unless({"client auth", "digital signature"}, usages)


def _kubelet_serving(request: x509.CertificateSigningRequest, usages: Sequence[str]) -> str:
    names = alternative_names(request)
    if why := _not_a_node(request):
        return why
    if names is None or not (names.get_values_for_type(x509.DNSName) or names.get_values_for_type(x509.IPAddress)):
        return "DNS or IP subjectAltName is required"
    for kind, word in ((x509.RFC822Name, "Email"), (x509.UniformResourceIdentifier, "URI")):
        if names.get_values_for_type(kind):
            return f"{word} subjectAltNames are not allowed"
    return _unless({"server auth", "digital signature"}, usages)


def _anything(request: x509.CertificateSigningRequest, usages: Sequence[str]) -> str:
    return ""


_RULES: Mapping[str, Callable[[x509.CertificateSigningRequest, Sequence[str]], str]] = {
    API_CLIENT: _api_client,
    KUBELET_CLIENT: _kubelet_client,
    KUBELET_SERVING: _kubelet_serving,
    LEGACY: _anything,
}
SIGNERS = tuple(_RULES)
"""Those whose requests are signed here; others have signers of their own."""


def _not_a_node(request: x509.CertificateSigningRequest) -> str:
    if subject(request, NameOID.ORGANIZATION_NAME) != _NODES:
        return "subject organization is not system:nodes"
    (name,) = subject(request, NameOID.COMMON_NAME) or [""]
    return "" if name.startswith("system:node:") else "subject common name does not begin with 'system:node:'"


def _unless(wanted: set[str], usages: Sequence[str]) -> str:
    """A key of RSA may encipher others besides."""
    if set(usages) - {"key encipherment"} == wanted:
        return ""
    return f"usages did not match [{' '.join(sorted({*wanted, 'key encipherment'}))}] or [{' '.join(sorted(wanted))}]"


def subject(request: x509.CertificateSigningRequest, attribute: x509.ObjectIdentifier) -> list[str]:
    return [str(each.value) for each in request.subject.get_attributes_for_oid(attribute)]


def with_condition(csr: CertificateSigningRequest, kind: str, reason: str, message: str, now: str) -> Object:
    """The request with one condition more."""
    condition = {
        "type": kind, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now,
    }  # fmt: skip
    status = {**(csr.obj.get("status") or {}), "conditions": [*csr.conditions, condition]}
    return {**csr.obj, "status": status}

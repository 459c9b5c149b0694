"""CertificateSigningRequests: what is asked for never changes; who approves or denies can't do both."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import duplicate, forbidden, invalid_value, not_supported, required
from apiserver.rules.name_rules import signer_name_errors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_SHORTEST = 600
_LEGACY = "kubernetes.io/legacy-unknown"
_USAGES = tuple(sorted((
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
    "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
    "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
    "microsoft sgc", "netscape sgc",
)))  # fmt: skip
_ALWAYS_TRUE = ("Approved", "Denied", "Failed")


def prepare_create(csr: Object) -> None:
    csr["status"] = {}


def prepare_update(new: Object, old: Object) -> None:
    """Spec and status stay: `approval` and `status` have ways of their own."""
    new["spec"] = old["spec"]
    new["status"] = old.get("status") or {}


def validate(csr: Object) -> list[Cause]:
    spec = csr.get("spec") or {}
    usages = spec.get("usages") or []
    errors = list(_request_errors(spec.get("request") or ""))
    if not usages:
        errors.append(required("spec.usages"))
    for at, usage in enumerate(usages):
        if usage not in _USAGES:
            errors.append(not_supported(f"spec.usages[{at}]", usage, _USAGES))
        elif usage in usages[:at]:
            errors.append(duplicate(f"spec.usages[{at}]", usage))
    errors += _signer_errors(spec.get("signerName") or "")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SHORTEST:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid_value("spec.expirationSeconds", seconds, detail))
    return [*errors, *_condition_errors((csr.get("status") or {}).get("conditions") or [])]


def _request_errors(request: str) -> Iterator[Cause]:
    from cryptography import x509

    pem = base64.b64decode(request)
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        yield invalid_value("spec.request", request, "PEM block type must be CERTIFICATE REQUEST")
        return
    try:
        parsed = x509.load_pem_x509_csr(pem)
    except ValueError as error:
        yield invalid_value("spec.request", request, str(error))
        return
    if not parsed.is_signature_valid:
        yield invalid_value("spec.request", request, "x509: signature verification failed")


def _signer_errors(name: str) -> Iterator[Cause]:
    if name == _LEGACY:
        yield invalid_value("spec.signerName", name, "the legacy signerName is not allowed via this API version")
    else:
        yield from signer_name_errors(name, "spec.signerName")


def _condition_errors(conditions: list[Object]) -> Iterator[Cause]:
    types = [condition.get("type") or "" for condition in conditions]
    for at, condition in enumerate(conditions):
        path, kind, status = f"status.conditions[{at}]", types[at], condition.get("status") or ""
        if not kind:
            yield required(f"{path}.type")
        if not status:
            yield required(f"{path}.status")
        elif kind in _ALWAYS_TRUE and status != "True":
            yield not_supported(f"{path}.status", status, ("True",))
        elif status not in ("True", "False", "Unknown"):
            yield not_supported(f"{path}.status", status, ("False", "True", "Unknown"))
        if kind in types[:at]:
            yield duplicate(f"{path}.type", kind)
        if {"Approved", "Denied"} <= set(types[: at + 1]) and kind in ("Approved", "Denied"):
            detail = "Approved and Denied conditions are mutually exclusive"
            yield invalid_value(f"{path}.type", kind, detail)


def validate_update(new: Object, old: Object) -> list[Cause]:
    before, after = _verdicts(old), _verdicts(new)
    return [
        forbidden("status.conditions", f'updates may not {_done(kind, before, after)} a condition of type "{kind}"')
        for kind in ("Approved", "Denied", "Failed")
        if kind in before and after.get(kind) != before[kind]
    ]


def _done(kind: str, before: dict[str, Object], after: dict[str, Object]) -> str:
    return "modify" if kind in after else "remove"


def _verdicts(csr: Object) -> dict[str, Object]:
    conditions = (csr.get("status") or {}).get("conditions") or []
    return {each["type"]: each for each in conditions if each.get("type") in _ALWAYS_TRUE}


RULES = Rules(
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    selectable_fields=("spec.signerName",),
)

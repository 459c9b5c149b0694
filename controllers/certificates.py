"""CertificateSigningRequests: kubelets' own are approved, what is approved is signed, what is old is taken away."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from controllers.certificate_rules import (
    KUBELET_CLIENT,
    SIGNERS,
    CertificateSigningRequest,
    objection,
    subject,
    with_condition,
)
from controllers.plan import Controller, Delete, Key, Plan, Update, UpdateStatus, itself, key_of, with_status
from machinery.api.resource import Object
from machinery.api.resources import CERTIFICATE_SIGNING_REQUESTS
from machinery.api.timestamps import parse_time, rfc3339
from machinery.client.cache import Cache
from machinery.structs import Struct

Sign = Callable[[x509.CertificateSigningRequest, Sequence[str], datetime, timedelta | None], bytes]
"""(request, usages, now, lifetime) -> a certificate in PEM; raises ValueError."""
Allows = Callable[[Object, str], bool]
"""Whether the user that a request's spec names may create `certificatesigningrequests/<sub-resource>`."""
_IDENTITY = "certificate-controller"
_KEPT = timedelta(hours=1)
_WAITED_FOR = timedelta(hours=24)


class State(Struct, frozen=True):
    csr: CertificateSigningRequest


def certificate_controllers(sign: Sign, allows: Allows) -> tuple[Controller, ...]:
    """The three that act on requests."""
    plans = (("approving", _approving(allows)), ("signing", _signing(sign)), ("cleaner", clean))
    return tuple(
        Controller(
            f"certificatesigningrequest-{name}",
            wakes={CERTIFICATE_SIGNING_REQUESTS: itself},
            observe=observe,
            plan=plan,
            identity=_IDENTITY,
        )
        for name, plan in plans
    )


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(CERTIFICATE_SIGNING_REQUESTS, "", key.name)
    return State(CertificateSigningRequest(found)) if found is not None else None


def _approving(allows: Allows) -> Callable[[State, datetime], Plan]:
    """A node may renew its own certificate, and a bootstrapper ask for any node's."""

    def plan(state: State, now: datetime) -> Plan:
        csr = state.csr
        if csr.certificate or csr.is_approved or csr.is_denied or csr.signer != KUBELET_CLIENT:
            return Plan()
        request = csr.parsed()
        if objection(csr, request):
            return Plan()
        for subresource, whose in _asked_of(csr, request):
            if allows(csr.obj["spec"], subresource):
                said = f"Auto approving {whose} after SubjectAccessReview."
                approved = with_condition(csr, "Approved", "AutoApproved", said, rfc3339(now))
                return Plan([Update(CERTIFICATE_SIGNING_REQUESTS, approved, "approval")])
        return Plan()

    return plan


def _asked_of(csr: CertificateSigningRequest, request: x509.CertificateSigningRequest) -> Iterator[tuple[str, str]]:
    if [csr.username] == subject(request, NameOID.COMMON_NAME):
        yield "selfnodeclient", "self kubelet client certificate"
    yield "nodeclient", "kubelet client certificate"


def _signing(sign: Sign) -> Callable[[State, datetime], Plan]:
    def plan(state: State, now: datetime) -> Plan:
        csr = state.csr
        if csr.certificate or not csr.is_approved or csr.has_failed or csr.signer not in SIGNERS:
            return Plan()
        request = csr.parsed()
        why = objection(csr, request)
        if why:
            failed = with_condition(csr, "Failed", "SignerValidationFailure", why, rfc3339(now))
            return Plan([UpdateStatus(CERTIFICATE_SIGNING_REQUESTS, failed)])
        seconds = csr.expiration_seconds
        pem = sign(request, csr.usages, now, None if seconds is None else timedelta(seconds=seconds))
        status = {**(csr.obj.get("status") or {}), "certificate": base64.b64encode(pem).decode()}
        return Plan([UpdateStatus(CERTIFICATE_SIGNING_REQUESTS, with_status(csr.obj, status))])

    return plan


def clean(state: State, now: datetime) -> Plan:
    """An hour for those that got an answer, a day for those that wait; a certificate that has ended goes at once."""
    csr = state.csr
    ends = min(_ends(csr), default=None)
    if ends is None:
        return Plan()
    left = (ends - now).total_seconds()
    if left > 0:
        return Plan(requeue_after=left)
    return Plan([Delete(CERTIFICATE_SIGNING_REQUESTS, key_of(csr.obj), uid=csr.uid)])


def _ends(csr: CertificateSigningRequest) -> Iterator[datetime]:
    """When each reason comes to take it away."""
    for condition in csr.conditions:
        told = condition.get("lastUpdateTime")
        if told and (
            condition["type"] in ("Denied", "Failed") or (condition["type"] == "Approved" and csr.certificate)
        ):
            yield parse_time(told) + _KEPT
        elif told and condition["type"] == "Approved":
            yield parse_time(told) + _WAITED_FOR
    if not csr.conditions:
        yield parse_time(csr.created) + _WAITED_FOR
    if csr.certificate:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(csr.certificate))
        yield certificate.not_valid_after_utc

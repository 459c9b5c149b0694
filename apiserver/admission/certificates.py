"""Certificates: who asks is written down by the server, and approving and signing are rights by the signer's name."""

from __future__ import annotations

import base64

from apiserver.admission.chain import Admit, Review
from apiserver.authz.rbac import Rbac
from apiserver.request import Attributes
from machinery.api.errors import Forbidden, forbidden
from machinery.api.resource import Object
from machinery.api.resources import CERTIFICATE_SIGNING_REQUESTS

_API_CLIENT = "kubernetes.io/kube-apiserver-client"
_MASTERS = "system:masters"
_GROUP = CERTIFICATE_SIGNING_REQUESTS.group


async def certificate_requester(review: Review) -> None:
    csr, user = review.obj, review.call.user
    if review.operation != "CREATE" or review.resource != CERTIFICATE_SIGNING_REQUESTS or csr is None:
        return
    said = {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    kept = {key: value for key, value in (csr.get("spec") or {}).items() if key not in said}
    csr["spec"] = {**kept, **{key: value for key, value in said.items() if value}}


async def certificate_subject(review: Review) -> None:
    """CertificateSubjectRestriction: nobody becomes an administrator by a certificate."""
    csr = review.obj
    if review.operation != "CREATE" or review.resource != CERTIFICATE_SIGNING_REQUESTS or csr is None:
        return
    if (csr.get("spec") or {}).get("signerName") == _API_CLIENT and _MASTERS in _organizations(csr):
        raise _forbidden(review, f"use of {_API_CLIENT} signer with {_MASTERS} group is not allowed")


def _organizations(csr: Object) -> list[str]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        request = x509.load_pem_x509_csr(base64.b64decode(csr["spec"].get("request") or ""))
    except ValueError:
        # The kind's own rules say what is wrong with it.
        return []
    return [str(each.value) for each in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def certificate_rights(rbac: Rbac) -> Admit:
    """CertificateApproval and CertificateSigning: who may write the sub-resources may not yet do so for any signer."""

    async def admit(review: Review) -> None:
        is_update = review.operation == "UPDATE" and review.resource == CERTIFICATE_SIGNING_REQUESTS
        if not is_update or review.old is None or review.obj is None:
            return
        signer = (review.old.get("spec") or {}).get("signerName") or ""
        if review.subresource == "approval":
            _require(rbac, review, "approve", signer)
        elif review.subresource == "status" and _verdict(review.obj) != _verdict(review.old):
            _require(rbac, review, "sign", signer)

    return admit


def _verdict(csr: Object) -> tuple[object, object]:
    status = csr.get("status") or {}
    return status.get("certificate") or None, status.get("conditions") or None


def _require(rbac: Rbac, review: Review, verb: str, signer: str) -> None:
    """A right on `<domain>/*` counts for all signers of the domain."""
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        asked = Attributes(review.call.user, verb, api_group=_GROUP, api_version="*", resource="signers", name=name)
        if rbac.authorize(asked).allowed:
            return
    raise _forbidden(review, f'user not permitted to {verb} requests with signerName "{signer}"')


def _forbidden(review: Review, why: str) -> Forbidden:
    return forbidden(CERTIFICATE_SIGNING_REQUESTS.plural, review.name, why, _GROUP)

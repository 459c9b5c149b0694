"""Who asks for a certificate is written down by the server, whatever the request says of it."""

from __future__ import annotations

from apiserver.admission.chain import Review
from machinery.api.resources import CERTIFICATE_SIGNING_REQUESTS


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

"""The API's errors: every client, in the process or over HTTP, raises these and no others.

The classes differ in class attributes; messages are worded as kubectl's users know them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from machinery.structs import Struct


class Cause(Struct, frozen=True):
    """One entry of `status.details.causes`; `reason` is FieldValueInvalid, FieldValueRequired, …"""

    reason: str
    message: str
    field: str = ""


class StatusError(Exception):
    """A failed request as `meta/v1 Status` tells it."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"
    tells_details: ClassVar[bool] = True
    """Whether upstream's Status has `details` also where there are none."""

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        group: str = "",
        name: str = "",
        uid: str = "",
        causes: tuple[Cause, ...] = (),
        retry_after: int = 0,
        tells_details: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.group = group
        self.name = name
        self.uid = uid
        self.causes = causes
        self.retry_after = retry_after
        self._tells_details = self.tells_details if tells_details is None else tells_details

    @property
    def is_of_a_namespace_that_ends(self) -> bool:
        """Whether the request failed because its namespace is being deleted: no attempt will fare better."""
        return any(cause.reason == "NamespaceTerminating" for cause in self.causes)

    def status(self) -> dict[str, Any]:
        """The `Status` object of the answer's body."""
        details: dict[str, Any] = {}
        for key, value in (("name", self.name), ("group", self.group), ("kind", self.kind), ("uid", self.uid)):
            if value:
                details[key] = value
        if self.causes:
            details["causes"] = [_cause(cause) for cause in self.causes]
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if details or self._tells_details:
            body["details"] = details
        body["code"] = self.code
        return body


def _cause(cause: Cause) -> dict[str, str]:
    wire = {"reason": cause.reason, "message": cause.message}
    return {**wire, "field": cause.field} if cause.field else wire


class BadRequest(StatusError):
    code, reason = 400, "BadRequest"
    tells_details = False


class Unauthorized(StatusError):
    code, reason = 401, "Unauthorized"
    tells_details = False


class Forbidden(StatusError):
    code, reason = 403, "Forbidden"


class NotFound(StatusError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(StatusError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(StatusError):
    code, reason = 406, "NotAcceptable"
    tells_details = False


class AlreadyExists(StatusError):
    code, reason = 409, "AlreadyExists"


class Conflict(StatusError):
    code, reason = 409, "Conflict"


class Gone(StatusError):
    code, reason = 410, "Gone"
    tells_details = False


class Expired(StatusError):
    code, reason = 410, "Expired"
    tells_details = False


class RequestEntityTooLarge(StatusError):
    code, reason = 413, "RequestEntityTooLarge"
    tells_details = False


class UnsupportedMediaType(StatusError):
    code, reason = 415, "UnsupportedMediaType"
    tells_details = False


class Invalid(StatusError):
    code, reason = 422, "Invalid"


class TooManyRequests(StatusError):
    code, reason = 429, "TooManyRequests"


class InternalError(StatusError):
    code, reason = 500, "InternalError"


class StorageReadError(StatusError):
    code, reason = 500, "StorageReadError"


class UnknownError(StatusError):
    """A failure to which upstream gives no reason, and only its text."""

    code, reason = 500, ""
    tells_details = False


class ServiceUnavailable(StatusError):
    code, reason = 503, "ServiceUnavailable"
    tells_details = False


class Timeout(StatusError):
    code, reason = 504, "Timeout"


_CLASSES = (
    BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Gone,
    Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
    StorageReadError, UnknownError, ServiceUnavailable, Timeout,
)  # fmt: skip
_BY_REASON = {(cls.code, cls.reason): cls for cls in _CLASSES}
_BY_CODE = {cls.code: cls for cls in reversed(_CLASSES)}


def from_status(body: dict[str, Any]) -> StatusError:
    """The error that a `Status` body tells; for clients that got it over HTTP."""
    code, details = body.get("code", 500), body.get("details") or {}
    cls = _BY_REASON.get((code, body.get("reason", ""))) or _BY_CODE.get(code, InternalError)
    causes = tuple(
        Cause(cause.get("reason", ""), cause.get("message", ""), cause.get("field", ""))
        for cause in details.get("causes") or ()
    )
    return cls(
        body.get("message", ""),
        kind=details.get("kind", ""),
        group=details.get("group", ""),
        name=details.get("name", ""),
        uid=details.get("uid", ""),
        causes=causes,
        retry_after=details.get("retryAfterSeconds", 0),
    )


def method_not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource")


def not_found(plural: str, name: str, group: str = "") -> NotFound:
    qualified = f"{plural}.{group}" if group else plural
    return NotFound(f'{qualified} "{name}" not found', kind=plural, group=group, name=name)


def already_exists(
    plural: str, name: str, group: str = "", *, is_generated: bool = False, is_ending: bool = False
) -> AlreadyExists:
    """`is_generated`: the server may find another name, if it's asked again; `is_ending`: it will be free soon."""
    qualified = f"{plural}.{group}" if group else plural
    message = f'{"object is being deleted: " if is_ending else ""}{qualified} "{name}" already exists'
    if not is_generated:
        return AlreadyExists(message, kind=plural, group=group, name=name)
    message += ", the server was not able to generate a unique name for the object"
    return AlreadyExists(message, kind=plural, group=group, name=name, retry_after=1)


def conflict(plural: str, name: str, why: str, group: str = "") -> Conflict:
    qualified = f"{plural}.{group}" if group else plural
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return Conflict(message, kind=plural, group=group, name=name)


def forbidden(plural: str, name: str, why: str, group: str = "") -> Forbidden:
    qualified = f"{plural}.{group}" if group else plural
    return Forbidden(f'{qualified} "{name}" is forbidden: {why}', kind=plural, group=group, name=name)


def invalid(kind: str, name: str, causes: list[Cause], group: str = "") -> Invalid:
    """All field errors of one object, as `kubectl` prints them: one inline, several in brackets."""
    qualified = f"{kind}.{group}" if group else kind
    message = f'{qualified} "{name}" is invalid: {told(causes)}'
    return Invalid(message, kind=kind, group=group, name=name, causes=tuple(causes))


def told(causes: list[Cause]) -> str:
    """All field errors in one line."""
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

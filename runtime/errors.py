"""The runtime's errors: each class is one gRPC status, so the CRI server answers by class and maps nothing."""

from __future__ import annotations

from typing import ClassVar


class RuntimeFault(Exception):
    """A failed call of the runtime; `code` is the name of the gRPC status and `message` what the client reads."""

    code: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def within(self, context: str) -> RuntimeFault:
        """The same fault told with what was being done, as Go's `fmt.Errorf("context: %w")`."""
        return type(self)(f"{context}: {self.message}")


class Unknown(RuntimeFault):
    code = "UNKNOWN"


class InvalidArgument(RuntimeFault):
    code = "INVALID_ARGUMENT"


class NotFound(RuntimeFault):
    code = "NOT_FOUND"


class AlreadyExists(RuntimeFault):
    code = "ALREADY_EXISTS"


class PermissionDenied(RuntimeFault):
    code = "PERMISSION_DENIED"


class Unauthenticated(RuntimeFault):
    code = "UNAUTHENTICATED"


class FailedPrecondition(RuntimeFault):
    code = "FAILED_PRECONDITION"


class ResourceExhausted(RuntimeFault):
    code = "RESOURCE_EXHAUSTED"


class OutOfRange(RuntimeFault):
    code = "OUT_OF_RANGE"


class DeadlineExceeded(RuntimeFault):
    code = "DEADLINE_EXCEEDED"


class Unavailable(RuntimeFault):
    code = "UNAVAILABLE"


class Unimplemented(RuntimeFault):
    code = "UNIMPLEMENTED"


class Internal(RuntimeFault):
    code = "INTERNAL"

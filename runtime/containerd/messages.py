"""Messages of containerd's API, made by name."""

from __future__ import annotations

from typing import Any

from machinery.rpc.wire import CONTAINERD


def make(service: str, message: str, /, **values: Any) -> Any:
    """A message of a service, such as `make("images", "Image", name=…)`."""
    return CONTAINERD.message(f"containerd.services.{service}.v1.{message}")(**values)


def empty() -> Any:
    return CONTAINERD.message("google.protobuf.Empty")()


def timestamp(nanoseconds: int) -> dict[str, int]:
    """The value of a Timestamp field."""
    return {"seconds": nanoseconds // 10**9, "nanos": nanoseconds % 10**9}

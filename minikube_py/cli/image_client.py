"""The node's runtime as the `image` commands use it: the CRI for what there is, containerd's API to send and name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from machinery.rpc.wire import CONTAINERD, CRI
from minikube_py.config import Config
from minikube_py.instance import InstanceError
from runtime.containerd.caller import NAMESPACE
from runtime.containerd.messages import make

EXPIRE = "containerd.io/gc.expire"
LONGEST = timedelta(hours=24)


@dataclass(frozen=True)
class NodeImage:
    """An image of the node; `containers` are the ids of those that run from it."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    pinned: bool
    containers: tuple[str, ...]


class RuntimeClient:
    """One channel to the runtime's socket; every call raises InstanceError in the runtime's words."""

    def __init__(self, channel: Any) -> None:
        self._runtime = CRI.stub(channel, "runtime.v1.RuntimeService")
        self._cri_images = CRI.stub(channel, "runtime.v1.ImageService")
        self.content = CONTAINERD.stub(channel, "containerd.services.content.v1.Content")
        self._images = CONTAINERD.stub(channel, "containerd.services.images.v1.Images")
        self._leases = CONTAINERD.stub(channel, "containerd.services.leases.v1.Leases")
        self._lease = ""

    def images(self) -> list[NodeImage]:
        """All images, by name."""
        containers = self._ask(self._runtime.ListContainers, _cri("ListContainersRequest")).containers
        listed = self._ask(self._cri_images.ListImages, _cri("ListImagesRequest")).images
        found = [
            NodeImage(
                image.id,
                tuple(image.repo_tags),
                tuple(image.repo_digests),
                image.size,
                image.pinned,
                tuple(c.id for c in containers if _runs_from(c, image)),
            )
            for image in listed
        ]
        return sorted(found, key=lambda image: (image.tags or ("~",), image.id))

    def image_id(self, name: str) -> str:
        """The id of what `name` means; empty where nothing does."""
        answer = self._ask(self._cri_images.ImageStatus, _cri("ImageStatusRequest", image={"image": name}))
        return str(answer.image.id)

    def remove(self, image_id: str) -> None:
        """The image under all its names."""
        self._ask(self._cri_images.RemoveImage, _cri("RemoveImageRequest", image={"image": image_id}))

    def used_bytes(self) -> int:
        """What images and containers' file systems take."""
        answer = self._ask(self._cri_images.ImageFsInfo, _cri("ImageFsInfoRequest"))
        return sum(usage.used_bytes.value for usage in answer.image_filesystems)

    def untag(self, name: str) -> None:
        self._ask(self._images.Delete, make("images", "DeleteImageRequest", name=name))

    def name(self, name: str, target: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        """`name` means the manifest or index `target` from now on."""
        image = {"name": name, "target": dict(target), "labels": dict(labels)}
        try:
            self._ask(self._images.Create, make("images", "CreateImageRequest", image=image))
        except NameTaken:
            mask = {"paths": ["target", *(f"labels.{key}" for key in labels)]}
            self._ask(self._images.Update, make("images", "UpdateImageRequest", image=image, update_mask=mask))

    @contextmanager
    def lease(self) -> Iterator[None]:
        """What is sent meanwhile stays; what has no name at the end goes."""
        end = (datetime.now(UTC) + LONGEST).strftime("%Y-%m-%dT%H:%M:%SZ")
        name = f"minikube-py-{uuid.uuid4()}"
        self._ask(self._leases.Create, make("leases", "CreateRequest", id=name, labels={EXPIRE: end}))
        self._lease = name
        try:
            yield
        finally:
            self._lease = ""
            self._ask(self._leases.Delete, make("leases", "DeleteRequest", id=name))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call of containerd's API carries."""
        lease = (("containerd-lease", self._lease),) if self._lease else ()
        return (("containerd-namespace", NAMESPACE), *lease)

    def _ask(self, method: Any, request: Any) -> Any:
        import grpc

        try:
            return method(request, metadata=self.metadata)
        except grpc.RpcError as error:
            raise told(error) from error


class NameTaken(InstanceError):
    """The runtime has the thing already."""


def told(error: Any) -> InstanceError:
    """A failed call in one line."""
    code, words = error.code().name, error.details()
    if code == "ALREADY_EXISTS":
        return NameTaken(words)
    if code == "UNIMPLEMENTED":
        return InstanceError("this runtime has no containerd API: load images by its own tools")
    return InstanceError(words or f"the runtime answered {code}")


@contextmanager
def connected(config: Config) -> Iterator[RuntimeClient]:
    """A client of the cluster's runtime; raises InstanceError where it doesn't run."""
    import grpc

    socket = config.runtime_endpoint.removeprefix("unix://")
    if socket.startswith("/") and not Path(socket).exists():
        raise InstanceError(f"the runtime does not run (there is no {socket}): minikube-py start")
    options = [("grpc.max_receive_message_length", 64 << 20)]
    with grpc.insecure_channel(config.runtime_endpoint, options=options) as channel:
        yield RuntimeClient(channel)


def _cri(message: str, **values: Any) -> Any:
    return CRI.message(f"runtime.v1.{message}")(**values)


def _runs_from(container: Any, image: Any) -> bool:
    reference = container.image_id or container.image_ref
    return reference == image.id or reference in image.repo_digests

"""`image load`: sends the images of an archive to the node's runtime, as `ctr images import` does, and pins them."""

from __future__ import annotations

import argparse
import io
import json
import re
import tarfile
import uuid
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

from machinery.rpc.wire import CONTAINERD
from machinery.structs import Struct
from minikube_py.cli.image_client import NameTaken, RuntimeClient, connected, told
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import ConfigError
from minikube_py.instance import InstanceError
from runtime.containerd.messages import make
from runtime.errors import RuntimeFault
from runtime.images.archive import Found, read_archive
from runtime.images.content import Reader
from runtime.images.platform import host_platform
from runtime.images.reference import parse_reference
from runtime.images.service import MANAGED, PINNED

CHUNK = 1 << 20
_ACTION = CONTAINERD.enum("containerd.services.content.v1.WriteAction")
LABELS = {MANAGED: "managed", PINNED: "pinned"}


def run(arguments: argparse.Namespace) -> int:
    output = Output.of(arguments)
    with connected(existing_config(arguments)) as runtime:
        loaded = load(runtime, arguments.file, arguments.name)
    if output.as_json:
        output.say("", images=loaded)
    for image in loaded if not output.as_json else ():
        names = ", ".join(image["names"]) or "an image without a name; --name gives it one"
        output.say(f"loaded {names} ({image['id']})")
    return 0


def load(runtime: RuntimeClient, path: str, name: str | None) -> list[dict[str, Any]]:
    """The images that the archive held, each with its id and names; raises InstanceError, ConfigError."""
    try:
        if path == "-":
            return _load(runtime, open(0, "rb", closefd=False), name)  # noqa: SIM115 - standard input
        with open(path, "rb") as stream:
            return _load(runtime, stream, name)
    except RuntimeFault as error:
        raise InstanceError(f"{path}: {error.message}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error


def _load(runtime: RuntimeClient, stream: io.BufferedReader, name: str | None) -> list[dict[str, Any]]:
    with runtime.lease():
        sink = RemoteContent(runtime)
        images = read_archive(stream, sink, host_platform())
        if name and (len(images) != 1 or images[0].names):
            raise ConfigError("--name is for an archive with one image that has no name")
        own = (str(parse_reference(name)),) if name else ()
        return [_register(runtime, sink, image, image.names or own) for image in images]


def _register(runtime: RuntimeClient, sink: RemoteContent, image: Found, names: tuple[str, ...]) -> dict[str, Any]:
    sink.link(image.target.digest)
    target = {
        "media_type": image.target.media_type,
        "digest": image.target.digest,
        "size": image.target.size,
    }
    for name in names or (image.id,):
        runtime.name(name, target, LABELS)
    return {"id": image.id, "names": list(names), "digest": image.target.digest}


class RemoteContent(Struct, frozen=True):
    """The runtime's content store, as an archive's reader fills it."""

    runtime: RuntimeClient

    def put(self, source: Reader, size: int, expected: str) -> str:
        """Sends the next `size` bytes; raises InstanceError in the runtime's words."""
        import grpc

        broken: list[Exception] = []
        accepted: SimpleQueue[Any] = SimpleQueue()
        requests = _caught(_requests(source, size, expected, accepted), broken)
        try:
            digest = ""
            for answer in self.runtime.content.Write(requests, metadata=self.runtime.metadata):
                digest = answer.digest
                accepted.put(answer)
        except grpc.RpcError as error:
            accepted.put(None)
            fault = told(error)
            if isinstance(fault, NameTaken):
                return _named(fault, expected)
            raise fault from error
        if broken:
            raise broken[0]
        return digest

    def add(self, body: bytes) -> str:
        return self.put(io.BytesIO(body), len(body), "")

    def read(self, digest: str) -> bytes:
        import grpc

        request = make("content", "ReadContentRequest", digest=digest)
        try:
            return b"".join(part.data for part in self.runtime.content.Read(request, metadata=self.runtime.metadata))
        except grpc.RpcError as error:
            raise told(error) from error

    def link(self, digest: str) -> None:
        """Says which blobs a manifest or index needs, so that a containerd keeps them as long as it."""
        import grpc

        document = json.loads(self.read(digest))
        labels = {}
        if config := document.get("config"):
            labels["containerd.io/gc.ref.content.config"] = config["digest"]
        for mark, children in (("l", document.get("layers")), ("m", document.get("manifests"))):
            for number, child in enumerate(children or ()):
                labels[f"containerd.io/gc.ref.content.{mark}.{number}"] = child["digest"]
        info = {"digest": digest, "labels": labels}
        mask = {"paths": [f"labels.{key}" for key in labels]}
        request = make("content", "UpdateRequest", info=info, update_mask=mask)
        try:
            self.runtime.content.Update(request, metadata=self.runtime.metadata)
        except grpc.RpcError as error:
            raise told(error) from error
        for child in document.get("manifests") or ():
            self._link_present(child["digest"])

    def _link_present(self, digest: str) -> None:
        try:
            self.link(digest)
        except InstanceError:
            # An archive need not hold what is for other machines.
            return


def _requests(source: Reader, size: int, expected: str, accepted: SimpleQueue[Any]) -> Iterator[Any]:
    """The messages of one blob; runs in the sender's thread, which waits for each answer (None: the last).

    So the source is read only while the runtime takes it: where that has the blob already, nothing is read.
    """
    ref = f"load-{uuid.uuid4()}"
    yield make("content", "WriteContentRequest", action=_ACTION["STAT"], ref=ref, total=size, expected=expected)
    offset = 0
    while offset < size:
        if accepted.get() is None:
            return
        if not (data := source.read(min(CHUNK, size - offset))):
            raise ValueError("unexpected end of data")
        yield make(
            "content", "WriteContentRequest", action=_ACTION["WRITE"], ref=ref, total=size, offset=offset, data=data
        )
        offset += len(data)
    yield make(
        "content",
        "WriteContentRequest",
        action=_ACTION["COMMIT"],
        ref=ref,
        total=size,
        offset=offset,
        expected=expected,
    )


def _caught(requests: Iterator[Any], broken: list[Exception]) -> Iterator[Any]:
    """The same; a source that breaks ends the stream, and is told where the caller can act on it."""
    try:
        yield from requests
    except (OSError, ValueError, tarfile.TarError) as error:
        broken.append(error)


def _named(fault: InstanceError, expected: str) -> str:
    """The digest that a runtime has already; it names it where the sender did not know it."""
    found = re.search(r"sha256:[a-f0-9]{64}", str(fault))
    return expected or (found[0] if found else "")

"""`image load|list|rm|prune`: what is on the node, and what of it is wanted."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from minikube_py.cli import image_load
from minikube_py.cli.image_client import NodeImage, RuntimeClient, connected
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.instance import InstanceError
from runtime.errors import InvalidArgument
from runtime.images.store import spelling

HEADINGS = ("IMAGE", "ID", "SIZE", "CONTAINERS", "KEPT")


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "load":
        return image_load.run(arguments)
    output = Output.of(arguments)
    with connected(existing_config(arguments)) as runtime:
        if arguments.action == "list":
            _list(runtime, output)
        elif arguments.action == "rm":
            _remove(runtime, arguments.names, output, force=arguments.force)
        else:
            _prune(runtime, output, everything=arguments.all)
    return 0


def _list(runtime: RuntimeClient, output: Output) -> None:
    images = runtime.images()
    if output.as_json:
        output.say("", images=[asdict(image) for image in images])
        return
    for line in table(images):
        output.say(line)


def _remove(runtime: RuntimeClient, names: list[str], output: Output, *, force: bool) -> None:
    done = []
    for name in names:
        image = found(runtime.images(), runtime.image_id(name), name)
        tag = sibling_tag(image, name)
        if tag:
            runtime.untag(tag)
            done.append({"untagged": tag})
            continue
        if image.containers and not force:
            used = ", ".join(container[:12] for container in image.containers)
            raise InstanceError(f"{name} is used by {used}; --force removes it all the same")
        runtime.remove(image.id)
        done.append({"removed": image.id, "name": name})
    _report(output, done)


def _prune(runtime: RuntimeClient, output: Output, *, everything: bool) -> None:
    before = runtime.used_bytes()
    done = []
    for image in prunable(runtime.images(), everything=everything):
        runtime.remove(image.id)
        done.append({"removed": image.id, "name": (*image.tags, *image.digests, image.id)[0]})
    freed = max(before - runtime.used_bytes(), 0)
    _report(output, done, freed=freed)


def _report(output: Output, done: list[dict[str, str]], freed: int | None = None) -> None:
    if output.as_json:
        output.say("", images=done, **({} if freed is None else {"freed": freed}))
        return
    for entry in done:
        output.say(f"untagged {entry['untagged']}" if "untagged" in entry else f"removed {entry['name']}")
    if freed is not None:
        output.say(f"freed {size(freed)}")


def found(images: list[NodeImage], image_id: str, name: str) -> NodeImage:
    """The image with this id, or whose id begins so; raises InstanceError."""
    short = name.removeprefix("sha256:")
    alike = [image for image in images if len(short) > 5 and image.id.removeprefix("sha256:").startswith(short)]
    if image_id:
        return next(image for image in images if image.id == image_id)
    if len(alike) != 1:
        raise InstanceError(f"no image {name}; minikube-py image list shows what there is")
    return alike[0]


def sibling_tag(image: NodeImage, name: str) -> str:
    """The tag that `name` means, where the image has others too; else empty: the image itself is meant."""
    try:
        tag = spelling(name)
    except InvalidArgument:
        return ""
    return tag if tag in image.tags and len(image.tags) > 1 else ""


def prunable(images: list[NodeImage], *, everything: bool) -> list[NodeImage]:
    """What no container uses; by hand loaded ones only where everything is meant."""
    return [image for image in images if not image.containers and (everything or not image.pinned)]


def table(images: list[NodeImage]) -> list[str]:
    """Lines for people, one a name."""
    rows = [HEADINGS]
    for image in images:
        for name in image.tags or image.digests or ("<none>",):
            kept = "by hand" if image.pinned else ""
            used = str(len(image.containers) or "")
            rows.append((name, image.id.removeprefix("sha256:")[:12], size(image.size), used, kept))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def size(count: int) -> str:
    """As docker prints it: 61.2MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g}{unit}"
        amount /= 1000
    return f"{amount:.3g}TB"

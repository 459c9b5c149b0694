"""Sends an OCI layout to a registry, so that images built here come back by the same pull as any other."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp

from runtime.errors import Unavailable
from runtime.images.hosts import Host, hosts_for
from runtime.images.layout import Layout
from runtime.images.reference import parse_reference


async def push(image_dir: Path, name: str) -> str:
    """The digest of the manifest that `name` (such as 127.0.0.1:5000/library/nginx:latest) now means there."""
    reference, layout = parse_reference(name), Layout(image_dir)
    host = hosts_for(reference.domain, {})[-1]
    digest, media_type = layout.manifest()
    body = layout.blob(digest).read_bytes()
    document: dict[str, Any] = json.loads(body)
    try:
        async with aiohttp.ClientSession() as session:
            for blob in (*document["layers"], document["config"]):
                await _push_blob(session, host, reference.path, layout.blob(blob["digest"]), blob["digest"])
            url = host.url(f"{reference.path}/manifests/{reference.target}")
            async with session.put(url, data=body, headers={"Content-Type": media_type}) as answer:
                await _check(answer)
    except aiohttp.ClientError as error:
        raise Unavailable(f"failed to push {name}: {error}") from error
    return digest


async def _push_blob(session: aiohttp.ClientSession, host: Host, path: str, blob: Path, digest: str) -> None:
    size = os.stat(blob).st_size
    async with session.head(host.url(f"{path}/blobs/{digest}")) as answer:
        if answer.status == HTTPStatus.OK:
            return
    start = host.url(f"{path}/blobs/uploads/")
    async with session.post(start) as answer:
        await _check(answer)
        location = urljoin(start, answer.headers["Location"])
    target = f"{location}{'&' if '?' in location else '?'}digest={digest}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    async with session.put(target, data=_chunks(blob), headers=headers) as answer:
        await _check(answer)


async def _chunks(blob: Path) -> AsyncIterator[bytes]:
    with open(blob, "rb") as file:  # noqa: ASYNC230 - nothing else runs on the builder's loop
        while chunk := file.read(1 << 20):
            yield chunk


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= HTTPStatus.BAD_REQUEST:
        told = (await answer.text())[:500]
        raise Unavailable(f"unexpected status from {answer.method} request to {answer.url}: {answer.status} {told}")

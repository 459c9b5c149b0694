"""A registry that serves one OCI layout, whatever the name asked for.

python -m tests.bench.registry DIRECTORY      prints its port
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from runtime.images.layout import Layout


def application(layout: Layout) -> web.Application:
    digest, media_type = layout.manifest()

    async def version(request: web.Request) -> web.Response:
        return web.Response(headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    async def manifest(request: web.Request) -> web.Response:
        body = layout.blob(digest).read_bytes()
        return web.Response(body=body, content_type=media_type, headers={"Docker-Content-Digest": digest})

    async def blob(request: web.Request) -> web.FileResponse:
        return web.FileResponse(layout.blob(request.match_info["digest"]))

    made = web.Application()
    made.router.add_get("/v2/", version)
    made.router.add_get("/v2/{name:.+}/manifests/{reference}", manifest)
    made.router.add_get("/v2/{name:.+}/blobs/{digest}", blob)
    return made


async def main(directory: str) -> None:
    runner = web.AppRunner(application(Layout(Path(directory))), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None  # noqa: SLF001 - aiohttp tells the bound port nowhere else
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined] # noqa: SLF001
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

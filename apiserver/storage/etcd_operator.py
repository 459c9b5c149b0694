"""What an operator asks of etcd: members, who leads, revision, size, defragmenting. Not on any request's path.

It speaks to etcd's JSON gateway by etcd3gw, which blocks, so each question is asked in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from apiserver.storage.etcd_channel import EtcdAccess
from apiserver.storage.store import StoreUnavailableError
from machinery.structs import Struct

T = TypeVar("T")

_SECONDS = 5
_DEFRAGMENT_SECONDS = 120


class MemberStatus(Struct, frozen=True):
    """One server as it tells of itself; identifiers in hexadecimal, as etcdctl prints them."""

    server: str
    name: str
    member_id: str
    version: str
    revision: int
    database_bytes: int
    is_leader: bool


async def status(access: EtcdAccess) -> list[MemberStatus]:
    """Each of the servers; raises StoreUnavailableError if one does not answer."""
    return list(await asyncio.gather(*(_ask(access, server, _status) for server in access.targets)))


async def defragment(access: EtcdAccess) -> None:
    """Gives the space of compacted revisions back, one server after the other: each is deaf meanwhile."""
    for server in access.targets:
        await _ask(access, server, _defragment, seconds=_DEFRAGMENT_SECONDS)


async def _ask(access: EtcdAccess, server: str, question: Callable[[Any, str], T], *, seconds: int = _SECONDS) -> T:
    return await asyncio.to_thread(_ask_blocking, access, server, question, seconds)


def _ask_blocking(access: EtcdAccess, server: str, question: Callable[[Any, str], T], seconds: int) -> T:
    from etcd3gw.client import Etcd3Client
    from etcd3gw.exceptions import Etcd3Exception
    from requests import RequestException

    host, _, port = server.rpartition(":")
    client = Etcd3Client(
        host=host.strip("[]"),
        port=int(port),
        protocol="https" if access.is_secure else "http",
        ca_cert=access.ca or None,
        cert_cert=access.cert or None,
        cert_key=access.key or None,
        timeout=seconds,
        api_path="/v3/",
    )
    # The environment's proxies and certificate bundles are for the way out, not for etcd.
    client.session.trust_env = False
    try:
        return question(client, server)
    except (Etcd3Exception, RequestException) as error:
        raise StoreUnavailableError(
            f"etcd at {server} does not answer: {getattr(error, 'detail_text', None) or error}"
        ) from error
    finally:
        client.session.close()


def _status(client: Any, server: str) -> MemberStatus:
    told: dict[str, Any] = client.status()
    member_id = told["header"]["member_id"]
    names = {member.get("ID"): member.get("name", "") for member in client.members()}
    return MemberStatus(
        server=server,
        name=names.get(member_id, ""),
        member_id=f"{int(member_id):x}",
        version=told.get("version", ""),
        revision=int(told["header"].get("revision", 0)),
        database_bytes=int(told.get("dbSize", 0)),
        is_leader=told.get("leader") == member_id,
    )


def _defragment(client: Any, server: str) -> None:
    del server
    client.post(client.get_url("/maintenance/defragment"), json={})

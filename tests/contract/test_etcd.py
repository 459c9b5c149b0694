"""What only a real etcd can show: members, TLS, a key prefix, a second server, revisions that others count up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver.storage.etcd import EtcdStore
from apiserver.storage.etcd_channel import EtcdAccess
from apiserver.storage.etcd_operator import defragment, status
from apiserver.storage.store import StoreUnavailableError
from apiserver.watchcache import WatchCache
from machinery.api.resources import CONFIG_MAPS
from tests.etcd_server import etcd_server, free_ports

pytestmark = pytest.mark.etcd


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with etcd_server(tmp_path_factory.mktemp("etcd")) as (served, _):
        yield served


async def test_the_operator_sees_member_revision_and_size(url: str) -> None:
    store = await EtcdStore.connect([url])
    revision = (await store.put("/registry/operator/a", b"x" * 1000, expected=0)).revision
    (member,) = await status(store.access)
    assert (member.name, member.version, member.is_leader) == ("test", "3.4.23", True)
    assert member.revision >= revision
    assert member.database_bytes > 1000
    assert int(member.member_id, 16)
    await defragment(store.access)
    await store.close()


async def test_the_operator_is_told_that_nobody_answers() -> None:
    (port,) = free_ports(1)
    with pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{port} does not answer"):
        await status(EtcdAccess((f"http://127.0.0.1:{port}",)))


async def test_a_snapshot_is_etcds_database(url: str, tmp_path: Path) -> None:
    store = await EtcdStore.connect([url])
    size = await store.snapshot(tmp_path / "snapshot.db")
    assert (tmp_path / "snapshot.db").stat().st_size == size > 10_000
    await store.close()


async def test_prefixes_part_two_clusters_on_one_etcd(url: str) -> None:
    one, two = await EtcdStore.connect([url], prefix="/one"), await EtcdStore.connect([url], prefix="/one-more/")
    await one.put("/registry/pods/a", b"1", expected=0)
    await two.put("/registry/pods/a", b"2", expected=0)
    assert [item.value for item in (await one.range("/registry/")).items] == [b"1"]
    assert [item.key for item in (await two.range("/registry/")).items] == ["/registry/pods/a"]
    bare = await EtcdStore.connect([url])
    assert [item.value for item in (await bare.range("/one/registry/pods/a")).items] == [b"1"]
    for store in (one, two, bare):
        await store.close()


async def test_a_consistent_read_does_not_wait_for_what_others_write(url: str) -> None:
    ours, theirs = await EtcdStore.connect([url], prefix="/ours"), await EtcdStore.connect([url], prefix="/theirs")
    cache = WatchCache(ours)
    await cache.start()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(cache.run())
        made = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"default","uid":"1"}}'
        await ours.put("/registry/configmaps/default/a", made, expected=0)
        foreign = await theirs.put("/registry/configmaps/default/b", made, expected=0)
        async with asyncio.timeout(10):
            await cache.refresh()
        assert cache.revision >= foreign.revision
        assert [entry.name for entry in cache.list(CONFIG_MAPS)] == ["a"]
        following.cancel()
    await ours.close()
    await theirs.close()


async def test_no_server_is_told_in_one_line() -> None:
    (port,) = free_ports(1)
    with pytest.raises(StoreUnavailableError, match=f"at http://127.0.0.1:{port}: .*Connection refused"):
        await EtcdStore.connect([f"http://127.0.0.1:{port}"])
    with pytest.raises(StoreUnavailableError, match="no address"):
        await EtcdStore.connect(["ftp://x"])
    with pytest.raises(StoreUnavailableError, match="can't be read"):
        await EtcdStore.connect(["https://127.0.0.1:1"], ca="/nowhere/ca.crt")


async def test_a_dead_server_is_passed_over(url: str) -> None:
    (port,) = free_ports(1)
    store = await EtcdStore.connect([f"http://127.0.0.1:{port}", url])
    assert (await store.put("/registry/pods/second", b"", expected=0)).succeeded
    await store.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "etcd")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "tls.crt").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "tls.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    assert ssl.PEM_cert_to_DER_cert((tmp_path / "tls.crt").read_text())
    return tmp_path


async def test_tls_with_a_client_certificate(certificates: Path) -> None:
    cert, key = str(certificates / "tls.crt"), str(certificates / "tls.key")
    with etcd_server(certificates, tls=(cert, key)) as (served, _):
        store = await EtcdStore.connect([served], ca=cert, cert=cert, key=key)
        assert (await store.put("/registry/pods/a", b"", expected=0)).succeeded
        (member,) = await status(store.access)
        assert member.name == "test"
        await store.close()
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            await EtcdStore.connect([served], ca=cert)

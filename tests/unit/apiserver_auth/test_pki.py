"""The cluster's keys survive restarts, follow names and time, and refuse what is broken."""

from __future__ import annotations

import asyncio
import ssl
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from machinery.pki import Pki, PkiError


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_second_start_finds_the_same_keys(tmp_path: Path) -> None:
    first = Pki.load_or_create(tmp_path / "pki", ips=["10.96.0.1"])
    files = {path.name: path.read_bytes() for path in (tmp_path / "pki").iterdir()}
    Pki.load_or_create(tmp_path / "pki", ips=["10.96.0.1"])
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "pki").iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in first.directory.iterdir()} == {0o600}


def test_new_names_give_a_new_certificate_and_the_same_ca(tmp_path: Path) -> None:
    first = Pki.load_or_create(tmp_path)
    before, ca = certificate(first.server.certificate), first.ca_pem
    second = Pki.load_or_create(tmp_path, names=["box.example.com"], ips=["192.0.2.7"])
    after = certificate(second.server.certificate)
    found = after.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "box.example.com" in found.get_values_for_type(x509.DNSName)
    assert before.serial_number != after.serial_number
    assert second.ca_pem == ca
    assert not second.serve(["box.example.com"], ["192.0.2.7"])


def test_certificates_are_renewed_when_a_third_of_their_life_is_left(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    pki = Pki.load_or_create(tmp_path, now=now)
    assert not pki.renew(now + timedelta(days=240))
    assert pki.renew(now + timedelta(days=250))
    assert pki.expiries()["apiserver"] > now + timedelta(days=600)


def test_half_a_pair_is_issued_anew(tmp_path: Path) -> None:
    pki = Pki.load_or_create(tmp_path)
    pki.kubelet_client.key.write_bytes(b"")
    again = Pki.load_or_create(tmp_path)
    context = ssl.create_default_context()
    context.load_cert_chain(again.kubelet_client.certificate, again.kubelet_client.key)


@pytest.mark.parametrize("broken", ["ca.key", "service-account.key", "ca.crt"])
def test_a_broken_root_is_said_and_never_replaced(tmp_path: Path, broken: str) -> None:
    Pki.load_or_create(tmp_path)
    (tmp_path / broken).write_bytes(b"-----BEGIN NOTHING-----")
    with pytest.raises(PkiError, match=broken):
        Pki.load_or_create(tmp_path)
    assert (tmp_path / broken).read_bytes() == b"-----BEGIN NOTHING-----"


def test_a_lost_ca_key_is_said(tmp_path: Path) -> None:
    Pki.load_or_create(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(PkiError, match="ca.key is missing"):
        Pki.load_or_create(tmp_path)


async def test_a_live_listener_follows_a_renewal(tmp_path: Path) -> None:
    pki = Pki.load_or_create(tmp_path)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async def serial(port: int) -> int:
        client = pki.ssl_context_client(pki.kubelet_client)
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(der).serial_number

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=pki.ssl_context_server()) as server:
        port = server.sockets[0].getsockname()[1]
        before = await serial(port)
        assert pki.serve(["later.example.com"], [])
        assert await serial(port) != before


def test_a_pair_that_many_ask_for_at_once_is_made_once(tmp_path: Path) -> None:
    pki = Pki.load_or_create(tmp_path, names=["localhost"])
    began = threading.Barrier(8)

    def ask(_: int) -> tuple[str, str]:
        began.wait()
        pair = pki.server_for("kubelet", "system:node:n", ("n",), ("192.0.2.1",))
        return Path(pair.key).read_text(), Path(pair.certificate).read_text()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1

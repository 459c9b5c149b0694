"""Manifests, platforms, hosts and challenges: readings of what registries say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import InvalidArgument, NotFound
from runtime.images.challenge import parse_challenges
from runtime.images.hosts import hosts_for
from runtime.images.media import (
    DOCKER_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    check_platform,
    choose,
    media_type_of,
    parse_config,
    parse_index,
    parse_manifest,
)
from runtime.images.platform import Platform

DIGEST = "sha256:" + "a" * 64


def offer(text: str) -> Descriptor:
    system, architecture, variant = (text.split("/") + [""])[:3]
    return Descriptor(OCI_MANIFEST, "sha256:" + text, 1, Platform(system, architecture, variant))


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        (["linux/arm64/v8", "linux/amd64"], "linux/amd64", "linux/amd64"),
        (["linux/amd64", "linux/arm64"], "linux/arm64/v8", "linux/arm64"),
        (["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v7"),
        (["linux/arm/v7", "linux/arm/v6"], "linux/arm/v6", "linux/arm/v6"),
        (["windows/amd64", "unknown/unknown", "linux/amd64"], "linux/amd64", "linux/amd64"),
        (["linux/386", "linux/x86_64"], "linux/amd64", "linux/x86_64"),
        (["linux/arm64", "linux/386"], "linux/amd64", "linux/386"),
        (["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"], "linux/amd64/v2", "linux/amd64/v2"),
        (["linux/amd64/v3", "linux/amd64/v1"], "linux/amd64/v2", "linux/amd64/v1"),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm64", "linux/arm/v7"),
        (["linux/arm/v8", "linux/arm64/v8"], "linux/arm64", "linux/arm64/v8"),
        (["linux/arm", "linux/arm/v6"], "linux/arm/v7", "linux/arm"),
        (["linux/armel", "linux/armhf"], "linux/arm/v7", "linux/armhf"),
    ],
)
def test_the_platform_that_fits_best_is_chosen(offered: list[str], wanted: str, chosen: str) -> None:
    platform = offer(wanted).platform
    assert platform
    assert choose([offer(text) for text in offered], platform).digest == f"sha256:{chosen}"


def test_an_image_for_other_machines_names_both() -> None:
    offered = [offer("linux/s390x"), offer("linux/arm64/v8"), offer("unknown/unknown")]
    with pytest.raises(NotFound) as told:
        choose(offered, Platform("linux", "amd64"))
    assert told.value.message == (
        "no match for platform in manifest: the image is for linux/s390x, linux/arm64, "
        "this machine runs linux/amd64: not found"
    )
    with pytest.raises(NotFound, match="the image is for linux/arm64, this machine runs linux/amd64"):
        check_platform(parse_config(b'{"os": "linux", "architecture": "arm64"}'), Platform("linux", "amd64"))
    for fine in (b'{"os": "linux", "architecture": "386"}', b"{}"):
        check_platform(parse_config(fine), Platform("linux", "amd64"))


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b"{",
        b"{}",
        b'{"schemaVersion": 1}',
        json.dumps({"config": {"digest": "sha256:../x", "size": 1}}).encode(),
    ],
)
def test_a_malformed_manifest_is_an_invalid_argument(document: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_manifest(document)


def test_only_images_of_an_index_count() -> None:
    def entry(media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": DIGEST, "size": 1}

    body = json.dumps({"manifests": [entry(OCI_MANIFEST), entry("application/x")]}).encode()
    assert [manifest.media_type for manifest in parse_index(body)] == [OCI_MANIFEST]


def test_a_document_tells_its_type_where_the_registry_does_not() -> None:
    assert media_type_of(b'{"manifests": []}', "text/plain") == OCI_INDEX
    assert media_type_of(b"{}", f"{DOCKER_LIST}; charset=utf-8") == DOCKER_LIST


def test_a_config_with_an_odd_diff_id_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        parse_config(b'{"rootfs": {"diff_ids": ["../../x"]}}')


def test_mirrors_come_first_and_loopback_speaks_http() -> None:
    mirrors = {"docker.io": ["http://127.0.0.1:5000/", "mirror.example/v2"]}
    assert [host.url("a/manifests/b") for host in hosts_for("docker.io", mirrors)] == [
        "http://127.0.0.1:5000/v2/a/manifests/b?ns=docker.io",
        "https://mirror.example/v2/a/manifests/b?ns=docker.io",
        "https://registry-1.docker.io/v2/a/manifests/b",
    ]
    assert [host.root for host in hosts_for("localhost:5000", mirrors)] == ["http://localhost:5000/v2"]


def test_a_challenge_is_read_with_its_quotes_and_commas() -> None:
    header = 'Bearer realm="https://a.example/token",service="a b",scope="repository:x:pull,push"'
    (challenge,) = parse_challenges([header, "Negotiate"])
    assert challenge.scheme == "bearer"
    assert challenge.parameters == {
        "realm": "https://a.example/token",
        "service": "a b",
        "scope": "repository:x:pull,push",
    }

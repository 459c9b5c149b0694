"""Image names as users write them."""

from __future__ import annotations

import pytest

from runtime.errors import InvalidArgument
from runtime.images.reference import parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("bitnami/redis", "docker.io/bitnami/redis:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("Host/a", "Host/a:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}"),
    ],
)
def test_a_name_has_one_canonical_spelling(written: str, canonical: str) -> None:
    assert str(parse_reference(written)) == canonical
    assert str(parse_reference(canonical)) == canonical


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("Not_A:Good:Name", "invalid reference format: repository name (library/Not_A) must be lowercase"),
        ("", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a/../b", "invalid reference format"),
        ("../../etc", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("a@sha256:12", "invalid reference format"),
        ("a" * 256, "repository name must not be more than 255 characters"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_a_bad_name_is_told(written: str, told: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_reference(written)
    assert caught.value.message == told

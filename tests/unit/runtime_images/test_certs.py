"""hosts.toml as people write it for containerd, Docker's certificate folders, proxies by environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import InvalidArgument
from runtime.images.certs import configured_hosts, docker_trust, folders, parse_hosts
from runtime.images.hosts import EVERYTHING, Host, Trust, hosts_for
from runtime.images.proxies import proxy_for
from runtime.images.registry import retry_after

FOLDER = Path("/certs")
MIRRORS = """
server = "https://docker.io"

[host."https://second.example:5000"]
  capabilities = ["pull", "resolve"]
  ca = "second.crt"

[host."first.example/proxy/"]
  capabilities = ["pull"]
  client = [["client.cert", "/keys/client.key"], "both.pem"]
  skip_verify = true
  override_path = true
  [host."first.example/proxy/".header]
    x-who = "me"
    x-many = ["a", "b"]

[host."http://10.0.0.1:80/base"]
"""


def test_hosts_come_in_the_order_of_the_file_and_the_server_last() -> None:
    assert parse_hosts(MIRRORS, FOLDER, "docker.io") == (
        Host(
            "https://second.example:5000/v2",
            "docker.io",
            frozenset({"pull", "resolve"}),
            trust=Trust((FOLDER / "second.crt",)),
        ),
        Host(
            "https://first.example/proxy",
            "docker.io",
            frozenset({"pull"}),
            (("x-who", "me"), ("x-many", "a"), ("x-many", "b")),
            Trust(
                client=((FOLDER / "client.cert", Path("/keys/client.key")), (FOLDER / "both.pem", None)),
                skip_verify=True,
            ),
        ),
        Host("http://10.0.0.1:80/base/v2", "docker.io"),
        Host("https://docker.io/v2"),
    )


@pytest.mark.parametrize(
    ("text", "domain", "server"),
    [
        ("", "docker.io", Host("https://registry-1.docker.io/v2")),
        ("", "registry.example", Host("https://registry.example/v2")),
        ("", "localhost:5000", Host("http://localhost:5000/v2")),
        ("skip_verify = true", "a.example", Host("https://a.example/v2", trust=Trust(skip_verify=True))),
        ('server = "http://b.example/x"', "a.example", Host("http://b.example/x/v2", "a.example")),
        ('ca = ["/a", "b"]', "a.example", Host("https://a.example/v2", trust=Trust((Path("/a"), FOLDER / "b")))),
    ],
)
def test_what_is_said_at_the_top_is_the_servers(text: str, domain: str, server: Host) -> None:
    assert parse_hosts(text, FOLDER, domain) == (server,)
    assert server.capabilities == EVERYTHING


@pytest.mark.parametrize(
    "text", ["host = 1", '[host."a"]\ncapabilities = ["fly"]', "ca = 1", "client = [[1]]", 'client = [["a"]]', "x ="]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.example").mkdir()
    (tmp_path / "a.example/hosts.toml").write_text(text)
    with pytest.raises(InvalidArgument, match="a.example/hosts.toml: "):
        configured_hosts("a.example", tmp_path)


def test_the_folder_is_the_registrys_own_or_the_default(tmp_path: Path) -> None:
    assert folders("a.example:5000") == ("a.example_5000_", "a.example:5000", "_default")
    assert configured_hosts("a.example", tmp_path) == ()
    assert configured_hosts("a.example", tmp_path / "none") == ()
    (tmp_path / "_default").mkdir()
    (tmp_path / "_default/hosts.toml").write_text('[host."https://mirror.example"]')
    assert [host.root for host in configured_hosts("a.example", tmp_path)] == [
        "https://mirror.example/v2",
        "https://a.example/v2",
    ]
    (tmp_path / "a.example").mkdir()
    (tmp_path / "a.example/own.crt").touch()
    (host,) = configured_hosts("a.example", tmp_path)
    assert host == Host("https://a.example/v2", trust=Trust((tmp_path / "a.example/own.crt",)))


def test_docker_s_names_tell_what_certificates_are_for() -> None:
    names = ["ca.crt", "client.cert", "client.key", "lone.cert", "notes.txt"]
    assert docker_trust(names, FOLDER) == Trust(
        (FOLDER / "ca.crt",),
        ((FOLDER / "client.cert", FOLDER / "client.key"), (FOLDER / "lone.cert", None)),
    )


def test_mirrors_of_the_command_line_are_asked_before_the_file() -> None:
    configured = parse_hosts('[host."http://m.example"]', FOLDER, "docker.io")
    found = hosts_for("docker.io", {"docker.io": ["http://127.0.0.1:5000"]}, configured)
    assert [host.root for host in found] == [
        "http://127.0.0.1:5000/v2",
        "http://m.example/v2",
        "https://registry-1.docker.io/v2",
    ]


PROXIES = {
    "HTTPS_PROXY": "proxy.example:3128",
    "http_proxy": "http://plain.example:80",
    "NO_PROXY": "10.0.0.0/8, .internal,exact.example:8443, 192.168.1.1,*.star.example",
}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://registry-1.docker.io/v2/", "http://proxy.example:3128"),
        ("http://a.example/v2/", "http://plain.example:80"),
        ("http://localhost:5000/v2/", None),
        ("http://127.0.0.1:5000/v2/", None),
        ("https://[::1]/v2/", None),
        ("https://10.1.2.3/v2/", None),
        ("https://192.168.1.1:5000/v2/", None),
        ("https://192.168.1.11/v2/", "http://proxy.example:3128"),
        ("https://a.internal/", None),
        ("https://internal/", "http://proxy.example:3128"),
        ("https://exact.example:8443/", None),
        ("https://sub.exact.example:8443/", None),
        ("https://exact.example/", "http://proxy.example:3128"),
        ("https://b.star.example/", None),
    ],
)
def test_a_proxy_is_taken_as_go_programs_take_it(url: str, proxy: str | None) -> None:
    assert proxy_for(url, PROXIES) == proxy


def test_no_proxy_may_name_everything() -> None:
    assert proxy_for("https://a.example/", {"https_proxy": "p", "no_proxy": "*"}) is None
    assert proxy_for("https://a.example/", {}) is None


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, 1.0),
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("x", 1),
    ],
)
def test_when_to_come_again_is_read_in_both_forms(said: str | None, seconds: float) -> None:
    assert retry_after(said, now=10.0) == seconds

"""CNI configurations, results and what a plugin is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.errors import FailedPrecondition, Unknown
from runtime.network.cni.configuration import file_of, load, parse
from runtime.network.cni.plugin import Attachment, call, find
from runtime.network.cni.result import addresses, host_link

BRIDGE = {"type": "bridge", "bridge": "cni0"}


def test_the_first_file_counts_whatever_else_there_is(tmp_path: Path) -> None:
    assert file_of(tmp_path / "none") is None
    for name in ("20-b.conflist", "10-a.conf", "05-readme.txt"):
        (tmp_path / name).touch()
    assert file_of(tmp_path) == tmp_path / "10-a.conf"


def test_one_plugin_alone_is_a_list_of_one() -> None:
    alone = parse({"cniVersion": "1.0.0", "name": "n", **BRIDGE})
    listed = parse({"cniVersion": "1.0.0", "name": "n", "plugins": [BRIDGE]})
    assert [plugin["type"] for plugin in alone.plugins] == [plugin["type"] for plugin in listed.plugins] == ["bridge"]
    assert parse(listed.told()) == listed


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", "no JSON object"),
        ('{"cniVersion": "1.0.0", "plugins": []}', "no 'name'"),
        ('{"name": "n", "plugins": []}', "no 'plugins'"),
        ('{"name": "n", "plugins": [{}]}', "a plugin has no 'type'"),
        ('{"name": "n", "type": "../../bin/sh"}', "a plugin's type is a name"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(tmp_path: Path, said: str, why: str) -> None:
    (tmp_path / "x.conflist").write_text(said)
    with pytest.raises(FailedPrecondition) as refused:
        load(tmp_path / "x.conflist")
    assert str(tmp_path / "x.conflist") in refused.value.message and why in refused.value.message


RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "cni0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": "/run/ns"}],
    "ips": [{"address": "fd00::5/64", "interface": 2}, {"address": "10.1.0.5/16", "interface": 2}],
}


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (RESULT, ("10.1.0.5", "fd00::5")),
        ({**RESULT, "ips": [{"address": "10.1.0.5/16"}]}, ("10.1.0.5",)),
        ({**RESULT, "ips": [{"address": "10.1.0.1/16", "interface": 0}]}, ()),
        ({"cniVersion": "0.2.0", "ip4": {"ip": "10.2.0.9/24"}}, ("10.2.0.9",)),
        ({}, ()),
    ],
)
def test_addresses_are_those_of_the_sandbox(result: dict[str, Any], found: tuple[str, ...]) -> None:
    assert addresses(result) == found


def test_the_hosts_end_is_the_link_next_to_the_sandbox() -> None:
    assert host_link(RESULT) == "veth1"
    assert host_link({}) == ""


def plugin(folder: Path, script: str) -> Path:
    (folder / "p").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "p").chmod(0o755)
    return folder


HELD = Attachment("id", "/run/ns", "IgnoreUnknown=1")


def test_a_plugin_gets_its_parameters_and_answers(tmp_path: Path) -> None:
    told = '{"asked": %s, "env": "\'"$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS"\'"}'
    folder = plugin(tmp_path, f"printf '{told % '%s'}' \"$(cat)\"")
    answer = call("ADD", {"type": "p", "name": "n"}, HELD, [folder])
    assert answer == {"asked": {"type": "p", "name": "n"}, "env": "ADD id /run/ns eth0 IgnoreUnknown=1"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("""echo '{"code": 7, "msg": "no room", "details": "in 10.0.0.0/30"}'; exit 1""", "no room; in 10.0.0.0/30"),
        ("echo oops >&2; exit 3", "netplugin failed with exit status 3: oops"),
        ("exit 4", "exit status 4"),
        ("echo '[]'", "the answer is no JSON object: []\n"),
    ],
)
def test_a_plugin_that_fails_is_told_in_its_words(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(Unknown) as failed:
        call("ADD", {"type": "p"}, HELD, [plugin(tmp_path, script)])
    assert failed.value.message == f'plugin type="p" failed (add): {words}'


def test_a_plugin_that_is_missing_is_told_with_the_package() -> None:
    with pytest.raises(FailedPrecondition) as missing:
        find("bridge", [Path("/none")])
    assert missing.value.message == (
        'failed to find plugin "bridge" in path [/none]; apt-get install containernetworking-plugins'
    )

"""What is refused in security contexts, and in what does not fit the operating system or a user namespace."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.unit.apiserver.pod_examples import SUBDOMAIN, container, pod, refusals, with_container

C = "spec.containers[0].securityContext"
P = "spec.securityContext"
RANGE = "must be between 0 and 2147483647, inclusive"
UNSET = (
    '"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,'
    '"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}'
)
PROFILES = 'supported values: "Localhost", "RuntimeDefault", "Unconfined"'


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"runAsUser": 0, "runAsGroup": 2147483647, "privileged": True}, []),
        ({"runAsUser": -1, "runAsGroup": 2147483648}, [
            f"{C}.runAsUser: Invalid value: -1: {RANGE}", f"{C}.runAsGroup: Invalid value: 2147483648: {RANGE}"]),
        ({"procMount": "Some"}, [
            f'{C}.procMount: Unsupported value: "Some": supported values: "Default", "Unmasked"']),
        ({"procMount": "Unmasked"}, [
            f'{C}.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`']),
        ({"seccompProfile": {"type": ""}}, [
            f"{C}.seccompProfile.type: Required value: type is required when seccompProfile is set"]),
        ({"seccompProfile": {"type": "Mine"}}, [f'{C}.seccompProfile.type: Unsupported value: "Mine": {PROFILES}']),
        ({"seccompProfile": {"type": "Localhost"}}, [
            f"{C}.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"]),
        ({"seccompProfile": {"type": "Localhost", "localhostProfile": "/a"}}, [
            f'{C}.seccompProfile.localhostProfile: Invalid value: "/a": must be a relative path']),
        ({"seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}}, [
            f'{C}.seccompProfile.localhostProfile: Invalid value: {{"Type":"Unconfined","LocalhostProfile":"a"}}: can'
            " only be set when seccomp type is Localhost"]),
        ({"appArmorProfile": {"type": ""}}, [
            f"{C}.appArmorProfile.type: Required value: type is required when appArmorProfile is set"]),
        ({"appArmorProfile": {"type": "Mine"}}, [f'{C}.appArmorProfile.type: Unsupported value: "Mine": {PROFILES}']),
        ({"appArmorProfile": {"type": "Localhost"}}, [
            f"{C}.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost"]),
        ({"appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}}, [
            f'{C}.appArmorProfile.localhostProfile: Invalid value: " a": must not be padded with whitespace']),
        ({"appArmorProfile": {"type": "Localhost", "localhostProfile": "a" * 4096}}, [
            f"{C}.appArmorProfile.localhostProfile: Too long: may not be more than 4095 bytes"]),
        ({"appArmorProfile": {"type": "Unconfined", "localhostProfile": "a"}}, [
            f'{C}.appArmorProfile.localhostProfile: Invalid value: "a": can only be set when AppArmor type is'
            " Localhost"]),
        ({"allowPrivilegeEscalation": False, "privileged": True}, [
            f'{C}: Invalid value: {{"Capabilities":null,"Privileged":true,"SELinuxOptions":null,{UNSET}: cannot set'
            " `allowPrivilegeEscalation` to false and `privileged` to true"]),
        ({"allowPrivilegeEscalation": False, "capabilities": {"add": ["CAP_SYS_ADMIN"]}}, [
            f'{C}: Invalid value: {{"Capabilities":{{"Add":["CAP_SYS_ADMIN"],"Drop":null}},"Privileged":null,'
            f'"SELinuxOptions":null,{UNSET}: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add`'
            " CAP_SYS_ADMIN"]),
        ({"allowPrivilegeEscalation": False, "capabilities": {"add": ["SYS_ADMIN"]}}, []),
    ],
)  # fmt: skip
def test_containers(context: Object, expected: list[str]) -> None:
    assert refusals(pod(with_container(securityContext=context))) == expected


SYSCTL = (
    "must have at most 253 characters and match regex"
    r" ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)


@pytest.mark.parametrize(
    ("context", "spec", "expected"),
    [
        ({"fsGroup": -1, "runAsUser": -2, "runAsGroup": -3, "supplementalGroups": [1, -4]}, {}, [
            f"{P}.fsGroup: Invalid value: -1: {RANGE}", f"{P}.runAsUser: Invalid value: -2: {RANGE}",
            f"{P}.runAsGroup: Invalid value: -3: {RANGE}", f"{P}.supplementalGroups[1]: Invalid value: -4: {RANGE}"]),
        ({}, {"shareProcessNamespace": True, "hostPID": True}, [
            f"{P}.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be"
            " enabled"]),
        ({"fsGroupChangePolicy": "Never"}, {}, [
            f'{P}.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"']),
        ({"supplementalGroupsPolicy": "Loose"}, {}, [
            f'{P}.supplementalGroupsPolicy: Unsupported value: "Loose": supported values: "Merge", "Strict"']),
        ({"seLinuxChangePolicy": "Never"}, {}, [
            f'{P}.seLinuxChangePolicy: Unsupported value: "Never": supported values: "MountOption", "Recursive"']),
        ({"seccompProfile": {"type": "Mine"}}, {}, [
            f'{P}.seccompProfile.type: Unsupported value: "Mine": {PROFILES}']),
        ({"appArmorProfile": {"type": "Mine"}}, {}, [
            f'{P}.appArmorProfile.type: Unsupported value: "Mine": {PROFILES}']),
        ({"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}, {"name": "net/ipv4/tcp", "value": "1"}]}, {},
         []),
        ({"sysctls": [{"name": "", "value": "1"}, {"name": "A.b", "value": "1"}]}, {}, [
            f"{P}.sysctls[0].name: Required value", f'{P}.sysctls[1].name: Invalid value: "A.b": {SYSCTL}']),
        ({"sysctls": [{"name": "a.b", "value": "1"}, {"name": "a.b", "value": "2"}]}, {}, [
            f'{P}.sysctls[1].name: Duplicate value: "a.b"']),
        ({"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}, {"hostNetwork": True}, [
            f"{P}.sysctls[0].name: Invalid value: \"net.core.somaxconn\": may not be specified when 'hostNetwork' is"
            " true"]),
        ({"sysctls": [{"name": "kernel/msgmax", "value": "1"}]}, {"hostIPC": True}, [
            f"{P}.sysctls[0].name: Invalid value: \"kernel/msgmax\": may not be specified when 'hostIPC' is true"]),
    ],
)  # fmt: skip
def test_pods(context: Object, spec: Object, expected: list[str]) -> None:
    assert refusals(pod({**spec, "securityContext": context})) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"gmsaCredentialSpecName": "A"}, [f'gmsaCredentialSpecName: Invalid value: "A": {SUBDOMAIN}']),
        ({"gmsaCredentialSpec": ""}, [
            'gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be an empty string']),
        ({"runAsUserName": ""}, ['runAsUserName: Invalid value: "": runAsUserName cannot be an empty string']),
        ({"runAsUserName": "a\tb"}, [
            'runAsUserName: Invalid value: "a\\tb": runAsUserName cannot contain control characters']),
        ({"runAsUserName": "a\\b\\c"}, [
            'runAsUserName: Invalid value: "a\\\\b\\\\c": runAsUserName cannot contain more than one backslash']),
        ({"runAsUserName": "D\\"}, [
            'runAsUserName: Invalid value: "D\\\\": runAsUserName\'s User cannot be empty']),
        ({"runAsUserName": "..."}, [
            'runAsUserName: Invalid value: "...": runAsUserName\'s User cannot contain only periods or spaces']),
        ({"runAsUserName": "a@b"}, [
            'runAsUserName: Invalid value: "a@b": runAsUserName\'s User cannot contain the following characters:'
            ' "/\\:;|=,+*?<>@[]']),
        ({"runAsUserName": ".D\\u"}, [
            'runAsUserName: Invalid value: ".D\\\\u": runAsUserName\'s Domain doesn\'t match the NetBios nor the DNS'
            " format"]),
        ({"runAsUserName": "u" * 105}, [
            f'runAsUserName: Invalid value: "{"u" * 105}": runAsUserName\'s User length must not be longer than 104'
            " characters"]),
        ({"runAsUserName": "NT AUTHORITY\\SYSTEM"}, []),
    ],
)  # fmt: skip
def test_options_of_windows(options: Object, expected: list[str]) -> None:
    found = refusals(pod({"securityContext": {"windowsOptions": options}}))
    assert found == [f"{P}.windowsOptions.{line}" for line in expected]


HOST: Object = {"windowsOptions": {"hostProcess": True}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hostNetwork": True, "securityContext": HOST}, []),
        ({"securityContext": HOST}, [
            "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess"
            " containers"]),
        ({"hostNetwork": True, "containers": [container(securityContext=HOST), container(name="d")]}, [
            'spec: Invalid value: "": If pod contains any hostProcess containers then all containers must be'
            " HostProcess containers"]),
        ({"hostNetwork": True, "securityContext": HOST,
          "containers": [container(securityContext={"windowsOptions": {"hostProcess": False}})]}, [
            f"{C}.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be identical if both are"
            " specified, was true"]),
        ({"os": {"name": "linux"}, "hostNetwork": True, "securityContext": HOST}, [
            f"{P}.windowsOptions: Forbidden: windows options cannot be set for a linux pod"]),
        ({"os": {"name": "windows"}, "hostPID": True, "securityContext": {"fsGroup": 1, "runAsUser": 1},
          "containers": [container(securityContext={"capabilities": {"add": ["X"]}, "privileged": False})]}, [
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
            f"{P}.fsGroup: Forbidden: cannot be set for a windows pod",
            f"{P}.runAsUser: Forbidden: cannot be set for a windows pod",
            f"{C}.capabilities: Forbidden: cannot be set for a windows pod",
            f"{C}.privileged: Forbidden: cannot be set for a windows pod"]),
        ({"os": {"name": "windows"}, "resources": {"limits": {"cpu": "1"}}}, [
            "spec.resources: Forbidden: may not be set for a windows pod"]),
        ({"hostUsers": False}, []),
        ({"hostUsers": False, "hostNetwork": True, "hostPID": True, "hostIPC": True}, [
            "spec.hostNetwork: Forbidden: when `hostUsers` is false",
            "spec.HostPID: Forbidden: when `hostUsers` is false",
            "spec.HostIPC: Forbidden: when `hostUsers` is false"]),
        ({"hostUsers": False, "containers": [container(securityContext={"procMount": "Unmasked"})]}, []),
        ({"hostUsers": False, **with_container(volumeDevices=[{"name": "disk", "devicePath": "/dev/a"}])}, [
            "spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false"]),
    ],
)  # fmt: skip
def test_what_fits_together(spec: Object, expected: list[str]) -> None:
    assert refusals(pod(spec)) == expected

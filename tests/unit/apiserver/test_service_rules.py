"""Services: what is refused on create, on update and in the status, and what is warned of, word by word."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.rules.network.service_families import settle_families
from machinery.api.resource import Object
from tests.kind_rules import lines, on_create, on_update, rules_of

RULES = rules_of("", "v1", "services")
IP = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
BOTH = {
    "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
    "ipFamilyPolicy": "RequireDualStack",
}  # fmt: skip
BARE = {"clusterIP": "None", "clusterIPs": ["None"]}
ONLY = "Forbidden: may only be used when `type` is 'LoadBalancer'"
BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
KEPT = "may not change once set"


def service(spec: Object, **annotations: str) -> Object:
    metadata = {"name": "s", "annotations": {key.replace("_", "/", 1): text for key, text in annotations.items()}}
    return {"metadata": metadata, "spec": {"ports": [{"port": 80}], **spec}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({**IP}, []),
        ({**BOTH}, []),
        ({**BARE, "ports": []}, []),
        ({"ports": []}, ["spec.ports: Required value"]),
        ({"type": "Odd"}, [
            'spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
            '"NodePort"',
        ]),
        ({"type": "NodePort", **BARE}, [
            'spec.clusterIPs[0]: Invalid value: "None": may not be set to \'None\' for NodePort services',
        ]),
        ({"type": "ExternalName"}, ["spec.externalName: Required value"]),
        ({"type": "ExternalName", "externalName": "a.example.", **IP}, [
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
            "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
            "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
        ]),
        ({"sessionAffinity": "Odd"}, [
            'spec.sessionAffinity: Unsupported value: "Odd": supported values: "ClientIP", "None"',
        ]),
        ({"sessionAffinity": "ClientIP"}, []),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}, [
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less"
            " than 86400",
        ]),
        ({"externalIPs": ["x", "127.0.0.1", "010.1.1.1"]}, [
            f'spec.externalIPs[0]: Invalid value: "x": {BAD_IP}',
            'spec.externalIPs[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
            'spec.externalIPs[2]: Invalid value: "010.1.1.1": must not have leading 0s',
        ]),
        ({"externalTrafficPolicy": "Local"}, [
            'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
        ]),
        ({"type": "NodePort", "externalTrafficPolicy": "Odd", "internalTrafficPolicy": "Odd"}, [
            'spec.externalTrafficPolicy: Unsupported value: "Odd": supported values: "Cluster", "Local"',
            'spec.internalTrafficPolicy: Unsupported value: "Odd": supported values: "Cluster", "Local"',
        ]),
        ({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, ["spec.healthCheckNodePort: Required value"]),
        ({"healthCheckNodePort": 30000}, [
            "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and"
            " `externalTrafficPolicy` is 'Local'",
        ]),
        ({"loadBalancerSourceRanges": ["10.0.0.1/8"], "loadBalancerClass": "a/b",
          "allocateLoadBalancerNodePorts": True}, [
            f"spec.LoadBalancerSourceRanges: {ONLY}",
            'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix'
            " length",
            f"spec.allocateLoadBalancerNodePorts: {ONLY}",
            f"spec.loadBalancerClass: {ONLY}",
        ]),
        ({"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.0/8"], "loadBalancerClass": "a/b"}, []),
        ({"trafficDistribution": "Near"}, [
            'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", '
            '"PreferSameZone"',
        ]),
        ({"selector": {"a b": "c"}}, [
            'spec.selector: Invalid value: "a b": name part must consist of alphanumeric characters, \'-\', \'_\' or'
            " '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc',"
            " regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ]),
    ],
)  # fmt: skip
def test_a_new_service(spec: Object, expected: list[str]) -> None:
    assert on_create(RULES, service(spec)) == expected


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([{"port": 80, "name": "a"}, {"port": 443, "name": "b", "targetPort": "https", "appProtocol": "a.b/c"}], []),
        ([{"port": 80}, {"port": 0, "name": "b"}], [
            "spec.ports[0].name: Required value",
            "spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[1].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ]),
        ([{"port": 80, "name": "a"}, {"port": 80, "name": "a"}], [
            'spec.ports[1].name: Duplicate value: "a"',
            'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,'
            '"NodePort":0}',
        ]),
        ([{"port": 80, "protocol": "ICMP", "targetPort": "a--b", "nodePort": 30000}], [
            'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
            'spec.ports[0].targetPort: Invalid value: "a--b": must not contain consecutive hyphens',
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ]),
    ],
)  # fmt: skip
def test_a_services_ports(ports: list[Object], expected: list[str]) -> None:
    assert on_create(RULES, service({"ports": ports})) == expected


def test_a_node_port_is_one_ports() -> None:
    ports = [{"port": 80, "name": "a", "nodePort": 30000}, {"port": 81, "name": "b", "nodePort": 30000}]
    assert on_create(RULES, service({"type": "NodePort", "ports": ports})) == [
        "spec.ports[1].nodePort: Duplicate value: 30000"
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}, [
            'spec.clusterIPs: Invalid value: ["10.0.0.2"]: first value must match `clusterIP`',
        ]),
        ({"clusterIPs": ["10.0.0.2"]}, [
            'spec.clusterIPs: Invalid value: ["10.0.0.2"]: must be empty when `clusterIP` is not specified',
        ]),
        ({"ipFamilies": ["IPv5", "IPv5"], "ipFamilyPolicy": "Odd"}, [
            'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
            'spec.ipFamilies[1]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
            'spec.ipFamilies[1]: Duplicate value: "IPv5"',
            'spec.ipFamilyPolicy: Unsupported value: "Odd": supported values: "PreferDualStack", "RequireDualStack",'
            ' "SingleStack"',
        ]),
        ({"clusterIP": "None", "clusterIPs": ["None", "10.0.0.1", "x"]}, [
            'spec.clusterIPs: Invalid value: ["None","10.0.0.1","x"]: \'None\' must be the first and only value',
            f'spec.clusterIPs[2]: Invalid value: "x": {BAD_IP}',
            'spec.clusterIPs: Invalid value: ["None","10.0.0.1","x"]: may only hold up to 2 values',
        ]),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}, [
            'spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP'
            " family",
        ]),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"]}, [
            'spec.clusterIPs[0]: Invalid value: "10.0.0.1": expected an IPv6 value as indicated by `ipFamilies[0]`',
        ]),
    ],
)  # fmt: skip
def test_a_services_addresses_and_families(spec: Object, expected: list[str]) -> None:
    assert on_create(RULES, service(spec)) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (IP, IP, []),
        ({**IP, "clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]}, IP, [
            f'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: {KEPT}',
        ]),
        ({**IP, "ipFamilies": ["IPv6"], "clusterIPs": ["fd00::1"], "clusterIP": "fd00::1"}, IP, [
            f'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: {KEPT}',
            f'spec.ipFamilies[0]: Invalid value: ["IPv6"]: {KEPT}',
        ]),
        ({**IP, "ipFamilyPolicy": "PreferDualStack"}, BOTH, [
            "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the"
            " secondary clusterIP",
            "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when releasing the"
            " secondary ipFamily",
        ]),
        (IP, BOTH, []),
        (BOTH, IP, []),
        ({"type": "ExternalName", "externalName": "a.example", **IP}, IP, []),
        ({"type": "LoadBalancer", "loadBalancerClass": "a/b", **IP}, {"type": "LoadBalancer", **IP}, [
            f'spec.loadBalancerClass: Invalid value: "a/b": {KEPT}',
        ]),
        ({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 2, **IP},
         {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 1, **IP}, [
            "spec.healthCheckNodePort: Forbidden: field is immutable",
        ]),
        ({"externalIPs": ["010.1.1.1"], **IP}, {"externalIPs": ["010.1.1.1"], **IP}, []),
        ({**IP, "externalTrafficPolicy": "Cluster", "ports": [{"port": 80, "nodePort": 30000}]},
         {"type": "NodePort", **IP, "ports": [{"port": 80, "nodePort": 30000}]}, []),
    ],
)  # fmt: skip
def test_a_changed_service(new: Object, old: Object, expected: list[str]) -> None:
    assert on_update(RULES, service(new), service(old)) == expected


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ({"ip": "1.2.3.4", "ipMode": "VIP"}, []),
        ({"ip": "x"}, [f'[0].ip: Invalid value: "x": {BAD_IP}', "[0].ipMode: Required value: must be specified when "
                       "`ip` is set"]),
        ({"hostname": "a.example", "ipMode": "VIP"}, [
            "[0].ipMode: Forbidden: may not be specified when `ip` is not set"]),
        ({"ip": "1.2.3.4", "ipMode": "Odd"}, [
            '[0].ipMode: Unsupported value: "Odd": supported values: "Proxy", "VIP"']),
        ({"hostname": "1.2.3.4"}, ['[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address']),
    ],
)  # fmt: skip
def test_a_services_status(point: Object, expected: list[str]) -> None:
    obj = {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [point]}}}
    found = lines(RULES.validate_status(obj, {**obj, "status": {}}))
    assert found == [f"status.loadBalancer.ingress{line}" for line in expected]
    assert lines(RULES.validate_status({**obj, "spec": {"type": "ClusterIP"}}, obj)) == [
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    ]


def test_a_services_status_is_warned_of() -> None:
    told = {"status": {"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": "FD00::1"}]}}}
    assert RULES.status_warnings(told) == [
        'status.loadBalancer.ingress[1]: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")'
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (IP, []),
        ({"externalIPs": ["1.2.3.4"], **IP}, [
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"]),
        ({"clusterIP": "None", "loadBalancerIP": "1.2.3.4", "sessionAffinity": "ClientIP"}, [
            "spec.loadBalancerIP is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
        ]),
        ({"loadBalancerSourceRanges": ["10.0.0.1/8", "FD00::/8"]}, [
            'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be'
            ' "10.0.0.0/8" or "10.0.0.1/32"?)',
            'spec.loadBalancerSourceRanges[1]: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format'
            ' ("fd00::/8")',
        ]),
        ({"externalName": "a.example", "trafficDistribution": "PreferClose"}, [
            'spec.externalName is ignored when spec.type is not "ExternalName"',
            'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
        ]),
    ],
)  # fmt: skip
def test_warnings_of_a_service(spec: Object, expected: list[str]) -> None:
    made = service(spec)
    RULES.default(made)
    assert RULES.warnings(made) == expected


DUAL, SINGLE = ("IPv4", "IPv6"), ("IPv4",)
POLICY = "spec.ipFamilyPolicy: Invalid value: "


@pytest.mark.parametrize(
    ("spec", "old", "available", "expected"),
    [
        ({}, None, SINGLE, ("SingleStack", ["IPv4"])),
        ({"ipFamilyPolicy": "PreferDualStack"}, None, SINGLE, ("PreferDualStack", ["IPv4"])),
        ({"ipFamilyPolicy": "PreferDualStack"}, None, DUAL, ("PreferDualStack", ["IPv4", "IPv6"])),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, None, SINGLE, ("RequireDualStack", ["IPv4", "IPv6"])),
        ({**BARE, "selector": {"a": "b"}}, None, SINGLE, ("SingleStack", ["IPv4"])),
        ({"ipFamilyPolicy": "RequireDualStack"}, None, SINGLE, [
            POLICY + '"RequireDualStack": this cluster is not configured for dual-stack services']),
        ({"ipFamilies": ["IPv6"]}, None, SINGLE, [
            'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster']),
        ({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]}, None, SINGLE, [
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster']),
        ({"ipFamilies": ["IPv4", "IPv6"]}, None, DUAL, [
            POLICY + "\"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are"
            " specified"]),
        ({**BOTH, "ipFamilyPolicy": "SingleStack"}, BOTH, DUAL, ("SingleStack", ["IPv4"])),
        ({**BOTH, "ipFamilies": ["IPv4"], "clusterIPs": ["10.0.0.1"]}, BOTH, DUAL, [
            POLICY + "\"RequireDualStack\": must be 'SingleStack' to release the secondary cluster IP",
            POLICY + "\"RequireDualStack\": must be 'SingleStack' to release the secondary IP family"]),
    ],
)  # fmt: skip
def test_families_follow_from_policy_and_cluster(
    spec: Object, old: Object | None, available: tuple[str, ...], expected: Any
) -> None:
    made = {"type": "ClusterIP", **spec}
    causes = lines(settle_families(made, old, available))
    assert (causes or (made["ipFamilyPolicy"], made["ipFamilies"])) == expected

"""What no sane client sends: bodies, protobuf, patches, queries and paths, with the code that upstream answers."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from machinery.api.protobuf import MAGIC, encode
from machinery.api.wire_values import delimited, tag, varint

MAPS = "/api/v1/namespaces/default/configmaps"

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"

JSON_PATCH, MERGE = "application/json-patch+json", "application/merge-patch+json"

STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"

DEEP = 10_000


def token(**parts: Any) -> str:
    """A continue token that says so."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def config_map(**parts: Any) -> bytes:
    return json.dumps({"metadata": {"name": "new"}, **parts}).encode()


def nested(opening: bytes, closing: bytes, depth: int = DEEP) -> bytes:
    return opening * depth + b"1" + closing * depth


WHOLE = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "b"}}).encode()

BODIES: list[tuple[str, bytes, int]] = [
    # What Go's JSON takes is taken.
    *((JSON, WHOLE[:cut], 400) for cut in range(0, len(WHOLE), 7)),
    (JSON, nested(b'{"a":', b"}"), 400),
    (JSON, nested(b"[", b"]"), 400),
    (JSON, b'{"metadata":{"name":"new"},"data":{"a":' + nested(b"[", b"]") + b"}}", 400),
    (JSON, b'{"metadata":{"name":"new"},"unknown":' + nested(b"[", b"]", 300) + b"}", 400),
    (JSON, config_map(data={str(number): "x" for number in range(50_000)}), 201),
    (JSON, config_map(data={"a": "x" * 1_100_000}), 422),
    (JSON, b'{"metadata":{"name":"new","generation":' + b"9" * 5000 + b"}}", 400),
    (JSON, b'{"metadata":{"name":"new","generation":1e999}}', 400),
    (JSON, b'{"metadata":{"name":"new"},"immutable":1}', 400),
    (JSON, b'{"metadata":{"name":"new","name":"other"},"data":{"a":"1","a":"2"}}', 201),
    (JSON, b'{"metadata":{"name":"new"},"data":{"a":"\xff\xfe"}}', 201),
    (JSON, b'{"metadata":{"name":"new"},"data":{"a":"\\ud800"}}', 201),
    (JSON, b'{"metadata":{"name":"new"},"data":{"a":"\\u0000"}}', 201),
    (JSON, b'{"metadata":{"name":"new"},"data":{"a":"\0"}}', 400),
    (JSON, b'\xef\xbb\xbf{"metadata":{"name":"new"}}', 400),
    (JSON, b'{"metadata":{"name":"new"}} trailing', 400),
    (JSON, b'{"metadata":{"name":"new"}}{"metadata":{"name":"two"}}', 400),
    (JSON, b'{"metadata":{"name":NaN}}', 400),
    (JSON, b"'single'", 400),
    (JSON, b'{"metadata":{"name":"new"},}', 400),
    (JSON, b'{"metadata":{"name":"' + b"n" * 100_000 + b'"}}', 422),
    (JSON, b'{"metadata":{"name":"new","labels":{"a b":"c"}}}', 422),
    (JSON, b'{"metadata":{"name":"new","labels":{"a":{}}}}', 400),
    (JSON, b'{"metadata":{"name":"new","finalizers":[1]}}', 400),
    (JSON, b'{"metadata":{"name":"new","annotations":{"a":"' + b"x" * 300_000 + b'"}}}', 422),
    (JSON, b'{"metadata":"new"}', 400),
    (JSON, b'{"kind":7,"apiVersion":[]}', 400),
    (JSON, b'{"kind":"ConfigMap","apiVersion":"v1/v2/v3","metadata":{"name":"new"}}', 400),
    (JSON, gzip.compress(WHOLE), 400),
    (YAML, b"metadata:\n\tname: new\n", 400),
    (YAML, b"metadata: [name: new", 400),
    (YAML, b"metadata: {name: new}\n---\nmetadata: {name: two}\n", 400),
    (YAML, b"metadata: &m {name: new}\ndata: {<<: *m}\n", 201),
    (YAML, b"metadata: &m {name: new, self: *m}\n", 400),
    (YAML, b"a: *nowhere\n", 400),
    (YAML, b"&a [*a]", 400),
    (YAML, b"? [a, b]\n: c\n", 400),
    (YAML, b"!!python/object/apply:os.system ['true']\n", 400),
    (YAML, b"metadata: !!binary aGVsbG8=\n", 400),
    (YAML, b"metadata: {name: 2026-01-01}\n", 201),
    (YAML, b"metadata: {name: new}\ndata: {a: 1}\n", 400),
    (YAML, b"metadata: {name: new}\ndata: {a: .nan}\n", 400),
    (YAML, b"metadata: {name: new}\ndata: {a: 0x" + b"f" * 10_000 + b"}\n", 400),
    (YAML, b"\xff\xfe\x00", 400),
    (YAML, b'metadata: {name: new}\ndata: {a: "\\0"}\n', 201),
    (YAML, nested(b"[", b"]"), 400),
    (YAML, b"".join(b" " * depth + b"a:\n" for depth in range(1500)), 400),
    (YAML, b"- " * DEEP, 400),
    (YAML, b"%YAML 9.9\n---\nmetadata: {name: new}\n", 400),
    (YAML, b"", 400),
    ("", WHOLE.replace(b"new", b"no-type"), 201),
    ("text/html", WHOLE, 415),
    ("application/json; charset=utf-16", WHOLE.replace(b"new", b"charset"), 201),
    ("application/xml", b"<a/>", 415),
    ("multipart/form-data; boundary=x", b"--x--", 415),
    ("\u00e9/\u00e9", WHOLE, 415),
    (";;;", WHOLE, 415),
]

SOUND = encode({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "new"}, "data": {"a": "b"}})

TYPE = delimited(1, delimited(1, b"v1") + delimited(2, b"ConfigMap"))

PROTOBUFS = [
    b"",
    MAGIC,
    MAGIC[:3],
    b"k8s\x01" + SOUND[4:],
    SOUND[4:],
    SOUND + b"\xff",
    MAGIC + b"\x80" * 20,
    *(SOUND[:cut] for cut in range(5, len(SOUND) - 3, 3)),
    MAGIC + b"\x0a\xff\xff\xff\xff\x0f",
    MAGIC + b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    MAGIC + TYPE + tag(2, 3) + tag(2, 4),
    MAGIC + TYPE + tag(2, 6),
    MAGIC + TYPE + tag(2, 7),
    MAGIC + TYPE + tag(0, 2) + b"\0",
    MAGIC + TYPE + delimited(2, tag(1, 3) + b"x"),
    MAGIC + TYPE + delimited(2, tag(1, 0) + varint(5)),
    MAGIC + TYPE + delimited(2, delimited(1, b"\xff" * 30)),
    MAGIC + TYPE + delimited(2, delimited(1, delimited(1, b"\xff\xfe"))),
    MAGIC + TYPE + delimited(2, delimited(2, b"\x0a\x05a")),
    MAGIC + TYPE + delimited(2, tag(1, 5) + b"abc"),
    MAGIC + TYPE + delimited(2, tag(1, 1) + b"abc"),
    MAGIC + delimited(1, b"\xff\xff") + delimited(2, b""),
    MAGIC + delimited(1, delimited(1, b"\xff\xfe") + delimited(2, b"ConfigMap")),
    MAGIC + delimited(2, b"x" * 100),
    MAGIC + TYPE + delimited(2, b"") + delimited(4, b"application/json"),
    MAGIC + TYPE + delimited(2, b"[]") + delimited(4, JSON.encode()),
    MAGIC + TYPE + delimited(2, b"") + delimited(3, b"gzip"),
    MAGIC + TYPE + tag(2, 0) + varint(1),
    MAGIC + delimited(1, delimited(1, b"v1") + delimited(2, b"Secret")) + delimited(2, b""),
    MAGIC + delimited(1, delimited(1, b"v9") + delimited(2, b"ConfigMap")) + delimited(2, b""),
]

NO_PATCHES = (
    b"",
    b"[]",
    b"7",
    b'"x"',
    b"{",
    b"\xff",
    nested(b'{"a":', b"}"),
    nested(b'{"a":', b"}", 900),
    b'{"data":' + nested(b'{"a":', b"}", 900) + b"}",
    b'{"metadata":{"name":"other"}}',
    b'{"metadata":{"namespace":"other"}}',
)
WRONG_TYPES = (b'{"data":[]}', b'{"data":{"a":1}}', b'{"metadata":[]}', b'{"kind":{}}')

PATCHES: list[tuple[str, bytes, int]] = [
    # Each copy holds all those before it, each add nests one level deeper.
    (JSON_PATCH, b"[%b]" % b",".join(b'{"op":"copy","from":"/data","path":"/data/x%d"}' % n for n in range(60)), 422),
    (
        JSON_PATCH,
        b"[%b]" % b",".join(b'{"op":"add","path":"/data%b","value":{}}' % (b"/x" * n) for n in range(900)),
        422,
    ),
    (JSON_PATCH, b"{}", 400),
    (JSON_PATCH, b"[1]", 400),
    (JSON_PATCH, b"null", 200),
    (JSON_PATCH, b"[]", 200),
    (JSON_PATCH, b'[{"op":"add"}]', 422),
    (JSON_PATCH, b'[{"op":"fly","path":"/data/a"}]', 422),
    (JSON_PATCH, b'[{"op":"add","path":"data","value":1}]', 422),
    (JSON_PATCH, b'[{"op":"add","path":7,"value":1}]', 400),
    (JSON_PATCH, b'[{"op":"remove","path":""}]', 422),
    (JSON_PATCH, b'[{"op":"replace","path":"","value":null}]', 422),
    (JSON_PATCH, b'[{"op":"replace","path":"","value":[]}]', 422),
    (JSON_PATCH, b'[{"op":"remove","path":"/data/~2"}]', 422),
    (JSON_PATCH, b'[{"op":"move","path":"/data/a"}]', 422),
    (JSON_PATCH, b'[{"op":"copy","path":"/a","from":9}]', 400),
    (JSON_PATCH, b'[{"op":"test","path":"/data/a","value":"x"}]', 422),
    (JSON_PATCH, b'[{"op":"add","path":"/metadata/finalizers/99999999999999999999","value":"x"}]', 422),
    (JSON_PATCH, b'[{"op":"add","path":"/metadata/managedFields/-","value":{"fieldsV1":{"f:a":1}}}]', 200),
    (JSON_PATCH, b'[{"op":"replace","path":"/metadata/managedFields","value":[{"fieldsV1":{"k:x":{}}}]}]', 200),
    (JSON_PATCH, b'[{"op":"add","path":"/kind","value":7}]', 422),
    (JSON_PATCH, b'[{"op":"add","path":"/metadata","value":[]}]', 422),
    (JSON_PATCH, b"[" + b",".join([b'{"op":"test","path":"/data/a","value":"b"}'] * 10_001) + b"]", 413),
    (JSON_PATCH, b'[{"op":"add","path":"/data","value":' + nested(b'{"a":', b"}", 900) + b"}]", 400),
    *((kind, body, 400) for kind in (MERGE, STRATEGIC) for body in NO_PATCHES),
    *((kind, body, 422) for kind in (MERGE, STRATEGIC) for body in WRONG_TYPES),
    # Of these upstream tells the text alone.
    (STRATEGIC, b'{"$patch":"fly"}', 500),
    (STRATEGIC, b'{"$patch":7}', 500),
    (STRATEGIC, b'{"$patch":"delete"}', 400),
    (STRATEGIC, b'{"$retainKeys":7}', 400),
    (STRATEGIC, b'{"metadata":{"finalizers":[{"$patch":"delete"}]}}', 200),
    (STRATEGIC, b'{"metadata":{"$deleteFromPrimitiveList/finalizers":7}}', 200),
    (STRATEGIC, b'{"metadata":{"ownerReferences":[{"name":"no-key"}]}}', 422),
    (STRATEGIC, b'{"metadata":{"ownerReferences":7}}', 422),
    (STRATEGIC, b'{"metadata":{"ownerReferences":["x"]}}', 422),
    (APPLY, b"", 400),
    (APPLY, b"[]", 400),
    (APPLY, b"7", 400),
    (APPLY, b"{", 400),
    (APPLY, b"data: {a: b}", 400),
    (APPLY, b"kind: ConfigMap\n", 400),
    (APPLY, b"apiVersion: v1\nkind: Secret\n", 400),
    (APPLY, b"apiVersion: []\nkind: {}\n", 400),
    (APPLY, b"apiVersion: v1\nkind: ConfigMap\nmetadata: 7\n", 500),
    (APPLY, b"apiVersion: v1\nkind: ConfigMap\ndata: 7\n", 500),
    (APPLY, b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n", 400),
    (APPLY, b"apiVersion: v1\nkind: ConfigMap\nmetadata: {managedFields: [{}]}\n", 400),
    (APPLY, b"apiVersion: v1\nkind: ConfigMap\ndata: {a: {b: c}}\n", 500),
    (APPLY, b"\tapiVersion: v1", 400),
    (APPLY, b"\0", 400),
    (APPLY, b"apiVersion: v1\nkind: ConfigMap\nunknown: " + nested(b"[", b"]"), 400),
    (JSON, b"{}", 415),
    ("application/apply-patch+cbor", b"\xa0", 415),
    ("", b"{}", 415),
    ("text/plain", b"", 415),
]

QUERIES: list[tuple[str, str, int]] = [
    ("GET", f"{MAPS}?limit=-1", 200),
    ("GET", f"{MAPS}?limit=x", 400),
    ("GET", f"{MAPS}?limit=1e3", 400),
    ("GET", f"{MAPS}?limit=", 400),
    ("GET", f"{MAPS}?limit=99999999999999999999", 400),
    ("GET", f"{MAPS}?limit=1_0", 400),
    ("GET", f"{MAPS}?limit=%D9%A1", 400),
    ("GET", f"{MAPS}?limit={'9' * 5000}", 400),
    ("GET", f"{MAPS}?resourceVersion=abc", 400),
    ("GET", f"{MAPS}?resourceVersion=-1", 400),
    ("GET", f"{MAPS}?resourceVersion=1.5", 400),
    ("GET", f"{MAPS}?resourceVersion={'9' * 30}", 400),
    ("GET", f"{MAPS}?resourceVersion=%D9%A1", 400),
    ("GET", f"{MAPS}?resourceVersion=1&resourceVersionMatch=Maybe", 422),
    ("GET", f"{MAPS}?resourceVersionMatch=Exact", 422),
    ("GET", f"{MAPS}?continue=garbage", 400),
    ("GET", f"{MAPS}?continue=%ff%fe", 400),
    ("GET", f"{MAPS}?continue=e30", 400),
    ("GET", f"{MAPS}?continue={base64.urlsafe_b64encode(b'[' * 9000).decode()}", 400),
    (
        "GET",
        f"{MAPS}?continue={token(v='meta.k8s.io/v1', rv=10**30, start='x')}",
        400,
    ),
    (
        "GET",
        f"{MAPS}?continue={token(v='meta.k8s.io/v1', rv=-5, start='../x')}",
        400,
    ),
    ("GET", f"{MAPS}?fieldSelector=garbage", 400),
    ("GET", f"{MAPS}?fieldSelector=a.b=c", 400),
    ("GET", f"{MAPS}?fieldSelector=,,,", 200),
    ("GET", f"{MAPS}?labelSelector=!!", 400),
    ("GET", f"{MAPS}?labelSelector=a%20in%20(", 400),
    ("GET", f"{MAPS}?labelSelector=a%20gt%20x", 400),
    ("GET", f"{MAPS}?labelSelector={'a' * 400}", 400),
    ("GET", f"{MAPS}?labelSelector=%00", 400),
    ("GET", f"{MAPS}?labelSelector=%ff", 400),
    ("GET", f"{MAPS}?labelSelector=a%20in%20({','.join(f'v{n}' for n in range(50_000))})", 200),
    ("GET", f"{MAPS}?labelSelector={'(' * 50_000}", 400),
    ("GET", f"{MAPS}?labelSelector={','.join(f'k{n}=v' for n in range(20_000))}", 200),
    ("GET", f"{MAPS}?watch=1&timeoutSeconds=-1", 200),
    ("GET", f"{MAPS}?watch=1&timeoutSeconds=x", 400),
    ("GET", f"{MAPS}?timeoutSeconds={'9' * 40}", 400),
    ("GET", f"{MAPS}?watch=maybe&timeoutSeconds=1", 200),
    ("GET", f"{MAPS}?watch=0", 200),
    ("GET", f"{MAPS}?watch=1&sendInitialEvents=true&timeoutSeconds=1", 422),
    ("GET", f"{MAPS}?watch=1&resourceVersion=x&timeoutSeconds=1", 500),
    ("GET", f"{MAPS}?watch=1&fieldSelector=garbage", 400),
    ("GET", f"{MAPS}?sendInitialEvents=true", 422),
    ("GET", f"{MAPS}?%zz=%zz&&=&;=1", 200),
    ("GET", f"{MAPS}?pretty=%00", 200),
    ("GET", f"{MAPS}/%25", 400),
    ("DELETE", f"{MAPS}/a%25b", 400),
    ("GET", f"{MAPS}/a%2Fb", 404),
    ("GET", f"{MAPS}/%ff", 404),
    ("POST", f"{MAPS}?dryRun=Some", 422),
    ("POST", f"{MAPS}?dryRun=All&dryRun=", 422),
    ("POST", f"{MAPS}?fieldValidation=foo", 422),
    ("POST", f"{MAPS}?fieldManager={'m' * 129}", 422),
    ("POST", f"{MAPS}?fieldManager=%00", 422),
    ("POST", f"{MAPS}?fieldManager=%0a", 422),
    ("PUT", f"{MAPS}/there?dryRun=Some", 422),
    ("PUT", f"{MAPS}/there?fieldManager={'m' * 129}", 422),
    ("DELETE", f"{MAPS}/there?dryRun=Some", 422),
    ("DELETE", f"{MAPS}/there?gracePeriodSeconds=x", 400),
    ("DELETE", f"{MAPS}/there?dryRun=All&gracePeriodSeconds=-1", 200),
    ("DELETE", f"{MAPS}/there?propagationPolicy=Perhaps", 422),
    ("DELETE", f"{MAPS}/there?propagationPolicy=Orphan&orphanDependents=true", 422),
    ("DELETE", f"{MAPS}?labelSelector=!!", 400),
    ("DELETE", f"{MAPS}?dryRun=All&fieldSelector=garbage", 400),
]

PATHS = [
    "/api/v1/namespaces/default/configmaps/a%2Fb",
    "/api/v1/namespaces/default%2Fx/configmaps/a",
    "/api/v1/namespaces/../configmaps/a",
    "/api/v1/namespaces/default/configmaps/..",
    "/api/v1/namespaces/default/configmaps/.",
    "/api/v1/namespaces/default/configmaps/%2e%2e",
    "/api/v1/namespaces/default/configmaps/%00",
    "/api/v1/namespaces/default/configmaps/%ff%fe",
    "/api/v1/namespaces/default/configmaps/%25",
    "//api/v1/configmaps",
    "/api//v1",
    "/api/v1/namespaces/default/configmaps/there/nothing",
    "/api/v1/namespaces/default/configmaps/there/status",
    "/api/v1/namespaces/default/configmaps/there/a/b/c/d",
    "/apis/apps/v9/deployments",
    "/apis/nobody/v1/things",
    "/apis/%00/v1/x",
    "/api/v1/watch",
    "/api/v1/watch/namespaces/default/nothings",
    "/%2fapi/v1",
    "/" + "a" * 20_000,
    "/" + "%41" * 5000,
    "/" + "/" * 5000,
    "/api/v1/" + "x/" * 2000,
    "/openapi/v3/../../etc/passwd",
    "/openapi/v3/apis/apps/v9",
    "/openapi/v3/%00",
    "/openapi/v9",
    "/readyz/nothing",
    "/version/x/y",
    "/metrics/x",
    "/api/v1/nodes/a%2F..%2Fb/proxy/",
    "/api/v1/namespaces/default/configmaps/" + "n" * 5000,
    "/%zz",
    "/api/v1/%zz/x",
    "/*",
    "/api/v1/*",
]

ACCEPTS = [
    ("", 200),
    ("*/*", 200),
    ("nonsense", 406),
    ("application/xml", 406),
    (";;;,,,", 406),
    ("application/json;q=abc", 200),
    ("application/json;as=Nothing;v=v1;g=meta.k8s.io", 406),
    ("application/json;as=Table;v=v9;g=meta.k8s.io", 406),
    (",".join(["text/x"] * 2000), 406),
    (",".join(["text/x"] * 2000) + ",*/*", 200),
    ("application/json;" + "a=b;" * 3000, 200),
    ("\u00e9", 406),
    ("application/json;q=nan,application/yaml;q=inf", 200),
]

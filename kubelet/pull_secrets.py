"""What a pod has to show a registry: its Secrets of dockerconfigjson and dockercfg, as CRI takes them. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

from kubelet import podspec
from machinery.api.resource import Object
from machinery.api.resources import SECRETS, SERVICE_ACCOUNTS
from machinery.client.cache import Cache
from machinery.structs import Struct


class Proof(Struct, frozen=True):
    """That somebody has a credential: the Secret that holds it, and its digest, which does not tell it."""

    uid: str
    namespace: str
    name: str
    digest: str

    def is_of_same(self, other: Proof) -> bool:
        """Whether both are of one credential, or of one Secret whose credential changed."""
        return self.digest == other.digest or (self.uid, self.namespace, self.name) == (
            other.uid, other.namespace, other.name,
        )  # fmt: skip


class Credential(Struct, frozen=True):
    """`auth` is CRI's AuthConfig."""

    auth: Mapping[str, str]
    proof: Proof


def credentials(pod: Object, image: str, cache: Cache) -> list[Credential]:
    """Those of the pod's `imagePullSecrets`, else of its service account's, that fit the image's registry."""
    namespace = podspec.namespace(pod)
    references = list(pod["spec"].get("imagePullSecrets") or ())
    if not references:
        account = cache.get(SERVICE_ACCOUNTS, namespace, pod["spec"].get("serviceAccountName", "default"))
        references = list((account or {}).get("imagePullSecrets") or ())
    found: list[Credential] = []
    for reference in references:
        secret = cache.get(SECRETS, namespace, reference.get("name", ""))
        for registry, entry in _entries(secret).items():
            if _fits(registry, image):
                found.append(_credential(secret or {}, _auth(registry, entry)))
    return found


def missing_secrets(pod: Object, cache: Cache) -> list[str]:
    """The pod's `imagePullSecrets` that are not there."""
    names = [reference.get("name", "") for reference in pod["spec"].get("imagePullSecrets") or ()]
    return [name for name in names if name and cache.get(SECRETS, podspec.namespace(pod), name) is None]


def _entries(secret: Object | None) -> dict[str, Object]:
    data = (secret or {}).get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            auths = json.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths", {})
        else:
            auths = json.loads(base64.b64decode(data[".dockercfg"])) if ".dockercfg" in data else {}
    except ValueError:
        return {}
    return auths if isinstance(auths, dict) else {}


def _fits(registry: str, image: str) -> bool:
    host = registry.removeprefix("https://").removeprefix("http://").removesuffix("/v1/").removesuffix("/")
    if host in ("index.docker.io", "docker.io"):
        first, slash, _ = image.partition("/")
        return not slash or first in ("docker.io", "index.docker.io") or not any(c in first for c in ".:")
    return image.startswith((f"{host}/", f"{host}:"))


def _auth(registry: str, entry: Object) -> dict[str, str]:
    made = {"server_address": registry}
    for field, key in (
        ("username", "username"),
        ("password", "password"),
        ("auth", "auth"),
        ("identitytoken", "identity_token"),
    ):  # noqa: E501
        if entry.get(field):
            made[key] = str(entry[field])
    if "auth" in made and "username" not in made:
        user, _, password = base64.b64decode(made["auth"]).decode(errors="replace").partition(":")
        made |= {"username": user, "password": password}
    return made


def _credential(secret: Object, auth: Mapping[str, str]) -> Credential:
    metadata = secret["metadata"]
    digest = hashlib.sha256(json.dumps(auth, sort_keys=True).encode()).hexdigest()
    return Credential(auth, Proof(metadata.get("uid", ""), metadata.get("namespace", ""), metadata["name"], digest))

"""The kinds that are questions: whose token is this, may they, who am I, what may I; and the tokens that are asked for.

Nothing is stored: an answer is the question with its `status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from apiserver.authn.authenticator import Authenticator
from apiserver.authn.tokens import Reference
from apiserver.authz.rbac import Rbac
from apiserver.registry.metadata import wrong_namespace
from apiserver.request import Attributes, User
from apiserver.rules.access.review_rules import access_review_errors
from apiserver.rules.field_errors import invalid_value
from machinery.api.errors import BadRequest, Unauthorized, conflict, invalid, method_not_allowed, not_found
from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from machinery.client.cache import Cache

_GROUP = "authentication.k8s.io"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SHORTEST = 600
_LONGEST = 1 << 32


class Reviews:
    """Answers by the authenticator, the roles and the objects that the server itself works with."""

    def __init__(self, authenticator: Authenticator, rbac: Rbac, cache: Cache) -> None:
        self._authenticator = authenticator
        self._rbac = rbac
        self._cache = cache

    async def review(self, resource: Resource, obj: Object, user: User) -> Object:
        """`obj` with its status; `resource` is one of the review kinds."""
        answer = {
            "tokenreviews": self._token,
            "selfsubjectreviews": self._self,
            "subjectaccessreviews": self._access,
            "localsubjectaccessreviews": self._local_access,
            "selfsubjectaccessreviews": self._self_access,
            "selfsubjectrulesreviews": self._self_rules,
        }.get(resource.plural)
        if answer is None:
            raise method_not_allowed()
        return {**obj, **answer(obj, user)}

    async def create_token(self, namespace: str, name: str, obj: Object, user: User) -> Object:
        """The TokenRequest `obj` for the ServiceAccount, with the token; raises as upstream does."""
        metadata = obj.get("metadata") or {}
        _check_token_place(metadata, namespace, name)
        account = self._cache.get(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise not_found("serviceaccounts", name)
        uid = account["metadata"]["uid"]
        _check_token_uid(metadata, name, uid)
        spec = obj.get("spec") or {}
        seconds = 3600 if spec.get("expirationSeconds") is None else spec["expirationSeconds"]
        _check_token_span(seconds)
        audiences = list(spec.get("audiences") or self._authenticator.audiences)
        reference = spec.get("boundObjectRef")
        token = self._authenticator.issue_token(
            namespace,
            name,
            uid,
            audiences=audiences,
            expiration_seconds=seconds,
            bound=self._bound(namespace, name, reference) if reference else {},
        )
        now = self._authenticator.clock.now()
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                **metadata,
                "name": name,
                "namespace": namespace,
                "uid": uid,
                "creationTimestamp": now.strftime(_TIME),
            },
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
            "status": {"token": token, "expirationTimestamp": (now + timedelta(seconds=seconds)).strftime(_TIME)},
        }

    def _bound(self, namespace: str, account: str, reference: Mapping[str, str]) -> dict[str, Reference]:
        kind, name = reference.get("kind", ""), reference.get("name", "")
        if reference.get("apiVersion") != "v1" or kind not in ("Pod", "Secret", "Node"):
            group, _, version = reference.get("apiVersion", "").rpartition("/")
            raise BadRequest(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        resource = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}[kind]
        found = self._cache.get(resource, namespace if resource.namespaced else "", name)
        if found is None:
            raise not_found(resource.plural, name)
        bound = {kind.lower(): Reference(name, found["metadata"]["uid"])}
        if kind == "Pod":
            bound |= self._node_of(found, account)
        asked = reference.get("uid")
        if asked and asked != found["metadata"]["uid"]:
            raise conflict(
                kind,
                name,
                f"the UID in the bound object reference ({asked}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        return bound

    def _node_of(self, pod: Object, account: str) -> dict[str, Reference]:
        spec = pod.get("spec") or {}
        if spec.get("serviceAccountName", "") != account:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
            )
        if not spec.get("nodeName"):
            return {}
        node = self._cache.get(NODES, "", spec["nodeName"])
        return {"node": Reference(spec["nodeName"], node["metadata"]["uid"] if node else "")}

    def _token(self, obj: Object, user: User) -> Object:
        spec = obj.get("spec") or {}
        if not spec.get("token"):
            raise BadRequest("token is required for TokenReview in authentication")
        try:
            found, audiences = self._authenticator.verify_token(spec["token"], spec.get("audiences") or ())
        except Unauthorized as error:
            return {"status": {"user": {}, "error": error.message}}
        return {"status": {"authenticated": True, "user": user_info(found), "audiences": list(audiences)}}

    def _self(self, obj: Object, user: User) -> Object:
        now = self._authenticator.clock.now().strftime(_TIME)
        metadata = {**(obj.get("metadata") or {}), "creationTimestamp": now}
        return {"metadata": metadata, "status": {"userInfo": user_info(user)}}

    def _access(self, obj: Object, user: User) -> Object:
        spec = obj.get("spec") or {}
        _check_access(obj, names_subject=True)
        return self._decide(spec, _subject(spec))

    def _local_access(self, obj: Object, user: User) -> Object:
        spec = obj.get("spec") or {}
        _check_access(obj, names_subject=True, is_local=True)
        return self._decide(spec, _subject(spec))

    def _self_access(self, obj: Object, user: User) -> Object:
        _check_access(obj, names_subject=False)
        return self._decide(obj.get("spec") or {}, user)

    def _decide(self, spec: Object, user: User) -> Object:
        decision = self._rbac.authorize(_attributes(spec, user))
        status: Object = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return {"status": status}

    def _self_rules(self, obj: Object, user: User) -> Object:
        namespace = (obj.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise BadRequest("no namespace on request")
        rules, errors = self._rbac.rules_for_user(user, namespace)
        is_node = "system:nodes" in user.groups and user.name.startswith("system:node:")
        if is_node:
            errors = ["node authorizer does not support user rule resolution", *errors]
        status: Object = {
            "resourceRules": [_resource_rule(rule.wire) for rule in rules if rule.resources],
            "nonResourceRules": [_url_rule(rule.wire) for rule in rules if rule.urls],
            "incomplete": bool(errors),
        }
        if errors:
            status["evaluationError"] = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        return {"status": status}


def user_info(user: User) -> Object:
    """`authentication.k8s.io` UserInfo of the user."""
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return info


def _subject(spec: Object) -> User:
    extra = {key.lower(): tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)


def _attributes(spec: Object, user: User) -> Attributes:
    asked = spec.get("resourceAttributes")
    if asked is None:
        urls = spec["nonResourceAttributes"]
        return Attributes(user, urls.get("verb", ""), path=urls.get("path") or "/")
    return Attributes(
        user,
        asked.get("verb", ""),
        api_group=asked.get("group", ""),
        api_version=asked.get("version") or "*",
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
    )


def _resource_rule(wire: Object) -> Object:
    return {key: wire[key] for key in ("verbs", "apiGroups", "resources", "resourceNames") if wire.get(key)}


def _url_rule(wire: Object) -> Object:
    return {key: wire[key] for key in ("verbs", "nonResourceURLs") if wire.get(key)}


def _check_token_place(metadata: Object, namespace: str, name: str) -> None:
    """Raises where the request names another account than the path, which is asked for before all else."""
    if (metadata.get("namespace") or namespace) != namespace:
        raise wrong_namespace()
    if (metadata.get("name") or name) != name:
        cause = invalid_value("metadata.name", metadata["name"], "must match the service account name if specified")
        raise invalid("TokenRequest", name, [cause], _GROUP)


def _check_token_uid(metadata: Object, name: str, uid: str) -> None:
    """Raises Conflict where the request is for an account that had this name before."""
    if (asked := metadata.get("uid") or uid) != uid:
        why = f"the UID in the token request ({asked}) does not match the UID of the service account ({uid})"
        raise conflict("TokenRequest", name, why, _GROUP)


def _check_token_span(seconds: int) -> None:
    detail = ""
    if seconds < _SHORTEST:
        detail = "may not specify a duration less than 10 minutes"
    if seconds > _LONGEST:
        detail = "may not specify a duration larger than 2^32 seconds"
    if detail:
        raise invalid("TokenRequest", "", [invalid_value("spec.expirationSeconds", seconds, detail)], _GROUP)


def _check_access(obj: Object, *, names_subject: bool, is_local: bool = False) -> None:
    if causes := access_review_errors(obj, names_subject=names_subject, is_local=is_local):
        # The kind is empty in upstream's words too: its object has lost it when it is validated.
        raise invalid("", "", causes, "authorization.k8s.io")

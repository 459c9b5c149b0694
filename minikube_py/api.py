"""The cluster's API for the short commands: synchronous and light, so that `status` answers at once.

It speaks to the address in `options.json` with the administrator's certificate; long-lived work uses
`machinery.client.http` instead.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from machinery.structs import Struct
from minikube_py.config import Config


class ApiError(Exception):
    """The API's own message, or why it can't be reached."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Listable(Struct, frozen=True):
    """A resource as discovery tells of it, with the path of its version and its group ("" for the core)."""

    version_path: str
    group: str
    row: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.row["name"])

    @property
    def kind(self) -> str:
        return str(self.row["kind"])

    def path(self, namespace: str = "") -> str:
        """Of the collection, in one namespace or in all."""
        where = f"namespaces/{namespace}/" if namespace else ""
        return f"{self.version_path}/{where}{self.name}"


class Api:
    """One connection to the cluster's API server as its administrator."""

    def __init__(self, config: Config, timeout: float = 10.0) -> None:
        self._config = config
        self._timeout = timeout
        self._connection: http.client.HTTPSConnection | None = None

    def _connected(self) -> http.client.HTTPSConnection:
        if self._connection is None:
            pki = self._config.data_dir / "pki"
            try:
                context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
                context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
            except (OSError, ssl.SSLError) as error:
                raise ApiError(f"no cluster in {self._config.data_dir}: {error}") from None
            context.check_hostname = False
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self._config.port, context=context, timeout=self._timeout
            )
        return self._connection

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The answer's JSON (text where it is none); raises ApiError with the Status' message."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", **({"Content-Type": content_type} if data else {})}
        try:
            connection = self._connected()
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            raise ApiError(f"the API server does not answer on port {self._config.port}: {error}") from None
        try:
            answer: Any = json.loads(raw)
        except ValueError:
            answer = raw.decode(errors="replace")
        if response.status >= 400:
            message = answer.get("message", "") if isinstance(answer, dict) else answer
            raise ApiError(message or f"HTTP {response.status}", response.status)
        return answer

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def find(self, path: str) -> Any:
        """As `get`, None where there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    def listable(self) -> list[Listable]:
        """Everything that can be listed, each in its group's preferred version."""
        groups = [(f"/apis/{group['preferredVersion']['groupVersion']}", group["name"])
                  for group in self.get("/apis")["groups"]]  # fmt: skip
        return [
            Listable(path, group, row)
            for path, group in [("/api/v1", ""), *groups]
            for row in self.get(path)["resources"]
            if "list" in row["verbs"]
        ]

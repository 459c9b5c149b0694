"""A registry that wants a password, and pods with and without the Secret that holds it, on one node."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from machinery.api.resources import SECRETS
from tests.fake_runtime import FakeRuntime
from tests.kubelet_world import World, phase_is, waits_for, world

IMAGE = "registry.example/app:1"
PULLED = f'Container image "{IMAGE}" already present on machine and can be accessed by the pod'


async def secret(found: World, name: str, password: str) -> None:
    auths = {"registry.example": {"username": "me", "password": password}}
    data = {".dockerconfigjson": base64.b64encode(json.dumps({"auths": auths}).encode()).decode()}
    body = {"metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson", "data": data}
    await found.client.create(SECRETS, body, "default")


async def test_an_image_that_a_secret_brought_is_for_pods_that_have_it(tmp_path: Path) -> None:
    runtime = FakeRuntime(registry={IMAGE}, password="right")
    async with world(tmp_path, runtime) as found:
        await secret(found, "wrong", "wrong")
        await secret(found, "right", "right")
        has_it = [{"name": "wrong"}, {"name": "right"}]
        await found.pod("first", {"image": IMAGE}, imagePullSecrets=has_it)
        await found.until("first", phase_is("Running"))
        await found.pod("second", {"image": IMAGE}, imagePullSecrets=has_it)
        await found.until("second", phase_is("Running"))
        assert found.reasons("second") == ["Pulled", "Created", "Started"]
        assert found.events("second")[0]["message"] == PULLED
        await found.pod("without", {"image": IMAGE})
        await found.until("without", waits_for("ErrImagePull"))
        await found.pod("other", {"image": IMAGE}, imagePullSecrets=[{"name": "wrong"}])
        await found.until("other", waits_for("ErrImagePull"))
        await found.pod("never", {"image": IMAGE, "imagePullPolicy": "Never"})
        pod = await found.until("never", waits_for("ErrImageNeverPull"))
        (status,) = pod["status"]["containerStatuses"]
        said = f'Container image "{IMAGE}" is not present with pull policy of Never'
        assert status["state"]["waiting"]["message"] == said


async def test_an_image_that_was_loaded_by_hand_is_everybodys(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE}, password="right")) as found:
        for policy in ("IfNotPresent", "Never"):
            name = policy.lower()
            await found.pod(name, {"image": IMAGE, "imagePullPolicy": policy})
            await found.until(name, phase_is("Running"))
            assert found.events(name)[0]["message"] == PULLED

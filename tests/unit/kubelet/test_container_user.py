"""What of a security context the kubelet tells the runtime: whom to run as, and the profile that confines it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubelet.cri_values import Image
from kubelet.sandboxconfig import ContainerPlan, container_config
from machinery.rpc.wire import CRI


def security(context: dict[str, Any], uid: int | None, username: str) -> dict[str, Any]:
    """What the runtime is told for a container with this security context, of an image with this user."""
    image = Image("sha256:1", (), (), 1, uid, username, pinned=False)
    spec = {"name": "c", "image": "i", "securityContext": context}
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [spec]}}
    plan = ContainerPlan(0, image, "i", {}, (), 1 << 30, Path("/seccomp"))
    made: dict[str, Any] = container_config(pod, spec, plan)["linux"]["security_context"]
    return made


@pytest.mark.parametrize(
    ("context", "uid", "username", "told"),
    [
        ({"runAsUser": 5}, 7, "", {"run_as_user": {"value": 5}}),
        ({}, 7, "", {"run_as_user": {"value": 7}}),
        ({}, None, "web", {"run_as_username": "web"}),
        # kuberuntime_helpers.go, getImageUser: an image without a user runs as root.
        ({}, None, "", {"run_as_user": {"value": 0}}),
        ({"runAsGroup": 3}, None, "", {"run_as_user": {"value": 0}, "run_as_group": {"value": 3}}),
    ],
)
def test_a_container_runs_as_asked_else_as_its_image_says_else_as_root(
    context: dict[str, Any], uid: int | None, username: str, told: dict[str, Any]
) -> None:
    made = security(context, uid, username)
    assert {key: value for key, value in made.items() if key.startswith("run_as")} == told


LOCAL = {"type": "Localhost", "localhostProfile": "profiles/audit.json"}


@pytest.mark.parametrize(
    ("context", "kind", "path"),
    [
        ({}, "Unconfined", ""),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, "RuntimeDefault", ""),
        ({"seccompProfile": LOCAL}, "Localhost", "/seccomp/profiles/audit.json"),
        ({"seccompProfile": LOCAL, "privileged": True}, "Unconfined", ""),
    ],
)
def test_a_local_seccomp_profile_is_a_file_of_the_kubelet_s(context: dict[str, Any], kind: str, path: str) -> None:
    asked = security(context, 0, "")["seccomp"]
    kinds = CRI.enum("runtime.v1.SecurityProfile.ProfileType")
    assert (asked["profile_type"], asked.get("localhost_ref", "")) == (kinds[kind], path)

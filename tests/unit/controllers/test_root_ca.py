"""The published certificate as a table: what is made, mended and left alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controllers.plan import Create, Key, Update
from controllers.root_ca import root_ca_publisher
from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS, NAMESPACES
from tests.known import Known

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ABOUT = "kubernetes.io/description"


def published(data: Object, **annotations: str) -> Object:
    return {"metadata": {"name": "kube-root-ca.crt", "namespace": "n", "annotations": annotations}, "data": data}


@pytest.mark.parametrize(
    ("there", "ends", "expected"),
    [
        (None, False, [Create]),
        (published({"ca.crt": "CA"}, **{ABOUT: "it"}), False, []),
        (published({"ca.crt": "CA"}, **{ABOUT: "another's words"}), False, []),
        (published({"ca.crt": "CA"}), False, [Update]),
        (published({"ca.crt": "old"}, **{ABOUT: "it"}), False, [Update]),
        (published({"ca.crt": "CA", "more": "x"}, **{ABOUT: "it"}), False, [Update]),
        (None, True, []),
    ],
)
def test_every_namespace_that_does_not_end_has_it_as_it_should_be(
    there: Object | None,
    ends: bool,  # noqa: FBT001
    expected: list[type],
) -> None:
    namespace: Object = {"metadata": {"name": "n", **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if ends else {})}}
    known = Known((NAMESPACES, namespace), *([(CONFIG_MAPS, there)] if there is not None else ()))
    controller = root_ca_publisher("CA")
    state = controller.observe(known, Key("", "n"))
    actions = list(controller.plan(state, NOW).actions)
    assert [type(each) for each in actions] == expected
    for action in actions:
        assert isinstance(action, Create | Update)
        assert action.obj["data"] == {"ca.crt": "CA"}
        assert action.obj["metadata"]["annotations"][ABOUT].startswith("Contains a CA bundle")


def test_what_else_is_annotated_stays() -> None:
    there = published({"ca.crt": "old"}, mine="kept")
    known = Known((NAMESPACES, {"metadata": {"name": "n"}}), (CONFIG_MAPS, there))
    controller = root_ca_publisher("CA")
    (update,) = controller.plan(controller.observe(known, Key("", "n")), NOW).actions
    assert isinstance(update, Update)
    assert update.obj["metadata"]["annotations"]["mine"] == "kept"

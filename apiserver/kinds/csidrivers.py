"""CSIDrivers: what a driver is taken to need."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values
from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


def default(driver: Object) -> None:
    default_values(
        driver.setdefault("spec", {}),
        attachRequired=True,
        podInfoOnMount=False,
        storageCapacity=False,
        fsGroupPolicy="ReadWriteOnceWithFSType",
        volumeLifecycleModes=["Persistent"],
        requiresRepublish=False,
        seLinuxMount=False,
    )


RULES = Rules(default=default, has_generation=True)

"""CSIDrivers: what a driver is taken to need."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values
from apiserver.rules.storage.storage_rules import driver_errors, driver_update_errors
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


RULES = Rules(default=default, validate=driver_errors, validate_update=driver_update_errors, has_generation=True)

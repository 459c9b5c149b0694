"""The name by chance of a pod's token volume, in which pods of one template differ."""

from __future__ import annotations

import re

TOKEN_VOLUME = "kube-api-access-"
_NAME = re.compile(rb'"%s[b-z2-9]{5}"' % TOKEN_VOLUME.encode())
_STAND_IN = b'"%s00000"' % TOKEN_VOLUME.encode()
"""As long and as good a name, and never one by chance."""


def without_chance(body: bytes) -> bytes:
    """The JSON of a pod's parts with another name in the place of its one token volume's: as sound as it was."""
    names = set(_NAME.findall(body))
    return body.replace(names.pop(), _STAND_IN) if len(names) == 1 and _STAND_IN not in body else body

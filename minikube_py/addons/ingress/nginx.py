"""The machine's own nginx as a child of this process: started, told of new configurations, started again if it ends.

A configuration is tried by `nginx -t` first; with one that nginx refuses the last one goes on. A change is a reload:
old workers end the requests that they have, and no connection is refused meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from machinery.linux import child
from minikube_py.addons.ingress.certificates import Certificate

LOG = logging.getLogger("ingress")
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0


class NginxError(Exception):
    """nginx refuses; the message is its own."""

    reason = "ConfigurationRefused"


class NginxMissing(NginxError):
    """There is none on this machine; the message says how to get it."""

    reason = "NginxMissing"


def program() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Nginx:
    """`folder` is its own, readable by its workers; what it logs goes to `log`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        self._wanted = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The master's, 0 where none runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def run(self) -> None:
        """Keeps it running while it is wanted; ends it when cancelled."""
        delay = _FIRST_DELAY
        try:
            while True:
                await self._wanted.wait()
                status = await self._once()
                if self._wanted.is_set():
                    LOG.warning("nginx ended with status %s; starting it again", status)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, _LONGEST_DELAY)
                else:
                    delay = _FIRST_DELAY
        finally:
            self.stop(signal.SIGTERM)
            if self._process is not None:
                await self._process.wait()

    async def _once(self) -> int:
        found = program()
        if found is None:
            return 127
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                # One whose cluster was killed would keep its ports from the next start.
                *("setpriv", "--pdeathsig", "TERM", found),
                *("-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        status = await self._process.wait()
        # Of a master that was killed the workers would go on, with the ports that the next one needs.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return status

    async def apply(self, text: str, certificates: Mapping[str, Certificate]) -> None:
        """Makes this the configuration; raises NginxError where nginx refuses it."""
        found = program()
        if found is None:
            raise NginxMissing("nginx is missing; apt-get install nginx-light")
        await asyncio.to_thread(self._write, text, certificates)
        tried = self.folder / "next.conf"
        test = await child.run(found, "-t", "-q", "-p", str(self.folder), "-c", str(tried))
        if test.status:
            raise NginxError(test.stderr.decode(errors="replace").strip())
        await asyncio.to_thread(tried.replace, self.folder / "nginx.conf")
        if self.pid:
            self._signal(signal.SIGHUP)
        self._wanted.set()
        await asyncio.to_thread(self._forget, set(certificates))

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """It ends, by default after the requests that it has."""
        self._wanted.clear()
        self._signal(how)

    def _signal(self, what: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(what)

    def _write(self, text: str, certificates: Mapping[str, Certificate]) -> None:
        # Its workers are another user, who must get through to the folders that the master makes for them.
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        tls = self.folder / "tls"
        tls.mkdir(exist_ok=True, mode=0o700)
        for each in certificates.values():
            file = tls / f"{each.name}.pem"
            if not file.exists():
                draft = file.with_suffix(".draft")
                draft.touch(mode=0o600)
                draft.write_bytes(each.pem)
                draft.replace(file)
        (self.folder / "next.conf").write_text(text)

    def _forget(self, kept: set[str]) -> None:
        """Keys of Secrets that are gone."""
        for file in (self.folder / "tls").glob("*.pem"):
            if file.stem not in kept:
                file.unlink()

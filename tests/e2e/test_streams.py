"""exec, attach, cp and port-forward with every kubectl at hand, and with the clients of Python."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cluster, kubectl
from .test_walk import older_kubectls

pytestmark = pytest.mark.e2e
EVERY_KUBECTL = [kubectl(), *older_kubectls()]
DEADLINE = 60.0
POD = """
apiVersion: v1
kind: Pod
metadata: {name: streams}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: nginx:latest
    imagePullPolicy: IfNotPresent
  - name: shell
    image: busybox:latest
    imagePullPolicy: IfNotPresent
    stdin: true
    command: [sh, -c, "while read line; do echo got $line; done"]
  - name: terminal
    image: busybox:latest
    imagePullPolicy: IfNotPresent
    stdin: true
    tty: true
    command: [sh, -c, "while true; do read line; stty size; echo got $line; done"]
"""


@pytest.fixture(scope="module")
def pod(walked: Cluster) -> Iterator[Cluster]:
    walked.kubectl("apply", "-f", "-", stdin=POD)
    walked.kubectl("wait", "--for=condition=Ready", "pod/streams", "--timeout=60s")
    yield walked
    walked.kubectl("delete", "pod", "streams", "--wait")


def spawn(cluster: Cluster, program: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    command = [program, "--kubeconfig", str(cluster.data_dir / "admin.kubeconfig"), *arguments]
    return subprocess.Popen(command, env=cluster.environment, **options)


def ran(cluster: Cluster, program: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    process = spawn(cluster, program, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(stdin, timeout=DEADLINE)
    return subprocess.CompletedProcess([program, *arguments], process.returncode, out, err)


@pytest.mark.parametrize("program", EVERY_KUBECTL)
def test_exec_brings_output_and_exit_code(pod: Cluster, program: str) -> None:
    done = ran(pod, program, "exec", "streams", "-c", "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert done.stdout == b"out\n"
    assert done.stderr == b"err\ncommand terminated with exit code 3\n"
    assert done.returncode == 3
    done = ran(pod, program, "exec", "-i", "streams", "-c", "shell", "--", "sort", stdin=b"b\na\n")
    assert (done.returncode, done.stdout) == (0, b"a\nb\n")
    done = ran(pod, program, "exec", "streams", "-c", "shell", "--", "no-such-thing")
    assert b'exec: "no-such-thing": executable file not found in $PATH' in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("program", EVERY_KUBECTL)
def test_files_are_copied_both_ways(pod: Cluster, program: str, tmp_path: Path) -> None:
    there = f"/tmp/{Path(program).name}"
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "large").write_bytes(os.urandom(3 << 20))
    (source / "small").write_text("small")
    for arguments in (
        ("cp", "-c", "shell", str(source), f"streams:{there}"),
        ("cp", "-c", "shell", f"streams:{there}", str(back)),
    ):
        done = ran(pod, program, *arguments)
        assert done.returncode == 0, done.stderr
    for name in ("folder/large", "small"):
        assert (back / name).read_bytes() == (source / name).read_bytes()


@pytest.mark.parametrize("program", EVERY_KUBECTL)
def test_ports_are_forwarded(pod: Cluster, program: str) -> None:
    with forwarded(pod, program, ":80", ":81") as (process, ports):
        threads = [threading.Thread(target=pages, args=(ports["80"],)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pages(ports["80"])
        with socket.create_connection(("127.0.0.1", ports["81"]), timeout=DEADLINE) as refused:
            assert refused.recv(1) == b""
        assert process.stderr is not None
        said = process.stderr.readline().decode().replace("\\", "")
    assert re.search(
        r"error forwarding port 81 to pod \w{64}, uid : failed to execute portforward in network namespace .*: "
        r'failed to connect to localhost:81 inside namespace "\w{64}", IPv4: dial tcp4 127.0.0.1:81: connect: '
        r"connection refused IPv6 dial tcp6 \[::1\]:81: connect: connection refused",
        said,
    ), said


def pages(port: int) -> None:
    """A page over one connection and another over a second."""
    for _ in range(2):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE) as response:
            assert b"Welcome to nginx" in response.read()


@contextlib.contextmanager
def forwarded(cluster: Cluster, program: str, *ports: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    """A running port-forward, and the local port of each port of the pod."""
    process = spawn(
        cluster, program, "port-forward", "--address=127.0.0.1", "pod/streams", *ports,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    try:
        found: dict[str, int] = {}
        while len(found) < len(ports):
            line = process.stdout.readline().decode()
            said = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)", line)
            assert said, line + process.stderr.read().decode()
            found[said[2]] = int(said[1])
        yield process, found
    finally:
        process.kill()
        process.communicate()


def test_half_a_connection_is_closed(pod: Cluster) -> None:
    listener = spawn(
        pod, kubectl(), "exec", "streams", "-c", "shell", "--", "nc", "-l", "-p", "7000", "-e", "md5sum",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = "until netstat -ltn | grep -q :7000; do sleep 0.1; done"
    pod.kubectl("exec", "streams", "-c", "shell", "--", "sh", "-c", said)
    data = os.urandom(8 << 20)
    with (
        forwarded(pod, kubectl(), ":7000") as (_, ports),
        socket.create_connection(("127.0.0.1", ports["7000"]), timeout=DEADLINE) as connection,
    ):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100).split()[0].decode() == hashlib.md5(data).hexdigest()
    assert listener.wait(timeout=DEADLINE) == 0
    listener.communicate()


@pytest.mark.parametrize("program", [EVERY_KUBECTL[0], *EVERY_KUBECTL[1:2]])
def test_attached_to_input_and_output(pod: Cluster, program: str) -> None:
    process = spawn(
        pod, program, "attach", "-i", "streams", "-c", "shell",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"got one\n"
    process.stdin.close()
    assert process.wait(timeout=DEADLINE) == 0
    process.stdout.close()
    assert "got one" in pod.kubectl("logs", "streams", "-c", "shell")


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, cluster: Cluster, program: str, *arguments: str, size: tuple[int, int]) -> None:
        import fcntl
        import struct
        import termios

        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.process = spawn(
            cluster, program, *arguments, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._ours = ours
        self._said = b""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, pattern: str) -> str:
        """What it says to the end of the pattern."""
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern.encode(), self._said)):
            assert select.select([self._ours], [], [], max(0, end - time.monotonic()))[0], self._said
            try:
                self._said += os.read(self._ours, 4096)
            except OSError:
                pytest.fail(f"ended without {pattern}: {self._said!r}")
        said, self._said = self._said[: found.end()], self._said[found.end() :]
        return said.decode()

    def close(self) -> int:
        try:
            return self.process.wait(timeout=DEADLINE)
        finally:
            self.process.kill()
            os.close(self._ours)


@pytest.mark.parametrize("program", [EVERY_KUBECTL[0], *EVERY_KUBECTL[1:2]])
def test_a_terminal_with_its_size_and_exit_code(pod: Cluster, program: str) -> None:
    shell = Terminal(pod, program, "exec", "-it", "streams", "-c", "shell", "--", "sh", size=(33, 101))
    shell.until("/ # ")
    shell.type("stty size; tty; echo $TERM\n")
    shell.until(r"33 101\r\n/dev/pts/\d+\r\nxterm")
    shell.type("exit 5\n")
    assert shell.close() == 5
    attached = Terminal(pod, program, "attach", "-it", "streams", "-c", "terminal", size=(34, 102))
    attached.until("try pressing enter")
    # The size and what is typed are on their way side by side.
    said = ""
    while "34 102\r\n" not in said:
        attached.type("word\n")
        said = attached.until("got word\r\n")
    attached.process.send_signal(signal.SIGINT)
    attached.close()


def test_a_container_to_debug_with(pod: Cluster) -> None:
    process = spawn(
        pod, kubectl(), "debug", "-i", "streams", "--image=busybox:latest", "--image-pull-policy=IfNotPresent", "-q",
        "--", "sh", "-c", "read word; echo read $word",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"this\n")
    process.stdin.flush()
    assert b"read this\n" in iter(process.stdout.readline, b"")
    process.communicate(timeout=DEADLINE)


def test_run_and_attach(pod: Cluster) -> None:
    done = ran(
        pod, kubectl(), "run", "attached", "--image=busybox:latest", "--image-pull-policy=IfNotPresent", "-i", "--rm",
        "--restart=Never", "--", "sh", "-c", "read word; echo read $word; exit 4", stdin=b"this\n",
    )  # fmt: skip
    assert b"read this\n" in done.stdout, done.stderr
    assert done.returncode == 4


@pytest.mark.parametrize("program", [EVERY_KUBECTL[0], *EVERY_KUBECTL[1:2]])
def test_much_passes_both_ways_in_little_memory(pod: Cluster, program: str) -> None:
    import json

    pid = json.loads(pod.cli("status", "--output", "json").stdout)["pid"]
    size = 128 << 20
    before = resident(pid)
    done = ran(pod, program, "exec", "streams", "-c", "shell", "--", "head", "-c", str(size), "/dev/zero")
    assert len(done.stdout) == size
    done = ran(pod, program, "exec", "-i", "streams", "-c", "shell", "--", "wc", "-c", stdin=bytes(size))
    assert int(done.stdout) == size
    assert resident(pid) - before < 32 << 20


def resident(pid: int) -> int:
    """The most memory that the process ever had, in bytes."""
    said = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", said)
    assert found
    return int(found[1]) << 10


@pytest.mark.parametrize(
    ("verbs", "may"), [(["get"], False), (["create"], False), (["get", "create"], True)], ids=["get", "create", "both"]
)
def test_reading_is_not_enough_to_run_commands(pod: Cluster, verbs: list[str], may: bool) -> None:
    user = f"runner-{uuid.uuid4().hex[:6]}"
    rules = [f"--verb={','.join(verbs)}", "--resource=pods/exec"]
    pod.kubectl("create", "role", user, *rules)
    pod.kubectl("create", "rolebinding", user, f"--role={user}", f"--user={user}")
    pod.kubectl("create", "role", f"{user}-look", "--verb=get", "--resource=pods")
    pod.kubectl("create", "rolebinding", f"{user}-look", f"--role={user}-look", f"--user={user}")
    done = ran(pod, kubectl(), f"--as={user}", "exec", "streams", "-c", "shell", "--", "echo", "ran")
    if may:
        assert done.stdout == b"ran\n"
    elif verbs == ["get"]:
        assert f'User "{user}" cannot create resource "pods/exec"'.encode() in done.stderr
    else:
        # The WebSocket is refused, and SPDY's POST asks for nothing but create.
        assert done.stdout == b"ran\n"


@pytest.fixture(scope="module")
def core(pod: Cluster) -> Any:
    config = pytest.importorskip("kubernetes.config")
    client = pytest.importorskip("kubernetes.client")
    configuration = client.Configuration()
    config.load_kube_config(str(pod.data_dir / "admin.kubeconfig"), client_configuration=configuration)
    return client.CoreV1Api(client.ApiClient(configuration))


LEAVES_SOCKETS = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""What the clients of Python leave open is theirs."""


@pytest.fixture
def swept() -> Iterator[None]:
    """What was left open is found here, not in a test that comes later."""
    yield
    gc.collect()


@LEAVES_SOCKETS
@pytest.mark.usefixtures("swept")
def test_python_runs_commands(core: Any) -> None:
    from kubernetes.stream import stream

    command = ["sh", "-c", "read a; echo out $a; echo err >&2; exit 3"]
    found = stream(
        core.connect_get_namespaced_pod_exec, "streams", "default", container="shell", command=command,
        stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
    )  # fmt: skip
    found.write_stdin("word\n")
    found.run_forever(timeout=DEADLINE)
    assert (found.read_stdout(), found.read_stderr(), found.returncode) == ("out word\n", "err\n", 3)
    said = stream(
        core.connect_get_namespaced_pod_exec, "streams", "default", container="shell", command=["echo", "plain"],
        stdout=True, stderr=True, stdin=False, tty=False,
    )  # fmt: skip
    assert said == "plain\n"


@LEAVES_SOCKETS
@pytest.mark.usefixtures("swept")
def test_python_forwards_ports(core: Any) -> None:
    from kubernetes.stream import portforward

    found = portforward(core.connect_get_namespaced_pod_portforward, "streams", "default", ports="80")
    connection = found.socket(80)
    connection.setblocking(True)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    page = b""
    while piece := connection.recv(4096):
        page += piece
    assert b"Welcome to nginx" in page
    assert found.error(80) is None


@LEAVES_SOCKETS
@pytest.mark.usefixtures("swept")
async def test_python_with_asyncio_runs_commands(pod: Cluster) -> None:
    config = pytest.importorskip("kubernetes_asyncio.config")
    from kubernetes_asyncio.client import CoreV1Api
    from kubernetes_asyncio.stream import WsApiClient

    configuration = pytest.importorskip("kubernetes_asyncio.client").Configuration()
    await config.load_kube_config(str(pod.data_dir / "admin.kubeconfig"), client_configuration=configuration)
    async with WsApiClient(configuration) as api:
        core: Any = CoreV1Api(api)
        said = await core.connect_get_namespaced_pod_exec(
            "streams", "default", container="shell", command=["echo", "hello"],
            stderr=True, stdin=False, stdout=True, tty=False,
        )  # fmt: skip
    assert said == "hello\n"

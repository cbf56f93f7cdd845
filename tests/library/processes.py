"""Real processes that meet over loopback, which can neither hang nor stay."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Processes:
    """Several processes of one command; a context at whose end none is left."""

    def __init__(self, commands: Sequence[Sequence[str]], devices: int = 1):
        """Starts them, on ``devices`` CPU devices each."""
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{Path(__file__).parent}",
            "PYTHONUNBUFFERED": "1",
        }
        # Files, as a pipe that nobody reads would hold a process up.
        self._outputs = [
            tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed at the end)
            for _ in commands
        ]
        self.all = [
            subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            for command, output in zip(commands, self._outputs, strict=True)
        ]

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *exception) -> None:
        for process in self.all:
            process.kill()
            process.wait()
        for output in self._outputs:
            output.close()

    def output(self, index: int) -> str:
        self._outputs[index].seek(0)
        return self._outputs[index].read()

    def everything(self) -> str:
        return "\n".join(
            f"--- process {i}, exit status {process.poll()}\n{self.output(i)}"
            for i, process in enumerate(self.all)
        )

    def finish(self, timeout: float) -> None:
        """Waits until all have succeeded; fails as soon as one has not."""
        for _ in self.poll(timeout):
            codes = [process.poll() for process in self.all]
            assert not any(codes), self.everything()
            if all(code == 0 for code in codes):
                return

    def exit_codes(self, timeout: float) -> list[int | None]:
        """Waits until all have ended, whichever way."""
        for _ in self.poll(timeout):
            codes = [process.poll() for process in self.all]
            if None not in codes:
                return codes
        raise AssertionError  # poll has an end only by an error of its own

    def poll(self, timeout: float) -> Iterator[None]:
        """Returns an endless iterator, for a loop that waits; fails after a time."""
        deadline = time.monotonic() + timeout
        while True:
            yield
            assert time.monotonic() < deadline, f"too slow\n{self.everything()}"
            time.sleep(0.005)


@contextlib.contextmanager
def two_processes(command: Sequence[str], devices: int = 1) -> Iterator[Processes]:
    """Two processes of one command, each with the options that name it."""
    options = ["--coordinator-address", f"127.0.0.1:{free_port()}"]
    options += ["--num-processes", "2", "--process-id"]
    commands = [[*command, *options, str(index)] for index in range(2)]
    with Processes(commands, devices) as processes:
        yield processes

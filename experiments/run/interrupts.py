"""Ctrl-C where it does no harm."""

import signal
from collections.abc import Callable
from types import FrameType


class DeferredInterrupt:
    """A context in which Ctrl-C is kept until :meth:`raise_if_pending`.

    In the middle of an epoch it would hit a writer's queue or a checkpoint, which may
    then wait for ever for their threads. A second Ctrl-C acts at once.
    """

    def __init__(self):
        self._pending = False
        # Only where Ctrl-C has its usual meaning: not where it is ignored, as in a
        # shell's background, nor in a program with a handler of its own.
        self._usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def __enter__(self) -> "DeferredInterrupt":
        if self._usual:
            signal.signal(signal.SIGINT, self._keep)
        return self

    def __exit__(self, *exception) -> None:
        if self._usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def raise_if_pending(self, agree: Callable[[bool], bool] = bool) -> None:
        """Raises KeyboardInterrupt if Ctrl-C has been pressed.

        Args:
          agree: maps whether it has been here to whether it has been in any process;
            all must stop after the same epoch, or some would wait for the others.
        """
        if agree(self._pending):
            raise KeyboardInterrupt

    def _keep(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._pending = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

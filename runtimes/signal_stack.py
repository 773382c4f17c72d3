"""Keeping the stack that a thread's signals are handled on."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Put this thread's alternate signal stack back as it was.

    OpenVINO's CPU device gives one to the thread that loads it, and unmaps it in whichever thread its last
    model ends. If that is another thread, the next signal here ends the process without a word: Ctrl-C, say.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    system, before = ctypes.CDLL(None), _Stack()
    known = system.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            system.sigaltstack(ctypes.byref(before), None)

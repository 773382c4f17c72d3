"""Memory that was freed and that the system does not have back yet."""

from __future__ import annotations

import ctypes
import gc
import sys


def return_unused_memory() -> None:
    """Give it back, as far as the C library can.

    An error and the frames of the stack that it was raised through hold each other, and with them pictures,
    until Python looks for such circles, which it may do hours later. glibc keeps what is freed between pieces
    that are in use. A source that was opened again and again made a process grow by 30 MB an hour so.
    """
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
        if trim is not None:
            trim(ctypes.c_size_t(0))

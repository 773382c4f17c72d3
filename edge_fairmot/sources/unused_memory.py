"""Memory that was freed and that the system does not have back yet."""

from __future__ import annotations

import ctypes
import sys


def return_unused_memory() -> None:
    """Give it back; where the C library cannot, nothing happens.

    glibc keeps what is freed between pieces that are in use. A source that is opened again and again, each
    time in threads of its own and with other decoders' pictures, made a process grow by 30 MB an hour so.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
        if trim is not None:
            trim(ctypes.c_size_t(0))

"""Whether this processor adds up int8 products without loss."""

from __future__ import annotations

import re
from pathlib import Path

from edge_fairmot.system_file import read_text

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Instructions that add up int8 products in 32 bits, as Linux names them."""


def int8_sums_overflow(root: Path = Path("/")) -> bool:
    """Tell whether fast int8 kernels may give wrong sums here: on x86 processors without VNNI.

    They add up pairs of products in 16 bits there, which weights that use all 8 bits overflow (onnxruntime
    issues 12072 and 14642; oneDNN calls it saturation of the intermediate).

    Parameters
    ----------
    root : Path
        Where ``proc`` is.
    """
    # ARM has "Features" in the place of flags, and no such instructions.
    flags = re.search(r"^flags\s*:(.*)$", read_text(root / "proc/cpuinfo"), re.MULTILINE)
    return flags is not None and VNNI.isdisjoint(flags[1].split())

"""What is not needed any more is not kept for ever."""

import subprocess
import sys

import pytest

SCRIPT = """
import re
from pathlib import Path
from edge_fairmot.sources.live import return_unused_memory

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

{leave}
before = resident_mb()
return_unused_memory()
print(before - resident_mb())
"""

BETWEEN_PIECES_IN_USE = """
pieces = [bytes([1]) * 100_000 for _ in range(1000)]
kept = pieces[::50]
del pieces
"""

HELD_BY_A_CIRCLE = """
circle = [bytes([1]) * 100_000_000]
circle.append(circle)
del circle
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
@pytest.mark.parametrize("leave", [BETWEEN_PIECES_IN_USE, HELD_BY_A_CIRCLE], ids=["pieces", "circle"])
def test_it_goes_back_to_the_system(leave):
    script = SCRIPT.replace("{leave}", leave)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(ran.stdout) > 50

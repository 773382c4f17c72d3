"""What was freed is not kept for ever."""

import subprocess
import sys

import pytest

SCRIPT = """
import re
from pathlib import Path
from edge_fairmot.sources.unused_memory import return_unused_memory

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

pieces = [bytes([1]) * 100_000 for _ in range(1000)]
kept = pieces[::50]
del pieces
before = resident_mb()
return_unused_memory()
print(before - resident_mb())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_what_lies_between_pieces_in_use_goes_back_to_the_system():
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert float(ran.stdout) > 50

"""Exit with 1 unless two tracks.txt hold the same identities and boxes: same_tracks.py ONE OTHER [PIXELS]."""

import sys
from pathlib import Path

import numpy as np

from edge_fairmot.benchmarks.mot_text import read_mot_text

FLOAT_PX = 0.05
"""Sums in another order, at the source's scale; a file rounds to 0.001."""

one, other = (read_mot_text(Path(name)) for name in sys.argv[1:3])
within = float(sys.argv[3]) if len(sys.argv) > 3 else FLOAT_PX
if len(one) != len(other):
    sys.exit(f"{len(one)} boxes and {len(other)}")
order_one, order_other = (np.lexsort((rows.track_id, rows.frame)) for rows in (one, other))
for name in ("frame", "track_id"):
    if not np.array_equal(getattr(one, name)[order_one], getattr(other, name)[order_other]):
        sys.exit(f"the columns {name} differ")
gap = np.abs(one.xyxy[order_one] - other.xyxy[order_other]).max(initial=0)
if len(one) == 0 or gap > within:
    sys.exit(f"boxes differ by up to {gap:.3f} px" if len(one) else "there are no boxes to compare")
print(f"same: {len(one)} boxes, {len(set(one.track_id.tolist()))} identities, within {gap:.3f} px")

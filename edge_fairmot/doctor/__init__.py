"""What a device has, and what stands in the way: one file an organ, findings out."""

from edge_fairmot.doctor.cameras import examine_cameras
from edge_fairmot.doctor.finding import Finding
from edge_fairmot.doctor.heat import examine_heat
from edge_fairmot.doctor.software import examine_extras, examine_probes, examine_runtimes
from edge_fairmot.doctor.system import Board, examine_disk, examine_system, read_board

__all__ = [
    "Board",
    "Finding",
    "examine_cameras",
    "examine_disk",
    "examine_extras",
    "examine_heat",
    "examine_probes",
    "examine_runtimes",
    "examine_system",
    "read_board",
]

"""Many videos, tracked by workers: processes of this machine, or actors of a Ray cluster."""

from edge_fairmot.fleet.driver import Driver, Running
from edge_fairmot.fleet.jobs import Job, Kind, Message, Outcome, Progress, Task, Tracking, Workers
from edge_fairmot.fleet.processes import ProcessWorkers
from edge_fairmot.fleet.ray_workers import RayWorkers
from edge_fairmot.fleet.results import Plan, Record, Results, make_plan
from edge_fairmot.fleet.videos import find_videos, longest_first

__all__ = [
    "Driver",
    "Job",
    "Kind",
    "Message",
    "Outcome",
    "Plan",
    "ProcessWorkers",
    "Progress",
    "RayWorkers",
    "Record",
    "Results",
    "Running",
    "Task",
    "Tracking",
    "Workers",
    "find_videos",
    "longest_first",
    "make_plan",
]

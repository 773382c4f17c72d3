"""What a benchmark found, as it is kept: frozen dataclasses, and JSON with a schema version.

Everything that was timed is in it, frame by frame, so that two runs can be compared by their samples. Numbers
that a system or a run cannot tell are null.
"""

from __future__ import annotations

from dataclasses import dataclass

import edge_fairmot
from edge_fairmot.benchmarks.device.conditions import Conditions
from edge_fairmot.benchmarks.device.machine import Machine
from edge_fairmot.benchmarks.scores import Correctness
from edge_fairmot.benchmarks.speed.figures import Speed

RESULTS_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for; results of other settings are not comparable.

    Attributes
    ----------
    frames : int
        Of each source, at most.
    score_threshold : float
    threads : int or None
        For one inference; None leaves it to the backend.
    warm_up : int
        Inferences before anything is timed.
    live_s : float
        How much of each source is played at its own pace, seconds.
    detect_every : int or None
        The interval that accuracy at device speed is told for besides 1; None for the least with which a
        contender keeps up.
    """

    frames: int = 300
    score_threshold: float = 0.4
    threads: int | None = None
    warm_up: int = 3
    live_s: float = 10.0
    detect_every: int | None = None


@dataclass(frozen=True, slots=True)
class Footage:
    """One source of frames.

    Attributes
    ----------
    name : str
    frame_size : (int, int)
        Width and height, pixels.
    frame_rate : float
    frames : int
        Measured.
    sha256 : str
        Of the file; empty for a folder of pictures.
    ground_truth : str
        Its file; empty where there is none.
    """

    name: str
    frame_size: tuple[int, int]
    frame_rate: float
    frames: int
    sha256: str
    ground_truth: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file, as its manifest describes it.

    Attributes
    ----------
    name : str
        File name, or the path where two files have the same.
    size_bytes : int
    graph_sha256, checkpoint_sha256 : str
    precision : str
    input_size : (int, int)
    lowering : str
        Of the deformable convolutions.
    rewrites : tuple of str
    calibration : str
    """

    name: str
    size_bytes: int
    graph_sha256: str
    checkpoint_sha256: str
    precision: str
    input_size: tuple[int, int]
    lowering: str
    rewrites: tuple[str, ...]
    calibration: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a file on a runtime.

    Attributes
    ----------
    model : ModelFile
    runtime : str
        As asked for.
    group : int
        Entries of one group were measured in turn, and are comparable to the percent; those of different
        groups had the machine at different times.
    failure : str
        Why there are no figures, in one line; empty where there are.
    speed : Speed or None
    correctness : Correctness or None
    """

    model: ModelFile
    runtime: str
    group: int = 0
    failure: str = ""
    speed: Speed | None = None
    correctness: Correctness | None = None

    @property
    def name(self) -> str:
        """File and runtime."""
        return f"{self.model.name} on {self.runtime}"

    @property
    def done(self) -> bool:
        """Whether it has all its figures."""
        return self.speed is not None and self.correctness is not None


@dataclass(frozen=True, slots=True)
class Results:
    """One benchmark.

    Attributes
    ----------
    made_at : str
        UTC, ISO 8601.
    ended : str
        Why it ended before its end; empty for a whole one.
    machine : Machine
    settings : Settings
    footage : tuple of Footage
    reference : str
        Name of the entry that the others are compared with.
    entries : tuple of Entry
    conditions : tuple of Conditions
        By group.
    notes : tuple of str
        What a reader should know before believing a figure.
    schema_version : int
    toolkit_version : str
        Version of the toolkit.
    """

    made_at: str
    ended: str
    machine: Machine
    settings: Settings
    footage: tuple[Footage, ...]
    reference: str
    entries: tuple[Entry, ...]
    conditions: tuple[Conditions, ...]
    notes: tuple[str, ...] = ()
    schema_version: int = RESULTS_SCHEMA_VERSION
    toolkit_version: str = edge_fairmot.__version__

    @property
    def has_truth(self) -> bool:
        """Whether scores are against ground truth."""
        return bool(self.footage) and all(footage.ground_truth for footage in self.footage)

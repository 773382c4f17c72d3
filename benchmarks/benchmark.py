"""One benchmark: contenders measured in groups, judged from what they recorded, summed up in results.

The folder of a benchmark holds ``results.json``, the reports, and in ``tapes/`` what every contender found in
every source: scores, accuracy at device speed and pictures all come from there, and a run that is taken up
again need not infer anything twice.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from itertools import zip_longest
from pathlib import Path

import numpy as np

from edge_fairmot.benchmarks.contenders import Starter
from edge_fairmot.benchmarks.correctness import Recording, Yardstick, judge_contender, worst_frames
from edge_fairmot.benchmarks.device.conditions import Conditions, ConditionsLog
from edge_fairmot.benchmarks.device.machine import describe_machine
from edge_fairmot.benchmarks.device_speed import FrameCosts
from edge_fairmot.benchmarks.disagreement import Disagreement
from edge_fairmot.benchmarks.footage import describe_footage, read_truth
from edge_fairmot.benchmarks.results import Entry, ModelFile, Results, Settings
from edge_fairmot.benchmarks.speed.contender import Job
from edge_fairmot.benchmarks.speed.rounds import Measurement, block_length, measure
from edge_fairmot.benchmarks.speed.summary import summarise
from edge_fairmot.errors import EvaluationError, InvalidInputError
from edge_fairmot.sources import open_source
from edge_fairmot.tape import read_tape
from edge_fairmot.types import UInt8Array

TAPES = "tapes"

NOT_BEGUN = "not begun when the run was interrupted"

UNRECORDED = "neither its tapes nor those it was compared with are there: run the same command again"


class Benchmark:
    """Measures contenders on the same frames and keeps their rows.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    sources : sequence of str
        Videos, picture folders or sequences.
    ground_truth : sequence of Path
        One for each source, or none.
    settings : Settings
    preferred_reference : str
        Name of the model that the others are compared with; empty for the first in float32.
    earlier : Results, optional
        Of the same folder, to be taken up again.

    Raises
    ------
    EdgeFairmotError
        If a source or the ground truth cannot be read, or the earlier results are of other settings.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[str],
        ground_truth: Sequence[Path],
        settings: Settings,
        *,
        preferred_reference: str = "",
        earlier: Results | None = None,
    ) -> None:
        if ground_truth and len(ground_truth) != len(sources):
            raise InvalidInputError(
                f"{len(sources)} of --video and {len(ground_truth)} of --gt: give one --gt for each --video"
            )
        self._folder, self._sources, self._settings = folder, tuple(sources), settings
        self._truth = [read_truth(path, settings.frames) for path in ground_truth]
        self._footage = [
            describe_footage(source, settings.frames, str(truth))
            for source, truth in zip_longest(sources, ground_truth, fillvalue="")
        ]
        self._machine = describe_machine()
        self._preferred = preferred_reference
        self._reference = ""
        self._entries: dict[str, Entry] = {}
        self._conditions: list[Conditions] = []
        self.notes: list[str] = []
        if earlier is not None:
            self._take_up(earlier)
        (folder / TAPES).mkdir(parents=True, exist_ok=True)

    @property
    def frames(self) -> int:
        """Frames of all sources that a contender is measured on, as far as they are known beforehand."""
        return sum(footage.frames for footage in self._footage)

    def is_done(self, starter: Starter) -> bool:
        """Whether a row has all its figures, of the same graph."""
        found = self._entries.get(starter.entry.name)
        return found is not None and found.done and found.model.graph_sha256 == starter.model.graph_sha256

    def add_failure(self, model: ModelFile, runtime: str, reason: str) -> None:
        """Keep a row for what could not even be begun."""
        entry = Entry(model, runtime, len(self._conditions), reason)
        self._entries[entry.name] = entry

    def measure(
        self,
        starters: Sequence[Starter],
        on_turn: Callable[[Measurement, str], None] = lambda measurement, what: None,
    ) -> None:
        """Measure a group side by side and judge it; what an interruption leaves is kept.

        Parameters
        ----------
        starters : sequence of Starter
        on_turn : callable, optional
            See :func:`edge_fairmot.benchmarks.speed.rounds.measure`.
        """
        measurements: dict[str, Measurement] = {}
        group, origin_s = len(self._conditions), 0.0
        for starter in starters:
            if starter.entry.name == self._reference:
                self._reference = ""  # others were compared with a recording that this one takes the place of
            self._entries[starter.entry.name] = replace(starter.entry, group=group, failure=NOT_BEGUN)

        def keep(measurement: Measurement, what: str) -> None:
            measurements[str(measurement.job.tapes)] = measurement
            on_turn(measurement, what)

        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            log = stack.enter_context(ConditionsLog())
            origin_s = log.origin_s
            jobs = [self._job(starter, scratch / str(index)) for index, starter in enumerate(starters)]
            try:
                measure(jobs, block_length(self.frames), self._settings.live_s, meter=log.meter, on_turn=keep)
            finally:
                self._conditions.append(log.conditions())
                for starter, job in zip(starters, jobs, strict=True):
                    if (measurement := measurements.get(str(job.tapes))) is not None:
                        self._enter(replace(starter.entry, group=group), measurement, origin_s)
        self.judge()

    def judge(self) -> None:
        """Score the rows that have been measured whole and not been scored; all, by another reference."""
        recordings = {
            name: found
            for name, entry in self._entries.items()
            if (found := self._recordings(entry)) is not None
        }
        if not recordings:
            return
        if self._reference not in recordings:
            self._reference = self._choose_reference(recordings)
            self._forget_scores(recordings)
        self._footage = [
            replace(footage, frames=len(recording.tape))
            for footage, recording in zip(self._footage, recordings[self._reference], strict=True)
        ]
        yardstick = self._yardstick(recordings[self._reference])
        for name, found in recordings.items():
            if self._entries[name].correctness is None:
                self._entries[name] = replace(
                    self._entries[name], correctness=judge_contender(found, yardstick)
                )

    def results(self, ended: str = "") -> Results:
        """Sum up what is there.

        Parameters
        ----------
        ended : str
            Why it ended before its end; empty for a whole one.
        """
        return Results(
            made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            ended=ended,
            machine=self._machine,
            settings=self._settings,
            footage=tuple(self._footage),
            reference=self._reference,
            entries=tuple(self._entries.values()),
            conditions=tuple(self._conditions),
            notes=tuple(self.notes),
        )

    def worst_frames(self, count: int) -> dict[str, list[Disagreement]]:
        """Find, for each row but the reference, the frames that differ most from it, with their pictures.

        Parameters
        ----------
        count : int
            Of each row, at most.
        """
        done = {name: entry for name, entry in self._entries.items() if entry.done}
        reference = done.get(self._reference)
        recorded = self._recordings(reference) if count and reference is not None else None
        if recorded is None:
            return {}
        yardstick = self._yardstick(recorded)
        worst = {
            name: worst_frames(found, yardstick, count)
            for name, entry in done.items()
            if name != self._reference and (found := self._recordings(entry)) is not None
        }
        images = self._pictures({(frame.sequence, frame.frame) for row in worst.values() for frame in row})
        return {
            name: [replace(frame, image=images[frame.sequence, frame.frame]) for frame in row]
            for name, row in worst.items()
        }

    def _take_up(self, earlier: Results) -> None:
        for what, ours, theirs in (
            ("settings", self._settings, earlier.settings),
            ("machine", str(self._machine), str(earlier.machine)),
            ("footage", [f.name for f in self._footage], [f.name for f in earlier.footage]),
            ("ground truth", *([f.ground_truth for f in fs] for fs in (self._footage, earlier.footage))),
        ):
            if ours != theirs:
                raise EvaluationError(
                    f"{self._folder} holds results of another {what} ({theirs}, not {ours}): "
                    "choose another folder with -o, or remove it"
                )
        self._entries = {
            entry.name: entry
            for entry in earlier.entries
            # One that was interrupted in the product's loop has no throughput, and begins again.
            if entry.done and entry.speed is not None and entry.speed.throughput_fps is not None
        }
        self._conditions, self.notes = list(earlier.conditions), list(earlier.notes)
        if earlier.reference in self._entries:
            self._reference = earlier.reference
        else:  # what was held against it is held against another
            self._entries = {name: replace(e, correctness=None) for name, e in self._entries.items()}
            self.judge()

    def _job(self, starter: Starter, scratch: Path) -> Job:
        scratch.mkdir()
        return Job(
            model=starter.path,
            runtime=starter.runtime,
            sources=self._sources,
            tapes=self._tapes(starter.entry.name),
            scratch=scratch,
            frames=self._settings.frames,
            score_threshold=self._settings.score_threshold,
            threads=self._settings.threads,
            warm_up=self._settings.warm_up,
        )

    def _tapes(self, name: str) -> tuple[Path, ...]:
        slug = re.sub(r"[^\w.-]+", "-", name)
        return tuple(
            self._folder / TAPES / f"{slug}-{number}.npz" for number in range(1, 1 + len(self._sources))
        )

    def _enter(self, entry: Entry, measurement: Measurement, origin_s: float) -> None:
        if measurement.failure:
            entry = replace(entry, failure=measurement.failure)
        elif not measurement.frames:
            entry = replace(entry, failure=NOT_BEGUN)
        else:
            cut = "" if measurement.finished else f"interrupted after {measurement.frames} frames"
            entry = replace(entry, speed=summarise(measurement, origin_s), failure=cut)
        self._entries[entry.name] = entry

    def _recordings(self, entry: Entry) -> tuple[Recording, ...] | None:
        """Read what a row was recorded as; None where it was not measured to the end."""
        if entry.speed is None or entry.failure:
            return None
        recordings, begin = [], 0
        for source, path in zip(self._sources, self._tapes(entry.name), strict=True):
            if not path.exists():  # removed since the results were written
                return None
            tape = read_tape(path)
            part = slice(begin, begin + len(tape))
            begin = part.stop
            stage_s = {stage: np.array(ms[part]) / 1e3 for stage, ms in entry.speed.times.stage_ms.items()}
            costs = FrameCosts(
                time_s=tape.time_s,
                decode_s=stage_s["decode"],
                letterbox_s=stage_s["letterbox"],
                inference_s=stage_s["inference"],
                output_s=stage_s["association"] + stage_s["sinks"],
            )
            recordings.append(Recording(source, tape, costs))
        return tuple(recordings) if begin == len(entry.speed.times) else None

    def _forget_scores(self, recorded: Container[str]) -> None:
        """Drop what was held against an earlier reference; who left no recording cannot be scored again."""
        for name, entry in self._entries.items():
            whole = entry.speed is not None and not entry.failure
            failure = UNRECORDED if whole and name not in recorded else entry.failure
            self._entries[name] = replace(entry, correctness=None, failure=failure)

    def _choose_reference(self, names: Iterable[str]) -> str:
        able = [self._entries[name] for name in names]
        wanted = [entry for entry in able if entry.model.name == self._preferred]
        exact = [entry for entry in able if entry.model.precision == "fp32"]
        return [*wanted, *exact, *able][0].name

    def _yardstick(self, reference: tuple[Recording, ...]) -> Yardstick:
        truth = tuple(
            rows.select(rows.frame <= len(recording.tape))
            for rows, recording in zip(self._truth, reference, strict=False)
        )
        return Yardstick(
            reference, truth or None, self._settings.score_threshold, self._settings.detect_every
        )

    def _pictures(self, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], UInt8Array]:
        images: dict[tuple[str, int], UInt8Array] = {}
        for name in self._sources:
            left = {frame for source, frame in wanted if source == name}
            with open_source(name) as source:
                for place, frame in enumerate(source):
                    if not left:
                        break
                    if place in left:
                        left.discard(place)
                        images[name, place] = frame.image
        return images

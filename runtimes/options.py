"""What a user may ask of any backend. Each honours what it can and refuses the rest by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

from edge_fairmot.errors import InvalidInputError

PRECISIONS = ("", "fp32", "fp16", "bf16")
HINTS = ("latency", "throughput")

TAKEN_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "device": ("openvino", "cuda", "tensorrt"),
        "threads": ("cpu", "openvino", "replay"),
        "precision": ("openvino", "tensorrt"),
        "hint": ("openvino",),
        "cache_folder": ("openvino", "tensorrt"),
    }
)
"""Which of the runtimes that come with edge-fairmot takes an option."""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How a file is to be run.

    Attributes
    ----------
    device : str
        As the backend calls it, such as ``GPU`` or ``1``; empty for its first.
    threads : int or None
        For one inference; the backend chooses when not given.
    precision : str
        Arithmetic of float layers, ``fp32``, ``fp16`` or ``bf16``; empty for float32, or what is nearest to
        it on the device. Layers in int8 stay int8.
    hint : str
        ``latency``: a picture is done as soon as possible. ``throughput``: as many as possible a second, from
        callers in several threads.
    cache_folder : Path or None
        Where compiled models are kept for the next start; made if it is not there.

    Raises
    ------
    InvalidInputError
        If a value is not among those allowed.
    """

    device: str = ""
    threads: int | None = None
    precision: str = ""
    hint: str = "latency"
    cache_folder: Path | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise InvalidInputError(f"threads must be at least 1, not {self.threads}")
        for name, value, allowed in (
            ("precision", self.precision, PRECISIONS),
            ("hint", self.hint, HINTS),
        ):
            if value not in allowed:
                raise InvalidInputError(f"{name} {value!r}: choose from {', '.join(filter(None, allowed))}")

    def refuse_all_but(self, runtime: str, *honoured: str) -> None:
        """Raise InvalidInputError if something is asked for that a runtime does not have.

        Parameters
        ----------
        runtime : str
            Its name, for the error.
        *honoured : str
            Names of the options that it has.
        """
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name not in honoured and value != option.default:
                raise InvalidInputError(
                    f"runtime {runtime} has no {option.name.replace('_', ' ')} to set ({value}): "
                    f"leave it out, or choose from {', '.join(TAKEN_BY[option.name])}"
                )


def options_of(runtime: str) -> tuple[str, ...]:
    """Name the options that a runtime of edge-fairmot's takes, for ``refuse_all_but``."""
    return tuple(option for option, runtimes in TAKEN_BY.items() if runtime in runtimes)

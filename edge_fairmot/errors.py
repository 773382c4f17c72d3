"""Every error that edge-fairmot raises on purpose.

::

    EdgeFairmotError
    ├── CheckpointError          the .pth file is no checkpoint of a FairMOT network
    ├── ConversionError          the network could not be turned into a correct ONNX file
    ├── ManifestError            the ONNX file carries no manifest, or one that cannot be read
    ├── RuntimeUnavailableError  a backend, provider or device that was asked for is not there
    ├── InferenceError           a runtime was given the wrong input or gave unusable output
    ├── SourceError              frames cannot be read, or end before they should
    ├── SinkError                tracks cannot be written
    ├── DetectionCacheError      a detection cache cannot be read, or is not of this run
    ├── WorkerError              workers of many videos cannot be started or reached
    ├── EvaluationError          ground truth or results cannot be compared
    ├── InvalidInputError        an argument is out of range (also a ValueError)
    └── MissingDependencyError   an optional package is absent (also an ImportError)

A message is one line: what was wrong, the value received, what is allowed, and what fixes it.
"""

from __future__ import annotations


class EdgeFairmotError(Exception):
    """Root of all errors raised by edge-fairmot."""


class CheckpointError(EdgeFairmotError):
    """The file is no checkpoint of a FairMOT network, or tensors are missing, extra or misshapen."""


class ConversionError(EdgeFairmotError):
    """The network could not be exported, or what was exported differs from the network."""


class ManifestError(EdgeFairmotError):
    """The ONNX file carries no edge-fairmot manifest, or one this version cannot read."""


class RuntimeUnavailableError(EdgeFairmotError):
    """The requested backend, provider or device is not on this machine."""


class InferenceError(EdgeFairmotError):
    """A runtime cannot take an image, or its outputs cannot be used."""


class SourceError(EdgeFairmotError):
    """Frames cannot be read, or ended earlier than the source stated."""


class SinkError(EdgeFairmotError):
    """Tracks cannot be written."""


class DetectionCacheError(EdgeFairmotError):
    """A detection cache cannot be read, or is not of this source and these settings."""


class WorkerError(EdgeFairmotError):
    """Workers that track many videos cannot be started, reached or used."""


class EvaluationError(EdgeFairmotError):
    """Ground truth or results are unreadable or do not belong together."""


class InvalidInputError(EdgeFairmotError, ValueError):
    """An argument is out of range or an array has the wrong shape."""


class MissingDependencyError(EdgeFairmotError, ImportError):
    """An optional package is not installed.

    Parameters
    ----------
    package : str
        The package that could not be imported.
    extra : str
        The extra of edge-fairmot that brings it.
    purpose : str
        What it is needed for, as in ``"to write video"``.
    remedy : str, optional
        The command that installs it, if that is not pip.
    """

    def __init__(self, package: str, extra: str, purpose: str, remedy: str = "") -> None:
        remedy = remedy or f"pip install 'edge-fairmot[{extra}]'"
        super().__init__(f"{package} is needed {purpose} and is not installed: {remedy}")

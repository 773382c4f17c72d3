"""A street with people that needs no camera: any length and size, and exact truth about every frame."""

from edge_fairmot.benchmarks.street.options import SPEC_PREFIX, StreetOptions, format_street, parse_street
from edge_fairmot.benchmarks.street.street import Street

__all__ = ["SPEC_PREFIX", "Street", "StreetOptions", "format_street", "parse_street"]

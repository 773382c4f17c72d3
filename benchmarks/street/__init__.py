"""A synthetic street with people: frames of any number and size, with exact ground truth, from no file."""

from edge_fairmot.benchmarks.street.options import SPEC_PREFIX, StreetOptions, format_street, parse_street
from edge_fairmot.benchmarks.street.render import Street
from edge_fairmot.benchmarks.street.source import SyntheticSource

__all__ = ["SPEC_PREFIX", "Street", "StreetOptions", "SyntheticSource", "format_street", "parse_street"]

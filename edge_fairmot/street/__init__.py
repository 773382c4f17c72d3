"""A street with people that needs no camera: any length and size, and exact truth about every frame."""

from edge_fairmot.street.options import StreetOptions, format_street, parse_street
from edge_fairmot.street.street import Street

__all__ = ["Street", "StreetOptions", "format_street", "parse_street"]

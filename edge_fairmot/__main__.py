"""``python -m edge_fairmot`` is the ``edge-fairmot`` command."""

from edge_fairmot.cli.main import run

run()

"""The certificate: the figures in a file's manifest, and whether they are of the graph beside them.

A certificate names the SHA-256 of the graph that was measured. Whoever quantizes, simplifies or edits a file
later copies the manifest along, and the figures in it are then of another graph. Needs no ONNX package.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from edge_fairmot.errors import ManifestError
from edge_fairmot.manifest import MANIFEST_KEY, ModelManifest
from edge_fairmot.onnx_file import GRAPH, METADATA, map_onnx_file
from edge_fairmot.protobuf import bytes_field, fields, messages, read_text
from edge_fairmot.whole_file import replaced_whole


def hash_graph(path: str | Path) -> str:
    """Compute the SHA-256 of the graph in an ONNX file: nodes and weights, not the metadata.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str
        Hexadecimal.

    Raises
    ------
    ManifestError
        If the file cannot be read, or is not ONNX.
    """
    digest = hashlib.sha256()
    with map_onnx_file(Path(path)) as data:
        for graph in messages(data, GRAPH):
            digest.update(graph)
    return digest.hexdigest()


def certificate_fault(path: str | Path, manifest: ModelManifest) -> str:
    """Tell what is wrong with the certificate of a file.

    Parameters
    ----------
    path : str or Path
    manifest : ModelManifest
        The one in the file.

    Returns
    -------
    str
        Empty if the certificate is of the graph in the file.

    Raises
    ------
    ManifestError
        If the file cannot be read, or is not ONNX.
    """
    if not manifest.graph_sha256:
        return f"{path} has no certificate: convert the checkpoint again, or edge-fairmot verify --certify"
    found = hash_graph(path)
    if found == manifest.graph_sha256:
        return ""
    return (
        f"the certificate of {path} is of another graph (sha256 {manifest.graph_sha256[:12]}, the file's is "
        f"{found[:12]}), so the file was changed after it was checked: edge-fairmot verify --certify"
    )


def certify(path: str | Path, manifest: ModelManifest) -> ModelManifest:
    """Make a manifest that of the graph in a file, and write it there.

    Parameters
    ----------
    path : str or Path
        An ONNX file. Replaced at once: whoever reads it meanwhile sees the old one.
    manifest : ModelManifest
        Takes the place of the one in the file, if there is one.

    Returns
    -------
    ModelManifest
        With the graph's hash.

    Raises
    ------
    ManifestError
        If the file cannot be read or written, or is not ONNX.
    """
    path = Path(path)
    manifest = replace(manifest, graph_sha256=hash_graph(path))
    entry = bytes_field(1, MANIFEST_KEY.encode()) + bytes_field(2, manifest.to_json().encode())
    try:
        with replaced_whole(path) as partial, map_onnx_file(path) as data, partial.open("wb") as file:
            for field in fields(data):
                is_manifest = (
                    field.number == METADATA
                    and isinstance(field.value, memoryview)
                    and read_text(field.value, 1) == MANIFEST_KEY
                )
                if not is_manifest:
                    file.write(field.raw)
            file.write(bytes_field(METADATA, entry))
    except OSError as error:
        raise ManifestError(f"cannot write the certificate into {path}: {error.strerror}") from error
    return manifest

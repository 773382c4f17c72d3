"""Steps of ``cuda.sh`` that are more than a command of the toolkit.

    python cuda_reference.py strip REFERENCE.npz FILE.npz       reference outputs without their images
    python cuda_reference.py restore FILE.npz VIDEO OUT.npz     with them again, from the video
    python cuda_reference.py gather OUT.json REPORT.json ...    parity reports in one file
    python cuda_reference.py speed CHECKPOINT SIZE DEVICE OUT.json MODEL.onnx ...

Images of the sequences may not be published, what a network makes of them may: so the files that the tests
hold are stripped.
"""

import json
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

ROUNDS, REPEATS = 8, 10


def strip(reference, stripped):
    """Leave out the images."""
    with np.load(reference) as arrays:
        np.savez_compressed(stripped, **{name: arrays[name] for name in arrays.files if name != "frames"})


def restore(stripped, video, restored):
    """Letterbox the frames of the video that the outputs belong to."""
    from edge_fairmot.benchmarks.frame_sources import letterboxed
    from edge_fairmot.sources import open_source

    with np.load(stripped) as file:
        arrays = dict(file)
    size = json.loads(str(arrays["description"]))["manifest"]["input_size"]
    first, *_ = indices = arrays["frame_index"].tolist()
    with closing(open_source(str(video))) as source:
        frames = {
            f.index: images[0].copy() for f, _, images in letterboxed(source, size, len(indices), first)
        }
    np.savez(restored, frames=np.stack([frames[index] for index in indices]), **arrays)


def gather(output, *reports):
    """Put reports into one file, by their names."""
    Path(output).write_text(
        json.dumps({Path(path).stem: json.loads(Path(path).read_text()) for path in reports})
    )


def speed(checkpoint, size, device, output, *models):
    """Write milliseconds of one inference: all in turns, the medians of the rounds' least."""
    import torch

    from edge_fairmot.convert.checkpoint import load_network
    from edge_fairmot.convert.deploy import decode
    from edge_fairmot.convert.network import normalise_images
    from edge_fairmot.convert.reference import describe_reference, full_float32
    from edge_fairmot.errors import EdgeFairmotError
    from edge_fairmot.runtimes import open_runtime

    width, height = map(int, size.split("x"))
    network = load_network(checkpoint)[0].requires_grad_(False).to(device)
    images = np.random.default_rng(0).integers(0, 256, (8, height, width, 3), np.uint8)

    def detect(batch, network=network):
        with torch.inference_mode(), full_float32():
            heads = network(normalise_images(torch.from_numpy(batch).to(device)))
            return [output.cpu() for output in decode(heads, 100)]

    calls = {f"pytorch eager, batch {n}": (detect, images[:n]) for n in (1, 8)}
    notes = {}
    # A rehearsal traces without compiling, which takes minutes on a CPU.
    compiled = partial(
        detect,
        network=torch.compile(network, dynamic=False, backend="inductor" if device == "cuda" else "eager"),
    )
    try:
        for n in (1, 8):
            compiled(images[:n])
            calls[f"pytorch compiled, batch {n}"] = (compiled, images[:n])
    except Exception as error:  # a compiler that is not there; the other rows are worth having
        notes["pytorch compiled"] = str(error).partition("\n")[0]
    for name in ("cuda", "tensorrt") if device == "cuda" else ("cpu",):
        for model in filter(lambda path: Path(path).exists(), models):
            row = f"{name}, {Path(model).stem}, batch 1"
            try:
                calls[row] = (open_runtime(model, name).infer, images[:1])
            except EdgeFairmotError as error:
                notes[row] = str(error)
    rounds = ROUNDS if device == "cuda" else 1
    least = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, batch) in calls.items():
            times = []
            for _ in range(REPEATS if device == "cuda" else 2):
                begun = time.perf_counter()
                call(batch)
                times.append(1000 * (time.perf_counter() - begun))
            least[name].append(min(times))
        figures = {name: round(float(np.median(values)), 3) for name, values in least.items() if values}
        about = describe_reference(torch.device(device), "")
        Path(output).write_text(json.dumps({"ms": figures, "not_there": notes, "about": about}, indent=1))


if __name__ == "__main__":
    {"strip": strip, "restore": restore, "gather": gather, "speed": speed}[sys.argv[1]](*sys.argv[2:])

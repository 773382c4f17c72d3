#!/usr/bin/env bash
# How people.onnx and people-light.onnx are made: hours on two cores, minutes on a GPU.
#   edge_fairmot/bundled/recipe.sh DATA OUT
# An interrupted step goes on where it was when the recipe is run again.
set -euo pipefail
data=${1:?the folder of shared data} out=${2:?a folder for what is made}
mkdir -p "$out"

# The model before this one, of which the weights are the start. Its own recipe is beside it in that commit.
start=$out/start.onnx
[ -f "$start" ] || git show 1e192ed:edge_fairmot/bundled/people.onnx > "$start"

# learn COMMAND ... -o FILE: start, or go on, until FILE.done.
learn() {
    local file=${*: -1}
    [ -f "$file.done" ] && return
    edge-fairmot "$@" $([ -f "$file.resume" ] && echo --resume)
    touch "$file.done"
}
# streets FIRST LAST [OPTIONS]: synthetic streets with seeds from FIRST to LAST.
streets() { for seed in $(seq "$1" "$2"); do echo "--frames synthetic:seed=$seed,frames=20,fps=2${3:-}"; done; }
labelled=(
    --data "$data/people/labels.tsv" --labels "$data/teacher/people.npz"
    --data "$data/teacher/own_cameras.tsv" --labels "$data/teacher/own_cameras.npz"
    --data "$data/teacher/videos.npz" --media "$data/videos"
    $(streets 3001 3050; streets 3151 3165 ,light=0.7; streets 3201 3220 ,shake=1
      streets 3251 3265 ,people=22,light=0.4,shake=0.4)
    --size 704x384 --bf16 --pairs --overlap-weight 2
)

# 1. Real people as two detectors and a re-identification network see them, and a minority of streets.
learn train "${labelled[@]}" --from "$start" --freeze early --crop-size 352 --batch-size 8 --learning-rate 2e-4 \
    --steps 2700 --validate-every 2700 -o "$out/people-2700.pth"
learn train "${labelled[@]}" --from "$out/people-2700.pth" --freeze early --crop-size 352 --batch-size 8 --learning-rate 2e-4 \
    --steps 2200 --validate-every 2200 -o "$out/people.pth"

# Photos without labels, as their cameras saw them: those that were squeezed into a square, wide again.
python - "$data" "$out/photos" <<'PYTHON'
import csv, sys, zipfile
from pathlib import Path
import cv2, numpy as np

data, photos = map(Path, sys.argv[1:])
for images, table in (("people/images.zip", "people/labels.tsv"), ("teacher/own_cameras.zip", "teacher/own_cameras.tsv")):
    archive = zipfile.ZipFile(data / images)
    rows = [row for row in csv.DictReader((data / table).open(), delimiter="\t") if row["split"] == "train"]
    for number, row in enumerate(rows):
        image = cv2.imdecode(np.frombuffer(archive.read(row["file"]), np.uint8), cv2.IMREAD_COLOR)
        width = (470, 528, 626)[number % 3] if row.get("stretched") == "1" else image.shape[1]
        path = photos / str(width) / row["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(image, (width, image.shape[0])))
zipfile.ZipFile(data / "teacher/intel_frames.zip").extractall(photos / "intel")
PYTHON
unlabelled=()
for folder in "$out"/photos/{470,528,626,480,intel}; do unlabelled+=(--frames "$folder"); done

# 2. Half as wide, a quarter of the work: first what the start computes, then what the teachers and step 1 see.
learn distill "$start" --width 0.5 "${unlabelled[@]}" --frames synthetic:seed=3301,frames=100,fps=2 --images 800 \
    --validation-images 10 --size 704x384 --steps 581 --no-early-stop --bf16 --validate-every 100000 -o "$out/narrow.pth"
learn train "${labelled[@]}" --from "$out/narrow.pth" --crop-size 352 --batch-size 8 --learning-rate 5e-4 \
    --steps 2400 -o "$out/light-2400.pth"
learn train "${labelled[@]}" --from "$out/light-2400.pth" --crop-size 352 --batch-size 8 --learning-rate 4e-4 \
    --steps 3600 -o "$out/people-light.pth"

# What int8 is calibrated on: photos, the video and streets that were not trained on.
python - "$out/photos" "$data/videos/one-by-one-432p.mp4" "$out/calibration" <<'PYTHON'
import sys
from pathlib import Path
import cv2, numpy as np
from edge_fairmot.sources import open_source

photos, video, folder = sys.argv[1:]
Path(folder).mkdir(exist_ok=True)
generator = np.random.default_rng(0)
images = [cv2.imread(str(path)) for path in generator.choice(sorted(Path(photos).glob("[!3]*/*")), 48, replace=False)]
streets = [f"synthetic:seed={seed},frames=120,fps=5" for seed in ("301", "302,light=0.7", "303,shake=1", "304")]
for name, step, first in ((video, 116, 58), *((street, 15, 7) for street in streets)):
    with open_source(name) as source:
        images += [frame.image.copy() for frame in source if frame.index % step == first]
for number, index in enumerate(generator.permutation(len(images))):
    cv2.imwrite(f"{folder}/{number:03d}.png", images[index])
PYTHON

# 3. int8.
for name in people people-light; do
    edge-fairmot convert "$out/$name.pth" -o "$out/$name.onnx" --size 704x384 --precision int8 \
        --calibrate "$out/calibration" --calibration-frames 96
done

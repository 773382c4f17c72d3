#!/usr/bin/env bash
# How people.onnx is made, from this project's checkpoint: hours on two cores, minutes on a GPU (there: bf16, too).
#   edge_fairmot/bundled/recipe.sh DATA OUT
# A step that was interrupted goes on when it is run again with --resume.
set -euo pipefail
data=${1:?the folder of shared data} out=${2:?a folder for what is made}
mkdir -p "$out"
photos=$out/photos teacher=$out/plain.pth

# The photos as their cameras saw them: those that were squeezed into a square, wide again.
python - "$data/people" "$photos" <<'PYTHON'
import csv, sys, zipfile
from pathlib import Path
import cv2, numpy as np

people, photos = map(Path, sys.argv[1:])
images = zipfile.ZipFile(people / "images.zip")
rows = [row for row in csv.DictReader((people / "labels.tsv").open(), delimiter="\t") if row["split"] == "train"]
for number, row in enumerate(rows):
    image = cv2.imdecode(np.frombuffer(images.read(row["file"]), np.uint8), cv2.IMREAD_COLOR)
    width = (470, 528, 626)[number % 3] if row["stretched"] == "1" else image.shape[1]
    path = photos / str(width) / row["file"]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(image, (width, image.shape[0])))
PYTHON

# streets FIRST LAST [OPTIONS]: synthetic streets with seeds from FIRST to LAST, as --frames.
streets() { for seed in $(seq "$1" "$2"); do printf '%s\n' --frames "synthetic:seed=$seed,$length${3:-}"; done; }
mixed() { # LENGTH FIRST LAST_PLAIN LAST_DIM LAST_SHAKEN LAST
    local length=$1
    streets "$2" "$3"
    streets $(($3 + 1)) "$4" ,light=0.7
    streets $(($4 + 1)) "$5" ,shake=1
    streets $(($5 + 1)) "$6" ,people=22,light=0.4,shake=0.4
}
mapfile -t some < <(mixed frames=200,fps=8 1001 1012 1016 1020 1024)
mapfile -t many < <(mixed frames=200,fps=8 1001 1020 1027 1034 1040)
mapfile -t more < <(mixed frames=20,fps=1 2001 2130 2175 2220 2260)
mapfile -t moments < <(mixed frames=20,fps=2 3001 3150 3200 3250 3300)
remembered=(--images 700 --validation-images 3)
for images in "$photos"/{470,528,626} "$data/videos/one-by-one-432p.mp4"; do remembered+=(--remember "$images"); done

# 1. Plain convolutions for deformable ones.
edge-fairmot distill "$data/checkpoints/fairmot_dla34.pth" --frames "$photos/470" --frames "$photos/528" \
    --frames "$photos/626" --frames synthetic:seed=1,frames=300 --steps 900 --no-early-stop -o "$teacher"
# 2. Streets and labelled photos.
edge-fairmot train --data "$data/people/labels.tsv" "${some[@]}" --start "$teacher" --steps 1900 --learning-rate 1.5e-4 \
    -o "$out/first.pth"
# 3. Streets, without forgetting what the photos show.
edge-fairmot train "${some[@]}" --teacher "$teacher" "${remembered[@]}" --start "$out/first.pth" --steps 3500 \
    --learning-rate 2e-4 --bf16 -o "$out/second.pth"
# 4. More streets, larger.
edge-fairmot train "${many[@]}" --teacher "$teacher" "${remembered[@]}" --start "$out/second.pth" --steps 7600 \
    --learning-rate 2e-4 --bf16 --size 640x352 -o "$out/fourth.pth"

# What int8 is calibrated on: photos, the video and streets that were not trained on.
python - "$photos" "$data/videos/one-by-one-432p.mp4" "$out/calibration" <<'PYTHON'
import sys
from pathlib import Path
import cv2, numpy as np
from edge_fairmot.sources import open_source

photos, video, folder = sys.argv[1:]
Path(folder).mkdir(exist_ok=True)
generator = np.random.default_rng(0)
images = [cv2.imread(str(path)) for path in generator.choice(sorted(Path(photos).glob("[456]*/*")), 36, replace=False)]
streets = [f"synthetic:seed={seed},frames=120,fps=5" for seed in ("301", "302,light=0.7", "303,shake=1", "304")]
for name, step in ((video, 116), *((street, 10) for street in streets)):
    with open_source(name) as source:
        images += [frame.image.copy() for frame in source if frame.index % step == step // 2]
for number, index in enumerate(generator.permutation(len(images))):
    cv2.imwrite(f"{folder}/{number:03d}.png", images[index])
PYTHON
int8() { # CHECKPOINT FILE
    edge-fairmot convert "$1" -o "$2" --size 704x384 --precision int8 --calibrate "$out/calibration" --calibration-frames 96
}

# 5. Boxes weighed by their overlap with the true ones. (It went on from the int8 file: the checkpoint was not kept.)
int8 "$out/fourth.pth" "$out/fourth.onnx"
further=(
    --teacher "$data/checkpoints/fairmot_dla34.pth" "${remembered[@]}"
    --learning-rate 2e-4 --bf16 --overlap-weight 2 --size 704x384
)
edge-fairmot train "${many[@]}" "${further[@]}" --start "$out/fourth.onnx" --steps 2400 --freeze-backbone -o "$out/fifth.pth"

# 6. Six times as many streets, few frames of each: other people, rather than the same again.
edge-fairmot train "${more[@]}" "${further[@]}" --start "$out/fifth.pth" --steps 1600 -o "$out/sixth.pth"

# 7. People told apart in pairs of images a moment apart. (It went on from the int8 file, too.)
int8 "$out/sixth.pth" "$out/sixth.onnx"
edge-fairmot train "${moments[@]}" "${further[@]}" --start "$out/sixth.onnx" --steps 2000 --pairs -o "$out/people.pth"

# 8. int8.
int8 "$out/people.pth" "$out/people.onnx"

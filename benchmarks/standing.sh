#!/usr/bin/env bash
# The project's standing benchmark, from one checkpoint: the tables in docs/guides/benchmark.md
# (one of the three sizes) and the tracker's times. DATA does not come with this project: `edge-fairmot bench sweep`
# does the same with your own. See docs/guides/benchmark.md.
#   benchmarks/standing.sh DATA OUT [FRAMES]
set -euo pipefail
data=${1:?the folder of shared data} out=${2:?a folder for the reports} frames=${3:-300}
mot15=$data/mot15 videos=$data/videos

# Naive export against ours, per runtime, precision and size, against ground truth. int8 is calibrated on other
# videos: the TUD sequences are for evaluation only.
edge-fairmot bench sweep "$data/checkpoints/fairmot_dla34.pth" -o "$out/tud" \
    --naive --deform-conv native,im2col --runtimes all \
    --sizes "${SIZES:-1088x608,864x480,576x320}" --calibrate "$videos/street-crowd-720p.mp4" --max-frames "$frames" \
    --video "$mot15/TUD-Campus" --gt "$mot15/TUD-Campus/gt/gt.txt" \
    --video "$mot15/TUD-Stadtmitte" --gt "$mot15/TUD-Stadtmitte/gt/gt.txt" --worst-frames 0

# Agreement on videos without ground truth. People come into the room late, so all of it is measured.
agree() {
    edge-fairmot bench --models "$out"/tud/models/*-576x320-{fp32-native,int8-native,int8-im2col}.onnx \
        --runtimes all -o "$out/$1" --video "$videos/$1.mp4" --max-frames "$2"
}
agree street-crowd-720p "$frames"
agree one-by-one-432p "${3:-1394}"

edge-fairmot bench tracker --targets 10,50,100,200,500 -o "$out/tracker"

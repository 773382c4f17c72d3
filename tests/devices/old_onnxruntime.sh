#!/usr/bin/env bash
# Unrolled files on an ONNX Runtime without DeformConv (JetPack 6 has one) give the tracks of the native file here.
#
#   tests/devices/old_onnxruntime.sh [VERSION ...]        1.18.0 and 1.23.2 by default
#
# PYTHON is the interpreter of an environment with edge-fairmot and its extra "convert"; .venv/bin/python by default.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
here=$(dirname "$python")/edge-fairmot
checkpoint=$(realpath -m ../shared/checkpoints/fairmot_dla34.pth)
video=$(realpath -m ../shared/mot15/TUD-Campus/TUD-Campus.mp4)
for needed in "$checkpoint" "$video"; do
    [ -e "$needed" ] || { echo "skipped: needs $needed"; exit 0; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" tests/devices/first_frames.py "$video" "${FRAMES:-20}" "$work/frames"
"$here" convert "$checkpoint" -o "$work/native.onnx" --size 576x320
"$here" track "$work/frames" -m "$work/native.onnx" --no-video -o "$work/expected"
"$here" convert "$checkpoint" -o "$work/gather.onnx" --size 576x320 --for cpu@1.23
"$here" convert "$checkpoint" -o "$work/gridsample.onnx" --size 576x320 --deform-conv gridsample

versions=("$@")
[ $# -gt 0 ] || versions=(1.18.0 1.23.2)
for version in "${versions[@]}"; do
    old=$work/venv-$version
    "$python" -m venv "$old"
    # Wheels of ONNX Runtime 1.18 were built for numpy 1; those of OpenCV 4.12 need numpy 2.
    pins=("onnxruntime==$version")
    [[ $version == 1.18.* ]] && pins+=("numpy<2" "opencv-python-headless<4.12")
    if ! "$old/bin/pip" install -q . "${pins[@]}" 2> "$work/pip.log"; then
        echo "skipped: ONNX Runtime $version cannot be installed here: $(grep -m1 ERROR "$work/pip.log")"
        continue
    fi
    if "$old/bin/edge-fairmot" track "$work/frames" -m "$work/native.onnx" --no-video -o "$work/out" 2> "$work/error"; then
        echo "ONNX Runtime $version ran the native file: it is not old enough for this test" && exit 1
    fi
    grep -q "DeformConv is not supported here: convert the checkpoint again with --deform-conv gather" "$work/error" \
        || { echo "the error does not name the fix:" && cat "$work/error" && exit 1; }
    for lowering in gather gridsample; do
        "$old/bin/edge-fairmot" track "$work/frames" -m "$work/$lowering.onnx" --no-video -o "$work/$version-$lowering"
        echo -n "ONNX Runtime $version, $lowering: "
        "$python" tests/devices/same_tracks.py "$work/expected/tracks.txt" "$work/$version-$lowering/tracks.txt"
    done
done

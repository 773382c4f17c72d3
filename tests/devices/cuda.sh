#!/usr/bin/env bash
# What a machine with an NVIDIA GPU has to compute for this project, in one go of at most nine minutes.
#
#   tests/devices/cuda.sh pack FOLDER [WHEEL ...]   here: what that machine lacks, in parcels of PARCEL_MB (30)
#   tests/devices/cuda.sh unpack FOLDER             there, once a parcel or once for all of them
#   tests/devices/cuda.sh run OUT [STEP ...]        there: every step is timed in OUT/steps.jsonl, every result is written when made
#
# Steps: deform_conv, reference, files, cuda, tensorrt, speed, train; all of them unless named. A step whose software is not there says so
# and is skipped. PYTHON is an interpreter with PyTorch, torchvision and onnx; parcels bring the other packages. DATA (../shared) has
# the checkpoint and the sequences, if no parcel brought them. TRAIN is a folder whose train.sh runs in the time that is left; it
# travels in the parcels. DEVICE=cpu, SIZES, FRAMES and PRECISIONS rehearse it without a GPU (tests/devices/test_cuda_session.py).
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
sizes=(${SIZES:-576x320 1088x608})
frames=${FRAMES:-10}
precisions=(${PRECISIONS:-fp32 fp16 int8})
limit_s=${LIMIT_S:-540}
parcels=${PARCELS:-$HOME/.cache/edge-fairmot-cuda}
data=${DATA:-../shared}
[ -d "$parcels/data" ] && data=$parcels/data
checkpoint=$data/checkpoints/fairmot_dla34.pth

pack() {
    local folder=$1 stage
    shift
    stage=$(mktemp -d)
    mkdir -p "$stage/data/checkpoints" "$stage/data/mot15" "$stage/data/videos" "$stage/wheels" "$folder"
    cp "$checkpoint" "$stage/data/checkpoints/"
    cp -r "$data"/mot15/TUD-* "$stage/data/mot15/"
    cp "$data/videos/one-by-one-432p.mp4" "$stage/data/videos/"
    if [ $# -gt 0 ]; then cp "$@" "$stage/wheels/"; fi
    if [ -n "${TRAIN:-}" ]; then cp -r "$TRAIN" "$stage/train"; fi
    chmod -R u+w "$stage"
    tar -C "$stage" -cz . | split -b "${PARCEL_MB:-30}M" -d - "$folder/parcel."
    rm -r "$stage"
    printf '%s\n' "$folder"/parcel.* | wc -l > "$folder/count"
    du -ch "$folder"/parcel.* | tail -1
}

unpack() {
    mkdir -p "$parcels"
    cp "$1"/parcel.* "$1/count" "$parcels/"
    if [ "$(find "$parcels" -name 'parcel.*' | wc -l)" -lt "$(cat "$parcels/count")" ]; then
        echo "$(find "$parcels" -name 'parcel.*' | wc -l) of $(cat "$parcels/count") parcels are here"
        return
    fi
    cat "$parcels"/parcel.* | tar -C "$parcels" -xz
    find "$parcels/wheels" -name '*.whl' -exec "$python" -m pip install -q --no-index --no-deps --no-compile --target "$parcels/site" {} +
    echo "all parcels are unpacked"
}

# The rooms as one package, without an installation.
as_package() {
    mkdir -p "$1/edge_fairmot"
    ln -sfn "$PWD"/edge_fairmot/* "$1/edge_fairmot/"
    ln -sfn "$PWD"/{convert,runtimes,benchmarks} "$1/edge_fairmot/"
}

deform_conv() {
    "$python" tests/convert/record_deform_conv.py "$out"
}

reference() {
    local size name
    for size in "${sizes[@]}"; do
        for name in TUD-Campus TUD-Stadtmitte; do
            "$python" -m edge_fairmot record-reference "$checkpoint" --video "$data/mot15/$name" --size "$size" \
                --max-frames "$frames" --first-frame 30 --device "$device" -o "$out/work/$name-$size.npz"
            "$python" tests/devices/cuda_reference.py strip "$out/work/$name-$size.npz" "$out/network_${device}_$name-$size.npz"
        done
    done
}

files() {
    local precision calibrate=()
    for precision in "${precisions[@]}"; do
        [ "$precision" = int8 ] && calibrate=(--calibrate "$data/videos/one-by-one-432p.mp4" --calibration-frames 16)
        "$python" -m edge_fairmot convert "$checkpoint" -o "$out/work/$precision.onnx" --size "${sizes[0]}" \
            --precision "$precision" "${calibrate[@]}"
    done
}

# Parity of every file in a runtime with the reference of this device.
parity() {
    local precision name status=0
    "$python" -c "from edge_fairmot.runtimes import open_runtime; open_runtime('edge_fairmot/bundled/people-light.onnx', '$1').close()"
    for precision in "${precisions[@]}"; do
        for name in TUD-Campus TUD-Stadtmitte; do
            "$python" -m edge_fairmot verify "$out/work/$precision.onnx" --reference "$out/work/$name-${sizes[0]}.npz" \
                --runtime "$1" --json > "$out/work/$1-$precision-$name.json" || status=$?
        done
    done
    "$python" tests/devices/cuda_reference.py gather "$out/parity_$1.json" "$out"/work/"$1"-*.json
    return $status
}

cuda() { parity "$([ "$device" = cpu ] && echo cpu || echo cuda)"; }

tensorrt() { parity "$([ "$device" = cpu ] && echo openvino || echo tensorrt)"; }

speed() {
    "$python" tests/devices/cuda_reference.py speed "$checkpoint" "${sizes[0]}" "$device" "$out/speed.json" "$out"/work/{fp32,fp16,int8}.onnx
}

train() {
    local folder=${TRAIN:-$parcels/train}
    [ -e "$folder/train.sh" ] || { echo "no train.sh in $folder"; return 3; }
    OUT=$out DATA=$data bash "$folder/train.sh"
}

run() {
    out=$(realpath -m "$1")
    shift
    mkdir -p "$out/work"
    as_package "$out/work/package"
    export PYTHONPATH="$out/work/package:$parcels/site"
    local begun=$SECONDS step status left started
    for step in "${@:-deform_conv reference files cuda tensorrt speed train}"; do
        for step in $step; do
            left=$((limit_s - (SECONDS - begun)))
            started=$SECONDS
            status=0
            # A step in a shell of its own, so that the time limit ends all of it and its failure is its own.
            timeout "$((left > 1 ? left : 1))" "$0" step "$out" "$step" >> "$out/log.txt" 2>&1 || status=$?
            printf '{"step": "%s", "status": %d, "seconds": %d}\n' "$step" "$status" "$((SECONDS - started))" | tee -a "$out/steps.jsonl"
        done
    done
}

case ${1:-} in
    pack | unpack | run) "$@" ;;
    step) out=$2 && echo "== $3" && "$3" ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac

#!/usr/bin/env bash
# A core file for Rockchip's NPUs: RKNN files in fp16 and int8, and how far their simulator is from ONNX Runtime.
#
#   examples/rknn/rknn.sh CORE CALIBRATION FRAMES OUT
#
# CORE is what "edge-fairmot convert --graph core" writes. CALIBRATION and FRAMES are each a video or a folder of images:
# CALIBRATION_FRAMES (32) of the first calibrate int8, and TEST_FRAMES (20) of the second are compared.
# OUT gets fp16.rknn and int8.rknn for TARGET (rk3588), and the frames, logs and outputs.
#
# PYTHON is an interpreter with edge-fairmot and ONNX Runtime; .venv/bin/python by default. The toolkit gets an environment
# of its own, RKNN_VENV, made with RKNN_PYTHON: python3.10, for which PyTorch 1.12 is one package of 0.8 GB; newer ones bring
# the packages of CUDA. The toolkit imports PyTorch even for an ONNX file.
set -euo pipefail
[ $# = 4 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 2; }
here=$(realpath "$(dirname "$0")")
python=${PYTHON:-.venv/bin/python}
venv=${RKNN_VENV:-$HOME/.cache/edge-fairmot-rknn}
core=$1 out=$4

if ! "$venv/bin/python" -c "import rknn.api" 2> /dev/null; then
    "${RKNN_PYTHON:-python3.10}" -m venv "$venv"
    "$venv/bin/pip" install -q rknn-toolkit2==2.5.0 torch==1.12.1
fi

"$python" "$here/parity.py" frames "$core" "$2" "${CALIBRATION_FRAMES:-32}" "$out/calibration"
"$python" "$here/parity.py" frames "$core" "$3" "${TEST_FRAMES:-20}" "$out/frames"
for precision in fp16 int8; do
    if ! "$venv/bin/python" "$here/simulate.py" "$core" "$precision" "${TARGET:-rk3588}" "$out" > "$out/$precision.log" 2>&1; then
        tail -5 "$out/$precision.log"
        echo "the toolkit failed; $out/$precision.log has all that it said"
        exit 1
    fi
    echo -n "$precision: "
    "$python" "$here/parity.py" compare "$core" "$out/frames" "$out/$precision.npz"
done

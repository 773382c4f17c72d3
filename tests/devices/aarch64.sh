#!/usr/bin/env bash
# edge-fairmot on aarch64: in an emulated Debian, installed from arm64 wheels, it gives the same tracks as here.
#
#   tests/devices/aarch64.sh [ROOT]      ROOT is kept for the next run; /var/tmp/edge-fairmot-arm64 by default
#
# Needs root, debootstrap and qemu-user-static, and proot where the kernel gives no binfmt_misc. PYTHON is the
# interpreter of an environment with edge-fairmot and its extra "convert"; .venv/bin/python by default.
# EMULATOR=proot calls the emulator by name even where the kernel has binfmt_misc. FORMS="ncnn mnn" runs these only,
# FRAMES=1 fewer frames, SIZE another input; LIMIT=600 ends a step in the emulation after 600 s.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
here=$(dirname "$python")/edge-fairmot
root=$(realpath -m "${1:-/var/tmp/edge-fairmot-arm64}")
checkpoint=$(realpath -m ../shared/checkpoints/fairmot_dla34.pth)
video=$(realpath -m ../shared/mot15/TUD-Campus/TUD-Campus.mp4)
for needed in "$checkpoint" "$video"; do
    [ -e "$needed" ] || { echo "skipped: needs $needed"; exit 0; }
done
if ! emulator=$(command -v qemu-aarch64-static) || ! command -v debootstrap > /dev/null || [ "$(id -u)" != 0 ]; then
    echo "skipped: needs root, and apt-get install debootstrap qemu-user-static"
    exit 0
fi

# The processor of a Raspberry Pi 4. The emulator's default has SVE, for which OpenBLAS multiplies matrices wrongly in
# qemu 7.2. ONNX Runtime reads /proc/cpuinfo, which is the host's, and crashes on that of an x86 machine.
cpu=cortex-a72
cpuinfo=$(mktemp)
trap 'rm -f "$cpuinfo"' EXIT
for ((number = 0; number < $(nproc); number++)); do
    printf '%s\n' "processor : $number" "Features : fp asimd crc32 cpuid" "CPU implementer : 0x41" \
        "CPU architecture: 8" "CPU variant : 0x0" "CPU part : 0xd08" "CPU revision : 3" ""
done > "$cpuinfo"

limit=(timeout --foreground "${LIMIT:-3600}")
# The kernel starts arm64 programs by itself once their emulator is registered.
registered=/proc/sys/fs/binfmt_misc/qemu-aarch64
environment=(QEMU_CPU=$cpu HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin)
if [ "${EMULATOR:-binfmt}" = binfmt ] && [ ! -e $registered ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2> /dev/null || true
    cat /usr/lib/binfmt.d/qemu-aarch64.conf > /proc/sys/fs/binfmt_misc/register 2> /dev/null || true
fi
if [ "${EMULATOR:-binfmt}" = binfmt ] && [ -e $registered ]; then
    inside() {
        # In a mount namespace of its own: its mounts end with it.
        # shellcheck disable=SC2016
        "${limit[@]}" unshare --mount bash -c 'mount --rbind /proc "$1/proc" && mount --rbind /sys "$1/sys" \
            && mount --bind "$0" "$1/proc/cpuinfo" && exec chroot "$@"' \
            "$cpuinfo" "$root" /usr/bin/env -i "${environment[@]}" "$@"
    }
elif command -v proot > /dev/null; then
    inside() {
        env -i "${environment[@]}" "${limit[@]}" "$(command -v proot)" -0 -q "$emulator" -r "$root" \
            -b /proc -b "$cpuinfo:/proc/cpuinfo" -b /sys -b /dev -w / "$@"
    }
else
    echo "skipped: no binfmt_misc here, and no proot: apt-get install proot"
    exit 0
fi

if [ ! -e "$root/usr/bin/pip3" ]; then
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3-venv,python3-pip,ca-certificates \
        "${SUITE:-trixie}" "$root"
    inside /debootstrap/debootstrap --second-stage
fi
# pip inside uses the network settings of this machine.
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"

work=$root/tmp/edge-fairmot
rm -rf "$work" && mkdir -p "$work"
"$python" -m pip wheel -q --no-deps -w "$work" .
"$python" tests/devices/first_frames.py "$video" "${FRAMES:-10}" "$work/frames"
# A file of each form, which ONNX Runtime runs here and its own runtime there; people-light is int8.
read -ra forms <<< "${FORMS:-people-light native gather opencv ncnn mnn}"
for form in "${forms[@]}"; do
    make=("$here" convert "$checkpoint" -o "$work/$form.onnx" --size "${SIZE:-320x192}")
    case $form in
        people-light) cp "edge_fairmot/bundled/$form.onnx" "$work/" ;;
        native | gather) "${make[@]}" --deform-conv "$form" ;;
        *) "${make[@]}" --for "$form" ;;
    esac
    "$here" track "$work/frames" -m "$work/$form.onnx" --runtime cpu --no-video -o "$work/here-$form"
done

[ -e "$root/opt/venv/bin/pip" ] || inside python3 -m venv /opt/venv
inside sh -c "/opt/venv/bin/pip install -q --only-binary :all: --force-reinstall --no-deps /tmp/edge-fairmot/*.whl \
    && /opt/venv/bin/pip install -q --only-binary :all: 'edge-fairmot[cpu,ncnn,mnn]'"
inside /opt/venv/bin/python -c "import platform, onnxruntime; print(platform.machine(), onnxruntime.__version__)"
for form in "${forms[@]}"; do
    within=()
    case $form in
        # Values between two steps of int8 round otherwise there; OpenVINO's differ by 1.3 px on the machine here.
        people-light) runtime=cpu within=(2) ;;
        native | gather) runtime=cpu ;;
        *) runtime=$form ;;
    esac
    inside /opt/venv/bin/edge-fairmot track /tmp/edge-fairmot/frames -m "/tmp/edge-fairmot/$form.onnx" \
        --runtime "$runtime" --no-video -o "/tmp/edge-fairmot/there-$form"
    echo -n "aarch64, $runtime, $form: "
    "$python" tests/devices/same_tracks.py "$work/here-$form/tracks.txt" "$work/there-$form/tracks.txt" "${within[@]}"
done

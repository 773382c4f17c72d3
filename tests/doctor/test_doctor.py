"""Devices that are ill in one way each, and what the doctor says."""

import errno
import importlib
import json
import os
import struct
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import edge_fairmot.doctor.cameras
from edge_fairmot.cli.main import _add_commands, app
from edge_fairmot.doctor import (
    Board,
    examine_cameras,
    examine_disk,
    examine_extras,
    examine_heat,
    examine_probes,
    examine_runtimes,
    examine_system,
    read_board,
)
from edge_fairmot.runtimes import RuntimeStatus
from edge_fairmot.runtimes.probe import ProbeResult

PC = Board("AMD EPYC", "Debian GNU/Linux 12 (bookworm)", "bookworm")
PI = Board("Raspberry Pi 5 Model B Rev 1.0", "Debian GNU/Linux 13 (trixie)", "trixie")
BOOKWORM_PI = Board("Raspberry Pi 4 Model B", "Debian GNU/Linux 12 (bookworm)", "bookworm")


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def of(findings, verdict):
    return [finding for finding in findings if finding.verdict == verdict]


def test_a_board_is_read(tmp_path):
    root = tree(
        tmp_path,
        {
            "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_CODENAME=trixie\n',
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        },
    )
    assert read_board(root) == PI
    assert PI.is_raspberry_pi
    assert not PC.is_raspberry_pi
    assert read_board(tmp_path / "nothing").model


def test_memory_and_clock(tmp_path):
    root = tree(tmp_path, {"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable:    100000 kB\n"})
    (memory,) = of(examine_system(PC, root), "mend")
    assert memory.text == "102 MB are available"
    assert "smaller model" in memory.remedy
    tree(root, {"proc/meminfo": "MemAvailable: 2000000 kB\n", "run/systemd/timesync/other": ""})
    found = list(examine_system(PC, root))
    assert not of(found, "mend")
    assert [finding.area for finding in of(found, "note")] == ["clock"]
    tree(root, {"run/systemd/timesync/synchronized": ""})
    assert {finding.verdict for finding in examine_system(PC, root)} == {"ok"}


def test_a_32_bit_system_is_to_be_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(struct, "calcsize", lambda _: 4)
    (finding,) = examine_system(BOOKWORM_PI, tmp_path)
    assert (finding.verdict, "32-bit" in finding.text) == ("mend", True)
    assert "Raspberry Pi Imager" in finding.remedy


@pytest.mark.parametrize(("free", "verdict"), [(10 * 10**9, "ok"), (10**9, "note"), (10**8, "mend")])
def test_a_disk_that_fills_up(tmp_path, monkeypatch, free, verdict):
    disk = SimpleNamespace(f_flag=0, f_bavail=free // 1000, f_frsize=1000)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    finding = examine_disk(tmp_path)
    assert (finding.verdict, bool(finding.remedy)) == (verdict, verdict == "mend")
    assert f"{free // 10**6} MB are free" in finding.text


def test_a_disk_that_cannot_be_written(tmp_path, monkeypatch):
    assert "No such file" in examine_disk(tmp_path / "nothing").text
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "chown" in examine_disk(tmp_path).remedy
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY, f_bavail=9, f_frsize=9))
    assert "read-only" in examine_disk(tmp_path).text


def vcgencmd(folder, told):
    script = folder / "vcgencmd"
    script.write_text(f"#!/bin/sh\necho {told}\n")
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("bits", "verdicts"),
    [
        ("0x0", {"throttling": "ok"}),
        ("0x50005", {"power": "mend", "throttling": "mend"}),
        ("0x50000", {"power": "mend", "throttling": "note"}),
        ("0x80008", {"throttling": "mend"}),
        ("0x80000", {"throttling": "note"}),
        ("0x10000", {"power": "mend"}),
    ],
)
def test_a_raspberry_pi_tells_of_heat_and_power(tmp_path, bits, verdicts):
    found = list(examine_heat(tmp_path, vcgencmd(tmp_path, f"throttled={bits}")))
    assert {finding.area: finding.verdict for finding in found if finding.area != "temperature"} == verdicts
    for finding in of(found, "mend"):
        assert ("supply" in finding.remedy) == (finding.area == "power")


@pytest.mark.parametrize(
    ("files", "verdicts"),
    [
        ({}, ("note", "note")),
        ({"sys/class/thermal/thermal_zone0/temp": "45200"}, ("ok", "note")),
        (
            {
                "sys/class/thermal/thermal_zone0/temp": "45200",
                "sys/class/thermal/thermal_zone1/temp": "84500",
                "sys/class/thermal/thermal_zone1/type": "cpu-thermal",
                "sys/class/thermal/thermal_zone2/temp": "",
                "sys/class/thermal/thermal_zone3/temp": "-274000",
            },
            ("mend", "note"),
        ),
        ({"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0\n"}, ("note", "ok")),
        ({"sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "7\n"}, ("note", "note")),
        ({"sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_throttled 12\n"}, ("note", "note")),
    ],
)
def test_other_machines_tell_what_they_tell(tmp_path, monkeypatch, files, verdicts):
    monkeypatch.setenv("PATH", "")
    temperature, throttling = examine_heat(tree(tmp_path, files))
    assert (temperature.verdict, throttling.verdict) == verdicts
    if verdicts[0] == "mend":
        assert temperature.text == "84.5 °C (cpu-thermal)"
    if "cpu1" in str(files):
        assert "7 times" in throttling.text


class Driver:
    """A video driver at the kernel's seam; the layout is checked against the kernel's own in C below."""

    def __init__(self, card, caps, formats=(), driver="uvcvideo"):
        self._answer = struct.pack(
            "=16s32s32sIII12x", driver.encode(), card.encode(), b"usb-1", 0x60000, 0x80000000 | caps, caps
        )
        self._formats = formats

    def __call__(self, device, request, answer):
        if request == 0x80685600:
            answer[:] = self._answer
            return
        assert request == 0xC0405602
        index = struct.unpack_from("=I", answer)[0]
        if index >= len(self._formats):
            raise OSError(errno.EINVAL, "Invalid argument")
        struct.pack_into("=4s", answer, 44, self._formats[index].encode())


def test_the_kernel_is_asked_as_its_header_says(tmp_path):
    """Sizes and numbers of the two questions, by the kernel's own header."""
    import shutil
    import subprocess

    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    program = tmp_path / "sizes.c"
    program.write_text(
        "#include <linux/videodev2.h>\n#include <stddef.h>\n#include <stdio.h>\n"
        'int main(void) { printf("%lu %lu %zu %zu %zu %zu", (unsigned long)VIDIOC_QUERYCAP, '
        "(unsigned long)VIDIOC_ENUM_FMT, sizeof(struct v4l2_capability), sizeof(struct v4l2_fmtdesc), "
        "offsetof(struct v4l2_capability, capabilities), offsetof(struct v4l2_fmtdesc, pixelformat)); }\n"
    )
    made = subprocess.run(
        [compiler, str(program), "-o", str(tmp_path / "sizes")], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("needs the kernel's headers")
    told = subprocess.run([str(tmp_path / "sizes")], capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(0x80685600), str(0xC0405602), "104", "64", "84", "44"]
    assert edge_fairmot.doctor.cameras._CAPABILITY.size == 104
    assert edge_fairmot.doctor.cameras._FORMAT.size == 64


def cameras(tmp_path, driver, board=PC):
    tree(tmp_path, {"dev/video0": ""})
    return list(examine_cameras(board, tmp_path, driver))


def test_a_usb_camera_is_named_with_its_formats(tmp_path):
    (found,) = cameras(tmp_path, Driver("HD Webcam", 0x04200001, ("YUYV", "MJPG")))
    assert (found.verdict, found.text) == ("ok", "/dev/video0: HD Webcam, YUYV, MJPG")
    (found,) = cameras(tmp_path, Driver("Old Webcam", 0x1, ("YUYV",)))
    assert "uncompressed only" in found.text


@pytest.mark.parametrize(
    "driver",
    [
        Driver("metadata of a webcam", 0x04A00000),
        Driver("bcm2835-codec", 0x04008000, ("H264",)),
        Driver("both ways", 0x04008001, ("H264",)),
        Driver("unicam", 0x1, ("pBAA",), "unicam"),
    ],
)
def test_what_gives_no_pictures_is_no_camera(tmp_path, driver):
    (found,) = cameras(tmp_path, driver)
    assert (found.verdict, "none here" in found.text) == ("note", True)


def test_a_camera_that_is_not_ours_to_open(tmp_path):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    (found,) = cameras(tmp_path, refuse)
    assert (found.verdict, found.remedy) == ("mend", "sudo usermod -aG video $USER, then log in again")

    def dead(*_):
        raise OSError(errno.ENODEV, "No such device")

    assert cameras(tmp_path, dead)[0].verdict == "note"


@pytest.fixture(autouse=True)
def _without_picamera2(monkeypatch):
    """Whatever is installed where the tests run."""
    monkeypatch.setattr(edge_fairmot.doctor.cameras, "sees_picamera2", lambda: False)


SEES_PICAMERA2 = edge_fairmot.doctor.cameras.sees_picamera2


@pytest.fixture
def picamera2(tmp_path, monkeypatch, _without_picamera2):
    """Packages of these names, for this process and those that it starts."""

    def make(program):
        tree(
            tmp_path,
            {"packages/picamera2/__init__.py": program, "packages/libcamera/__init__.py": ""},
        )
        monkeypatch.setattr(edge_fairmot.doctor.cameras, "sees_picamera2", SEES_PICAMERA2)
        monkeypatch.syspath_prepend(str(tmp_path / "packages"))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
        return tmp_path

    return make


LISTING = """
class Picamera2:
    @staticmethod
    def global_camera_info():
        return {found}
"""


@pytest.mark.parametrize(
    ("program", "verdict", "text"),
    [
        (LISTING.format(found=[{"Model": "imx708"}, {"Model": "ov5647"}]), "ok", "picamera2: imx708, ov5647"),
        (LISTING.format(found=[]), "note", "no camera is on the board's connector"),
        ("raise ImportError('libcamera is broken')", "mend", "ImportError: libcamera is broken"),
        ("import os; os.abort()", "mend", "gave no answer"),
    ],
)
def test_picamera2_is_asked_in_a_process_of_its_own(picamera2, program, verdict, text):
    (found,) = examine_cameras(PI, picamera2(program))
    assert found.verdict == verdict
    assert text in found.text


def test_numpy_2_is_too_new_for_bookworms_picamera2(picamera2, monkeypatch):
    root = picamera2(LISTING.format(found=[{"Model": "imx708"}]))
    monkeypatch.setattr(edge_fairmot.doctor.cameras, "_major_version", lambda _: 2)
    (found,) = examine_cameras(BOOKWORM_PI, root)
    assert (found.verdict, found.remedy) == ("mend", "pip install 'numpy<2'")
    monkeypatch.setattr(edge_fairmot.doctor.cameras, "_major_version", lambda _: 1)
    assert next(iter(examine_cameras(BOOKWORM_PI, root))).verdict == "ok"


def test_picamera2_alone_is_not_seen(tmp_path, monkeypatch):
    tree(tmp_path, {"packages/picamera2/__init__.py": ""})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    assert not SEES_PICAMERA2()
    tree(tmp_path, {"packages/libcamera/__init__.py": ""})
    importlib.invalidate_caches()
    assert SEES_PICAMERA2()


def test_an_environment_that_does_not_see_the_systems_packages(tmp_path):
    (found,) = examine_cameras(PI, tmp_path)
    assert "apt install -y python3-picamera2" in found.remedy
    (tmp_path / "usr/lib/python3/dist-packages/picamera2").mkdir(parents=True)
    (found,) = examine_cameras(PI, tmp_path)
    assert (found.verdict, "--system-site-packages" in found.remedy) == ("mend", True)


def test_a_device_without_a_runtime_is_told_what_to_install():
    rows = [
        RuntimeStatus("cpu", False, "", "CPU", "pip install 'edge-fairmot[cpu]'"),
        RuntimeStatus("replay", True, "edge-fairmot 0.1.0", "none", ""),
    ]
    (found,) = of(examine_runtimes(rows), "mend")
    assert found.remedy == "pip install 'edge-fairmot[cpu]'"
    able = [RuntimeStatus("cpu", True, "onnxruntime 1.32.0", "CPU", "", ("cpu",))]
    assert not of(examine_runtimes(able), "mend")


def test_openvino_on_a_processor_without_vnni_is_a_note(tmp_path):
    rows = [RuntimeStatus("openvino", True, "openvino 2026.4", "CPU", "", ("openvino:CPU",))]
    old = tree(tmp_path / "old", {"proc/cpuinfo": "flags\t\t: fpu avx avx2\n"})
    new = tree(tmp_path / "new", {"proc/cpuinfo": "flags\t\t: fpu avx avx2 avx_vnni\n"})
    (found,) = of(examine_runtimes(rows, old), "note")
    assert "int8 sums can overflow on this processor" in found.text
    assert "--runtime cpu, or take an fp32 file" in found.remedy
    assert not of(examine_runtimes(rows, new), "note")
    elsewhere = [RuntimeStatus("openvino", True, "openvino 2026.4", "GPU", "", ("openvino:GPU",))]
    assert not of(examine_runtimes(elsewhere, old), "note")


def test_a_lowering_that_does_not_run_is_a_note_where_another_does():
    old = [
        ProbeResult("cpu", "native", None, None, "no DeformConv"),
        ProbeResult("cpu", "gridsample", 1e-7, 3.0),
        ProbeResult("cpu", "gather", 1e-7, 1.0),
    ]
    ok, note = examine_probes(old)
    assert ok.text == "cpu: exact with gridsample (3.0 ms), gather (1.0 ms)"
    assert (note.verdict, note.remedy) == (
        "note",
        "for this runtime: edge-fairmot convert ... --deform-conv gather",
    )
    wrong = [ProbeResult("cuda", "native", 0.3, 1.0), ProbeResult("cuda", "gather", None, None, "crashed")]
    assert [finding.verdict for finding in examine_probes(wrong)] == ["mend", "mend"]


def test_an_extra_that_is_missing_comes_with_its_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho", None)
    monkeypatch.delitem(sys.modules, "paho")
    found = {finding.text.split(":")[0].split()[0]: finding for finding in examine_extras()}
    assert set(found) == {"video", "web", "mqtt"}
    for name, finding in found.items():
        assert finding.verdict == "ok" or finding.remedy == f"pip install 'edge-fairmot[{name}]'"


@pytest.fixture(scope="module", autouse=True)
def _commands():
    _add_commands()


def examine(*arguments):
    return CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_the_command_ends_with_1_where_something_is_to_be_mended(tmp_path):
    well = examine("--no-probe", "--folder", str(tmp_path))
    ill = examine("--no-probe", "--folder", str(tmp_path / "nothing"))
    assert ill.exit_code == 1
    assert "to mend: " in ill.output
    assert f"mkdir -p {tmp_path / 'nothing'}" in ill.output
    if well.exit_code == 0:  # on a machine that is well
        assert "nothing has to be mended" in well.output


def test_json_says_the_same(tmp_path):
    result = examine("--no-probe", "--json", "--folder", str(tmp_path / "nothing"))
    document = json.loads(result.output)
    assert (result.exit_code, document["healthy"], document["schema_version"]) == (1, False, 1)
    assert {"system", "cameras", "runtimes", "extras", "temperature", "throttling", "disk"} <= {
        finding["area"] for finding in document["findings"]
    }
    assert any(finding["verdict"] == "mend" for finding in document["findings"])

"""Devices with one fault each, and what the doctor finds."""

import importlib
import json
import os
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from edge_fairmot import doctor
from edge_fairmot.cli.doctor import check_runtimes
from edge_fairmot.cli.doctor import doctor as doctor_command
from edge_fairmot.cli.doctor import runtimes as runtimes_command
from edge_fairmot.doctor import (
    EXTRAS,
    Board,
    check_cameras,
    check_disk,
    check_extras,
    check_system,
    check_thermals,
    read_board,
)
from edge_fairmot.runtimes import RuntimeStatus, list_runtimes, registry

PC = Board("AMD EPYC", "Debian GNU/Linux 12 (bookworm)", "bookworm")
PI = Board("Raspberry Pi 5 Model B Rev 1.0", "Debian GNU/Linux 13 (trixie)", "trixie")
BOOKWORM_PI = Board("Raspberry Pi 4 Model B", "Debian GNU/Linux 12 (bookworm)", "bookworm")


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def of(findings, level):
    return [finding for finding in findings if finding.level == level]


def test_a_board_is_read(tmp_path):
    root = tree(
        tmp_path,
        {
            "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_CODENAME=trixie\n',
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        },
    )
    assert read_board(root) == PI
    assert (PI.is_raspberry_pi, PC.is_raspberry_pi) == (True, False)
    assert read_board(tmp_path / "nothing").model


def test_memory_clock_and_word_size(tmp_path, monkeypatch):
    root = tree(tmp_path, {"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable:    100000 kB\n"})
    (memory,) = of(check_system(PC, root), "error")
    assert memory.text == "102 MB are available"
    assert "smaller model" in memory.fix
    tree(root, {"proc/meminfo": "MemAvailable: 2000000 kB\n", "run/systemd/timesync/other": ""})
    assert [(finding.area, finding.level) for finding in check_system(PC, root)] == [
        ("system", "ok"),
        ("memory", "ok"),
        ("clock", "warning"),
    ]
    tree(root, {"run/systemd/timesync/synchronized": ""})
    assert {finding.level for finding in check_system(PC, root)} == {"ok"}
    monkeypatch.setattr(struct, "calcsize", lambda _: 4)
    (system,) = of(check_system(BOOKWORM_PI, root), "error")
    assert "32-bit" in system.text


@pytest.mark.parametrize(("free", "level"), [(10 * 10**9, "ok"), (10**9, "warning"), (10**8, "error")])
def test_a_disk_that_fills_up(tmp_path, monkeypatch, free, level):
    disk = SimpleNamespace(f_flag=0, f_bavail=free // 1000, f_frsize=1000)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    finding = check_disk(tmp_path)
    assert (finding.level, bool(finding.fix)) == (level, level == "error")
    assert f"{free // 10**6} MB are free" in finding.text


def test_a_disk_that_cannot_be_written(tmp_path, monkeypatch):
    assert "No such file" in check_disk(tmp_path / "nothing").text
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "chown" in check_disk(tmp_path).fix
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY, f_bavail=9, f_frsize=9))
    assert "read-only" in check_disk(tmp_path).text


@pytest.mark.parametrize(
    ("bits", "levels"),
    [
        ("0x0", {"throttling": "ok"}),
        ("0x50005", {"power": "error", "throttling": "error"}),
        ("0x50000", {"power": "error", "throttling": "warning"}),
        ("0x80008", {"throttling": "error"}),
        ("0x80000", {"throttling": "warning"}),
        ("0x10000", {"power": "error"}),
    ],
)
def test_heat_and_power_of_a_raspberry_pi(tmp_path, bits, levels):
    tool = tree(tmp_path, {"vcgencmd": f"#!/bin/sh\necho throttled={bits}\n"}) / "vcgencmd"
    tool.chmod(0o755)
    found = list(check_thermals(tmp_path, str(tool)))
    assert {finding.area: finding.level for finding in found if finding.area != "temperature"} == levels
    for finding in of(found, "error"):
        assert ("supply" in finding.fix) == (finding.area == "power")


@pytest.mark.parametrize(
    ("files", "levels"),
    [
        ({}, ("warning", "warning")),
        ({"sys/class/thermal/thermal_zone0/temp": "45200"}, ("ok", "warning")),
        (
            {
                "sys/class/thermal/thermal_zone0/temp": "45200",
                "sys/class/thermal/thermal_zone1/temp": "84500",
                "sys/class/thermal/thermal_zone1/type": "cpu-thermal",
            },
            ("error", "warning"),
        ),
        ({"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "0\n"}, ("warning", "ok")),
        ({"sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "7\n"}, ("warning", "warning")),
        ({"sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_throttled 12\n"}, ("warning", "warning")),
    ],
)
def test_heat_and_quota_of_other_machines(tmp_path, monkeypatch, files, levels):
    monkeypatch.setenv("PATH", "")
    temperature, throttling = check_thermals(tree(tmp_path, files))
    assert (temperature.level, throttling.level) == levels
    if levels[0] == "error":
        assert temperature.text == "84.5 °C (cpu-thermal)"
    if "cpu1" in str(files):
        assert "7 times" in throttling.text


def video_devices(root, *names, index="0"):
    """Make nodes as the kernel describes them; the files of /dev are made too."""
    for number, name in enumerate(names):
        folder = f"sys/class/video4linux/video{number}"
        tree(root, {f"{folder}/name": f"{name}\n", f"{folder}/index": f"{index}\n", f"dev/video{number}": ""})
    return root


def test_usb_cameras_are_named(tmp_path):
    video_devices(tmp_path, *["HD Webcam"] * 11)
    tree(tmp_path, {"sys/class/video4linux/video1/index": "1\n"})  # metadata of the first
    found = [finding.text for finding in check_cameras(PC, tmp_path)]
    assert found == [f"/dev/video{number}: HD Webcam" for number in (0, *range(2, 11))]


def test_codecs_and_nodes_that_are_not_in_dev_are_no_cameras(tmp_path):
    root = video_devices(tmp_path, "bcm2835-codec-decode", "unicam-image", "rp1-cfe-csi2_ch0", "HD Webcam")
    (root / "dev/video3").unlink()  # a container sees the names of the host's cameras
    (found,) = check_cameras(PC, root)
    assert (found.level, "none here" in found.text) == ("warning", True)


def test_a_camera_without_permission_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    (found,) = check_cameras(PC, video_devices(tmp_path, "HD Webcam"))
    assert (found.level, found.fix) == ("error", "sudo usermod -aG video $USER, then log in again")


SEES_PICAMERA2 = doctor.sees_picamera2


@pytest.fixture(autouse=True)
def _without_picamera2(monkeypatch):
    """Whether it is installed on this machine does not matter."""
    monkeypatch.setattr(doctor, "sees_picamera2", lambda: False)


@pytest.fixture
def picamera2(tmp_path, monkeypatch, _without_picamera2):
    """Packages of these names, for this process and those that it starts."""

    def make(program):
        tree(tmp_path, {"packages/picamera2/__init__.py": program, "packages/libcamera/__init__.py": ""})
        monkeypatch.setattr(doctor, "sees_picamera2", SEES_PICAMERA2)
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
    ("program", "level", "text"),
    [
        (LISTING.format(found=[{"Model": "imx708"}, {"Model": "ov5647"}]), "ok", "picamera2: imx708, ov5647"),
        (LISTING.format(found=[]), "warning", "no camera is on the board's connector"),
        ("raise ImportError('libcamera is broken')", "error", "ImportError: libcamera is broken"),
        ("import os; os.abort()", "error", "gave no answer"),
    ],
)
def test_picamera2_is_asked_in_a_process_of_its_own(picamera2, program, level, text):
    (found,) = check_cameras(PI, picamera2(program))
    assert found.level == level
    assert text in found.text


def test_numpy_2_is_too_new_for_bookworms_picamera2(picamera2, monkeypatch):
    root = picamera2(LISTING.format(found=[{"Model": "imx708"}]))
    monkeypatch.setattr(doctor, "_major_version", lambda _: 2)
    (found,) = check_cameras(BOOKWORM_PI, root)
    assert (found.level, found.fix) == ("error", "pip install 'numpy<2'")
    monkeypatch.setattr(doctor, "_major_version", lambda _: 1)
    assert next(iter(check_cameras(BOOKWORM_PI, root))).level == "ok"


def test_picamera2_without_libcamera_is_not_seen(tmp_path, monkeypatch):
    tree(tmp_path, {"packages/picamera2/__init__.py": ""})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    assert not SEES_PICAMERA2()
    tree(tmp_path, {"packages/libcamera/__init__.py": ""})
    importlib.invalidate_caches()
    assert SEES_PICAMERA2()


def test_an_environment_that_does_not_see_the_systems_packages(tmp_path):
    (found,) = check_cameras(PI, tmp_path)
    assert "apt install -y python3-picamera2" in found.fix
    (tmp_path / "usr/lib/python3/dist-packages/picamera2").mkdir(parents=True)
    (found,) = check_cameras(PI, tmp_path)
    assert (found.level, "--system-site-packages" in found.fix) == ("error", True)


def test_an_extra_that_is_missing_comes_with_its_command(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "paho" else find_spec("sys")
    )
    found = {finding.text.partition(":")[0]: finding for finding in check_extras()}
    assert set(found) == {*EXTRAS, "mqtt is not installed"} - {"mqtt"}
    assert found["mqtt is not installed"].fix == "pip install 'edge-fairmot[mqtt]'"


CPU = RuntimeStatus("cpu", True, "onnxruntime 1.32.0", "CPU", "")


def test_a_device_without_a_runtime_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "package_conflict", lambda: "")
    missing = RuntimeStatus("cpu", False, "", "", "pip install 'edge-fairmot[cpu]'")
    (found,) = check_runtimes([missing], tmp_path)
    assert (found.level, found.fix) == ("error", "pip install 'edge-fairmot[cpu]'")
    (found,) = check_runtimes([CPU], tmp_path)
    assert (found.level, found.text) == ("ok", "cpu: onnxruntime 1.32.0, CPU")
    monkeypatch.setattr(registry, "package_conflict", lambda: "two packages overwrite each other's files")
    _, found = check_runtimes([CPU], tmp_path)
    assert (found.level, found.fix) == ("error", registry.gpu_install_command())


@pytest.mark.parametrize(
    ("devices", "flags", "warned"),
    [("CPU, GPU", "avx2", True), ("CPU", "avx_vnni", False), ("GPU", "avx2", False)],
)
def test_openvino_on_a_processor_without_vnni_is_a_warning(tmp_path, devices, flags, warned):
    row = RuntimeStatus("openvino", True, "openvino 2026.4", devices, "")
    root = tree(tmp_path, {"proc/cpuinfo": f"flags\t\t: fpu avx {flags}\n"})
    found = of(check_runtimes([row], root), "warning")
    assert bool(found) == warned
    for finding in found:
        assert "int8 sums can overflow on this processor" in finding.text
        assert "--runtime cpu, or take an fp32 file" in finding.fix


def run(command, *arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_the_command_ends_with_1_after_an_error(tmp_path):
    result = run(doctor_command, "--folder", str(tmp_path / "nothing"))
    assert result.exit_code == 1
    assert f"error: {tmp_path / 'nothing'} cannot be read (No such file or directory)" in result.output
    assert f"    fix: mkdir -p {tmp_path / 'nothing'}" in result.output
    healthy = run(doctor_command, "--folder", str(tmp_path))
    assert ("all checks passed" in healthy.output) == (healthy.exit_code == 0)
    document = json.loads(run(doctor_command, "--json", "--folder", str(tmp_path / "nothing")).output)
    assert (document["healthy"], document["schema_version"]) == (False, 2)
    areas = {finding["area"]: finding["level"] for finding in document["findings"]}
    assert {"system", "cameras", "runtimes", "extras", "temperature", "throttling", "disk"} <= set(areas)
    assert areas["disk"] == "error"


def test_runtimes_are_listed_with_the_command_for_a_missing_one(monkeypatch):
    monkeypatch.setattr(registry, "package_conflict", lambda: "two packages overwrite each other's files")
    result = run(runtimes_command)
    assert result.exit_code == 0
    for row in list_runtimes():
        assert row.name in result.stdout
        assert (row.version or row.fix) in " ".join(result.stdout.split())
    assert (
        f"warning: two packages overwrite each other's files: {registry.gpu_install_command()}"
        in result.stderr
    )
    rows = json.loads(run(runtimes_command, "--json").stdout)["runtimes"]
    assert [row["name"] for row in rows] == [row.name for row in list_runtimes()]


def test_the_core_of_the_doctor_imports_no_runtime():
    program = "import sys, edge_fairmot.doctor; print(any('runtimes' in name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

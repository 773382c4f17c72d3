"""The machine, its conditions and its energy, read from a folder that is laid out like a Linux system."""

import os
import stat
import sys
import time
from types import SimpleNamespace

import pytest

from edge_fairmot.benchmarks.conditions import Conditions, ConditionsLog, Reading, ThrottleGauge
from edge_fairmot.benchmarks.energy import MeterSum, opened_meter
from edge_fairmot.benchmarks.machine import describe_gpus, describe_machine, opened_gauge
from edge_fairmot.errors import MissingDependencyError


def lay(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_board_is_named_by_its_device_tree(tmp_path):
    lay(
        tmp_path,
        {
            "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd\n",
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/meminfo": "MemTotal:        8245248 kB\nMemFree: 1 kB\n",
            "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        },
    )

    machine = describe_machine(tmp_path)

    assert machine.name == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.memory_mb == 8052
    assert machine.system == "Debian GNU/Linux 12 (bookworm)"
    assert (machine.governor, machine.virtual) == ("ondemand", False)


def test_a_pc_is_named_by_its_processor_and_a_guest_is_known(tmp_path):
    lay(
        tmp_path,
        {"proc/cpuinfo": "model name\t: AMD EPYC 9004\nflags\t\t: fpu sse hypervisor avx\n"},
    )

    machine = describe_machine(tmp_path)

    assert (machine.name, machine.virtual, machine.memory_mb) == ("AMD EPYC 9004", True, 0)
    assert "AMD EPYC 9004" in str(machine)
    assert "virtual" in str(machine)


def rapl(root, number, name, energy_uj, range_uj=1000):
    folder = f"sys/class/powercap/intel-rapl:{number}"
    files = {"name": name, "energy_uj": energy_uj, "max_energy_range_uj": range_uj}
    lay(root, {f"{folder}/{file}": f"{text}\n" for file, text in files.items()})
    return root / folder / "energy_uj"


def test_rapl_counts_packages_only_and_through_the_wrap(tmp_path):
    counter = rapl(tmp_path, "0", "package-0", 900)
    rapl(tmp_path, "0:0", "core", 500)
    rapl(tmp_path, "1", "psys", 500)

    with opened_meter(tmp_path) as meter:
        assert meter.name == "RAPL package-0"
        counter.write_text("950")
        assert meter.energy_j() == pytest.approx(50e-6)
        counter.write_text("49")  # 951 ... 1000, 0 ... 49
        assert meter.energy_j() == pytest.approx(150e-6)


def test_two_packages_are_one_sum(tmp_path):
    rapl(tmp_path, "0", "package-0", 0)
    second = rapl(tmp_path, "1", "package-1", 0)

    with opened_meter(tmp_path) as meter:
        second.write_text("7")
        assert meter.name == "RAPL package-0 + RAPL package-1"
        assert meter.energy_j() == pytest.approx(7e-6)
    known, unknown = (
        SimpleNamespace(name="made up", energy_j=lambda value=value: value) for value in (3.0, None)
    )
    assert MeterSum([known, known]).energy_j() == 6.0
    assert MeterSum([known, unknown]).energy_j() is None


def ina(root, number, channels, name="ina3221"):
    folder = f"sys/class/hwmon/hwmon{number}"
    lay(root, {f"{folder}/name": f"{name}\n"})
    for channel, (label, millivolts, milliamperes) in enumerate(channels, start=1):
        lay(
            root,
            {
                f"{folder}/in{channel}_label": f"{label}\n",
                f"{folder}/in{channel}_input": f"{millivolts}\n",
                f"{folder}/curr{channel}_input": f"{milliamperes}\n",
            },
        )


def refuse(path):
    """Make a file that exists and cannot be read, as of a sensor that is switched off; by root neither."""
    path.unlink()
    path.mkdir()


def test_a_board_s_sensors_are_integrated_over_time(tmp_path):
    ina(tmp_path, 0, [("VDD_IN", 5000, 1000), ("VDD_CPU", 5000, 400)])
    ina(tmp_path, 1, [("temp", 1, 1)], name="coretemp")

    with opened_meter(tmp_path) as meter:
        assert meter.name == "board, by INA"
        before = time.monotonic(), meter.energy_j()
        while time.monotonic() - before[0] < 0.25:
            time.sleep(0.02)
        elapsed_s, energy_j = time.monotonic() - before[0], meter.energy_j() - before[1]
        # 5 W: the rail that feeds the others is counted, and they are not.
        assert energy_j == pytest.approx(5 * elapsed_s, rel=0.2)


def test_rails_are_summed_where_none_feeds_the_others(tmp_path):
    ina(tmp_path, 0, [("VDD_IN", 5000, 1000), ("VDD_GPU", 1000, 3000), ("VDD_CPU", 1000, 2000)])
    refuse(tmp_path / "sys/class/hwmon/hwmon0/curr1_input")  # a channel that cannot be read is left out

    with opened_meter(tmp_path) as meter:
        assert meter._power_w() == pytest.approx(5.0)

    for channel in (2, 3):
        refuse(tmp_path / f"sys/class/hwmon/hwmon0/in{channel}_input")
    with opened_meter(tmp_path) as meter:
        assert meter is None


def test_the_energy_of_a_silent_sensor_is_unknown_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_fairmot.benchmarks.energy.LONGEST_SILENCE_S", 0.2)
    ina(tmp_path, 0, [("VDD_GPU", 1000, 3000), ("VDD_CPU", 1000, 2000)])
    current = tmp_path / "sys/class/hwmon/hwmon0/curr1_input"

    with opened_meter(tmp_path) as meter:
        assert meter.energy_j() is not None
        refuse(current)
        assert meter._power_w() is None  # two amperes would be less than what flows
        time.sleep(0.3)
        assert meter.energy_j() is None
        current.rmdir()
        current.write_text("3000")
        assert meter.energy_j() is not None
        assert meter._thread.is_alive()


def test_throttling_is_a_rising_counter(tmp_path):
    assert ThrottleGauge(tmp_path).throttled() is None  # a system without counters is not unthrottled
    heat = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    lay(tmp_path, {heat: "3\n", "sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_throttled 0\n"})
    gauge = ThrottleGauge(tmp_path)

    assert gauge.throttled() is False
    lay(tmp_path, {heat: "4\n"})
    assert gauge.throttled() is True
    assert gauge.throttled() is False
    lay(tmp_path, {"sys/fs/cgroup/cpu.stat": "nr_throttled 9\n"})
    assert gauge.throttled() is True
    lay(tmp_path, {heat.replace("core_", "package_"): "1\n"})
    assert gauge.throttled() is True


@pytest.mark.parametrize(
    ("bits", "held"), [("0x0", False), ("0x50000", False), ("0x50005", True), ("0x8", True)]
)
def test_a_raspberry_pi_is_asked_by_vcgencmd(tmp_path, monkeypatch, bits, held):
    program = tmp_path / "vcgencmd"
    program.write_text(f'#!/bin/sh\n[ "$1" = get_throttled ] && echo "throttled={bits}"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert ThrottleGauge(tmp_path / "no-system").throttled() is held


def test_the_log_reads_this_machine(monkeypatch):
    with ConditionsLog() as log:
        pass
    (reading,) = log.conditions().readings
    assert reading.at_s >= 0
    assert reading.other_share is None or 0 <= reading.other_share <= 1
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingDependencyError, match=r"psutil.*edge-fairmot\[bench\]"):
        ConditionsLog()


def test_the_load_of_others_is_all_but_ours(monkeypatch):
    """On a machine of two cores, in one second: 1.5 s of work, half a second of it ours."""
    log = ConditionsLog()
    with log:
        log._before, log._before_at_s = (10.0, 100.0), 50.0
        monkeypatch.setattr(log, "_busy_s", lambda: (10.5, 101.5))
        monkeypatch.setattr("edge_fairmot.benchmarks.conditions.perf_counter", lambda: 51.0)
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        assert log._read().other_share == 0.5


def test_conditions_are_summed_up():
    nothing = Reading(3, None, None, None, None)
    conditions = Conditions(
        (Reading(1, 50.0, 1500.0, False, 0.2), Reading(2, 70.0, 900.0, True, 0.4), nothing)
    )

    assert conditions.other_share == pytest.approx(0.3)
    assert conditions.throttled_share == 0.5
    assert conditions.hottest_c == 70.0
    assert conditions.frequency_range_mhz == (900.0, 1500.0)
    unknown = Conditions((nothing,))
    assert unknown.other_share is unknown.throttled_share is unknown.hottest_c is None
    assert unknown.frequency_range_mhz is None


TEMPERATURE, ENERGY = "nvmlDeviceGetTemperature", "nvmlDeviceGetTotalEnergyConsumption"
REASONS, OLD_REASONS = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"


class NvmlError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """The few functions of NVML that are used, with a GPU that is too hot."""
    made_up = SimpleNamespace(
        NVMLError=NvmlError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: setattr(made_up, "open", True),
        nvmlShutdown=lambda: setattr(made_up, "open", False),
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: ("gpu", index),
        nvmlDeviceGetName=lambda handle: b"Orin",
        nvmlSystemGetDriverVersion=lambda: "540.4",
        **{TEMPERATURE: lambda handle, sensor: 91},
        **{REASONS: lambda handle: made_up.reasons, ENERGY: lambda handle: 12_500},
        reasons=0x40,
    )
    monkeypatch.setitem(sys.modules, "pynvml", made_up)
    return made_up


def not_supported(*arguments):
    raise NvmlError("Not Supported")


def withhold(nvml, *queries):
    """Have queries answered as a Jetson's NVML or an old driver answers them."""
    for query in queries:
        setattr(nvml, query, not_supported)


def test_a_gpu_has_a_name_heat_throttling_and_energy(nvml, tmp_path):
    assert describe_gpus() == ("Orin, driver 540.4",)
    with opened_gauge() as gauge:
        assert (gauge.temperature_c(), gauge.throttled(), gauge.energy_j()) == (91.0, True, 12.5)
        nvml.reasons = 0x1 | 0x4  # idle; capped by the power that was set
        assert gauge.throttled() is False
        withhold(nvml, REASONS)
        setattr(nvml, OLD_REASONS, lambda handle: 0x8)  # the older name
        assert gauge.throttled() is True
    assert not nvml.open
    with opened_meter(tmp_path) as meter:
        assert meter.name == "NVML"


def test_without_a_driver_there_is_no_gpu(nvml, monkeypatch):
    withhold(nvml, "nvmlInit")
    assert describe_gpus() == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert describe_gpus() == ()


@pytest.mark.parametrize("query", [TEMPERATURE, REASONS, ENERGY])
def test_a_log_goes_on_without_what_a_gpu_does_not_answer(nvml, query):
    withhold(nvml, query, OLD_REASONS)

    with ConditionsLog() as log:
        pass

    (reading,) = log.conditions().readings
    assert ("NVML" in log.conditions().energy_source) == (query != ENERGY)
    if query != TEMPERATURE:
        assert reading.temperature_c >= 91
    if query != REASONS:
        assert reading.throttled


def test_a_gpu_without_a_name_is_listed_and_one_that_cannot_be_reached_is_not(nvml):
    withhold(nvml, "nvmlDeviceGetName", "nvmlSystemGetDriverVersion")
    assert describe_gpus() == ("NVIDIA GPU",)
    withhold(nvml, "nvmlDeviceGetHandleByIndex", "nvmlShutdown")

    assert describe_gpus() == ()
    with opened_gauge() as gauge:
        assert gauge is None


def test_the_real_package_refuses_as_the_made_up_one_does():
    pynvml = pytest.importorskip("pynvml", reason="needs the bench extra")

    assert all(hasattr(pynvml, name) for name in (TEMPERATURE, REASONS, OLD_REASONS, ENERGY))
    with pytest.raises(pynvml.NVMLError):  # it was not initialised
        pynvml.nvmlDeviceGetCount()

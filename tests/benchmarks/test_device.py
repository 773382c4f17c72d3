"""What the machine is and does, read from a system laid out in a folder as Linux lays it out."""

import os
import stat
import sys
import time
from types import SimpleNamespace

import pytest

from edge_fairmot.benchmarks.device.conditions import Conditions, ConditionsLog, Reading
from edge_fairmot.benchmarks.device.energy import MeterSum, PowerIntegrator, opened_meter
from edge_fairmot.benchmarks.device.machine import describe_machine
from edge_fairmot.benchmarks.device.tegrastats import opened_tegrastats, parse_power_w
from edge_fairmot.benchmarks.device.throttling import ThrottleGauge
from edge_fairmot.errors import MissingDependencyError

ORIN = (
    "RAM 3162/7620MB (lfb 6x4MB) CPU [12%@1510,5%@1510] GR3D_FREQ 0% cpu@48.5C gpu@47.2C tj@49.1C "
    "VDD_IN 4940mW/4901mW VDD_CPU_GPU_CV 572mW/560mW VDD_SOC 1451mW/1450mW"
)
NANO = "RAM 1900/3956MB CPU [40%@1479] PLL@30C CPU@33.5C PMIC@100C POM_5V_IN 2124/2100 POM_5V_GPU 40/40"
AGX_ORIN = "CPU [1%@2201] VDD_GPU_SOC 2371mW/2371mW VDD_CPU_CV 395mW/395mW VIN_SYS_5V0 4000mW/4000mW"


def lay(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def install(folder, name, script, monkeypatch):
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


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


def test_this_machine_tells_its_packages():
    machine = describe_machine()

    assert {"edge-fairmot", "numpy"} <= machine.packages.keys()
    assert machine.cores >= 1
    assert machine.memory_mb > 100


def rapl(root, number, name, energy_uj, range_uj=1000):
    folder = f"sys/class/powercap/intel-rapl:{number}"
    lay(
        root,
        {
            f"{folder}/name": f"{name}\n",
            f"{folder}/energy_uj": f"{energy_uj}\n",
            f"{folder}/max_energy_range_uj": f"{range_uj}\n",
        },
    )
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


def test_a_board_s_sensors_are_integrated_over_time(tmp_path):
    ina(tmp_path, 0, [("VDD_IN", 5000, 1000), ("VDD_CPU", 5000, 400)])
    ina(tmp_path, 1, [("temp", 1, 1)], name="coretemp")

    with opened_meter(tmp_path) as meter:
        assert meter.name == "board, by INA"
        before = time.monotonic(), meter.energy_j()
        while time.monotonic() - before[0] < 0.25:
            time.sleep(0.02)
        elapsed_s, energy_j = time.monotonic() - before[0], meter.energy_j() - before[1]
        # 5 W: what feeds the others is counted, and they are not. The clock is the integrator's own.
        assert energy_j == pytest.approx(5 * elapsed_s, rel=0.2)


def test_rails_are_summed_where_none_feeds_the_others(tmp_path):
    ina(tmp_path, 0, [("VDD_GPU", 1000, 3000), ("VDD_CPU", 1000, 2000)])

    with opened_meter(tmp_path) as meter:
        assert meter._power_w() == pytest.approx(5.0)


def refuse(path):
    """Make a file that is there and cannot be read, as a sensor that is switched off is; to root, too."""
    path.unlink()
    path.mkdir()


def test_a_channel_that_refuses_to_be_read_is_left_out(tmp_path):
    ina(tmp_path, 0, [("VDD_IN", 5000, 1000), ("VDD_GPU", 1000, 3000), ("VDD_CPU", 1000, 2000)])
    refuse(tmp_path / "sys/class/hwmon/hwmon0/curr1_input")

    with opened_meter(tmp_path) as meter:
        assert meter._power_w() == pytest.approx(5.0)

    for channel in (2, 3):
        refuse(tmp_path / f"sys/class/hwmon/hwmon0/in{channel}_input")
    with opened_meter(tmp_path) as meter:
        assert meter is None


def test_a_sensor_that_falls_silent_is_not_known_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_fairmot.benchmarks.device.energy.LONGEST_SILENCE_S", 0.2)
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


def test_a_sum_is_not_known_where_a_part_is_not():
    known, unknown = (
        SimpleNamespace(name="made up", energy_j=lambda told=told: told) for told in (3.0, None)
    )

    assert MeterSum([known, known]).energy_j() == 6.0
    assert MeterSum([known, unknown]).energy_j() is None


def test_a_machine_that_meters_nothing_says_so(tmp_path):
    with opened_meter(tmp_path) as meter:
        assert meter is None


def test_the_power_of_a_jetson_is_that_of_the_rail_that_feeds_it():
    assert parse_power_w(ORIN) == pytest.approx(4.940)
    assert parse_power_w(NANO) == pytest.approx(2.124)
    assert parse_power_w(AGX_ORIN) == pytest.approx(2.371 + 0.395 + 4.0)


def test_tegrastats_is_read_while_it_runs(tmp_path, monkeypatch):
    install(tmp_path, "tegrastats", f'while true; do echo "{ORIN}"; sleep 0.05; done', monkeypatch)

    with opened_meter(tmp_path / "no-system") as meter:
        assert meter.name == "board, by tegrastats"
        assert meter._power_w() == pytest.approx(4.940)


def test_a_tool_of_that_name_that_ends_at_once_is_not_it(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_fairmot.benchmarks.device.tegrastats.FIRST_LINE_WITHIN_S", 0.2)
    install(tmp_path, "tegrastats", "exit 1", monkeypatch)

    with opened_tegrastats() as stats:
        assert stats is None


def test_an_integrator_is_a_trapezoid():
    watts = iter([2.0, *[4.0] * 1000])
    integrator = PowerIntegrator("made up", lambda: next(watts))
    try:
        assert integrator.energy_j() >= 0
        assert MeterSum([integrator]).name == "made up"
    finally:
        integrator.close()


def test_throttling_is_told_by_rising_counters(tmp_path):
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


def test_a_system_that_says_nothing_of_throttling_is_not_taken_for_unthrottled(tmp_path):
    assert ThrottleGauge(tmp_path).throttled() is None


@pytest.mark.parametrize(
    ("told", "held"), [("0x0", False), ("0x50000", False), ("0x50005", True), ("0x8", True)]
)
def test_a_raspberry_pi_tells_by_vcgencmd(tmp_path, monkeypatch, told, held):
    install(tmp_path, "vcgencmd", f'[ "$1" = get_throttled ] && echo "throttled={told}"', monkeypatch)

    assert ThrottleGauge(tmp_path / "no-system").throttled() is held


def test_the_log_reads_this_machine():
    with ConditionsLog() as log:
        pass
    (reading,) = log.conditions().readings
    assert reading.at_s >= 0
    assert reading.other_share is None or 0 <= reading.other_share <= 1


def test_what_others_use_is_all_but_ours(monkeypatch):
    """On a machine of two cores, in one second: 1.5 s of work, half a second of it ours."""
    log = ConditionsLog()
    with log:
        log._before, log._before_at_s = (10.0, 100.0), 50.0
        monkeypatch.setattr(log, "_busy_s", lambda: (10.5, 101.5))
        monkeypatch.setattr("edge_fairmot.benchmarks.device.conditions.perf_counter", lambda: 51.0)
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        assert log._read().other_share == 0.5


def test_without_psutil_its_pip_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingDependencyError, match=r"psutil.*edge-fairmot\[bench\]"):
        ConditionsLog()


def test_conditions_are_summed_up():
    conditions = Conditions(
        (
            Reading(1, 50.0, 1500.0, False, 0.2),
            Reading(2, 70.0, 900.0, True, 0.4),
            Reading(3, None, None, None, None),
        )
    )

    assert conditions.other_share == pytest.approx(0.3)
    assert conditions.throttled_share == 0.5
    assert conditions.hottest_c == 70.0
    assert conditions.frequency_range_mhz == (900.0, 1500.0)
    nothing = Conditions((Reading(3, None, None, None, None),))
    assert nothing.other_share is nothing.throttled_share is nothing.hottest_c is None
    assert nothing.frequency_range_mhz is None

"""What NVML tells of a GPU, and what it does not."""

import sys
from types import SimpleNamespace

import pytest

from edge_fairmot.benchmarks.device import nvidia
from edge_fairmot.benchmarks.device.conditions import ConditionsLog
from edge_fairmot.benchmarks.device.energy import opened_meter

TEMPERATURE, ENERGY = "nvmlDeviceGetTemperature", "nvmlDeviceGetTotalEnergyConsumption"
REASONS, OLD_REASONS = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"


class MadeUpNvml(SimpleNamespace):
    """The few functions of NVML that are used, with a GPU that is too hot."""

    class NVMLError(Exception):
        pass

    NVML_TEMPERATURE_GPU = 0

    def nvmlInit(self):  # noqa: N802
        self.open = True

    def nvmlShutdown(self):  # noqa: N802
        self.open = False

    def nvmlDeviceGetCount(self):  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return ("gpu", index)

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return b"Orin"

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "540.4"

    def nvmlDeviceGetTemperature(self, handle, sensor):  # noqa: N802
        return 91

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):  # noqa: N802
        return self.reasons

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        return 12_500


def test_a_gpu_tells_its_name_heat_throttling_and_energy(monkeypatch, tmp_path):
    nvml = MadeUpNvml(reasons=0x40)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)

    assert nvidia.describe_gpus() == ("Orin, driver 540.4",)
    with nvidia.opened_gauge() as gauge:
        assert (gauge.temperature_c(), gauge.throttled(), gauge.energy_j()) == (91.0, True, 12.5)
        nvml.reasons = 0x1 | 0x4  # idle; capped by the power that was set
        assert gauge.throttled() is False
    assert not nvml.open
    with opened_meter(tmp_path) as meter:
        assert meter.name == "NVML"


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    class NoDriver(MadeUpNvml):
        def nvmlInit(self):  # noqa: N802
            raise self.NVMLError

    monkeypatch.setitem(sys.modules, "pynvml", NoDriver())
    assert nvidia.describe_gpus() == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvidia.describe_gpus() == ()


def refuse(nvml, *queries):
    """Have queries answered as a Jetson's NVML or an old driver's answers them."""

    def not_supported(*arguments):
        raise nvml.NVMLError("Not Supported")

    for query in queries:
        setattr(nvml, query, not_supported)


@pytest.fixture
def nvml(monkeypatch):
    made_up = MadeUpNvml(reasons=0x40)
    monkeypatch.setitem(sys.modules, "pynvml", made_up)
    return made_up


def test_what_a_gpu_does_not_tell_is_not_known(nvml, tmp_path):
    refuse(nvml, TEMPERATURE, REASONS, OLD_REASONS, ENERGY)

    with nvidia.opened_gauge() as gauge:
        assert (gauge.temperature_c(), gauge.throttled(), gauge.energy_j()) == (None, None, None)
    with opened_meter(tmp_path) as meter:
        assert meter is None


@pytest.mark.parametrize("query", [TEMPERATURE, REASONS, ENERGY])
def test_a_log_goes_on_without_what_a_gpu_does_not_tell(nvml, query):
    refuse(nvml, query, OLD_REASONS)

    with ConditionsLog() as log:
        pass

    (reading,) = log.conditions().readings
    assert ("NVML" in log.conditions().energy_source) == (query != ENERGY)
    if query != TEMPERATURE:
        assert reading.temperature_c >= 91
    if query != REASONS:
        assert reading.throttled


def test_an_older_driver_tells_of_throttling_by_its_older_name(nvml):
    refuse(nvml, REASONS)
    nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: 0x8

    with nvidia.opened_gauge() as gauge:
        assert gauge.throttled() is True


def test_a_gpu_without_a_name_is_still_listed(nvml):
    refuse(nvml, "nvmlDeviceGetName")
    assert nvidia.describe_gpus() == ("NVIDIA GPU, driver 540.4",)
    refuse(nvml, "nvmlSystemGetDriverVersion")
    assert nvidia.describe_gpus() == ("NVIDIA GPU",)


@pytest.mark.parametrize("query", ["nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"])
def test_a_gpu_that_cannot_be_reached_is_none(nvml, query):
    refuse(nvml, query, "nvmlShutdown")

    assert nvidia.describe_gpus() == ()
    with nvidia.opened_gauge() as gauge:
        assert gauge is None


def test_the_real_package_refuses_as_the_made_up_one_does():
    pynvml = pytest.importorskip("pynvml", reason="needs the bench extra")

    assert all(hasattr(pynvml, name) for name in (TEMPERATURE, REASONS, OLD_REASONS, ENERGY))
    with pytest.raises(pynvml.NVMLError):  # it was not initialised
        pynvml.nvmlDeviceGetCount()

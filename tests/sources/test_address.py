"""Addresses: what is asked for in them, and that no password is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources.address import (
    is_network_address,
    read_options,
    read_rate,
    read_size,
    take_option,
    without_secrets,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:hunter2@10.0.0.5:554/live", "rtsp://***@10.0.0.5:554/live"),
        ("rtsp://10.0.0.5/live", "rtsp://10.0.0.5/live"),
        ("rtsp://admin:hun/ter2@cam/live?x=1", "rtsp://***@cam/live?***"),
        ("http://cam/video?user=a&password=hunter2", "http://cam/video?***"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1.sdp", "rtsp://cam/***"),
        ("/dev/video0", "/dev/video0"),
        ("street.mp4", "street.mp4"),
    ],
)
def test_an_address_is_shown_without_secrets(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


@given(
    st.sampled_from(["rtsp", "http", "https", "RTSP"]),
    st.text("aZ0:/?#@&=%._-", max_size=8),
    st.text("aZ0:/?#@&=%._-", max_size=8),
)
def test_whatever_stands_around_a_password_it_is_not_shown(scheme: str, before: str, after: str) -> None:
    assert SECRET not in without_secrets(f"{scheme}://user:{before}{SECRET}{after}@camera/live")


def test_own_options_are_taken_and_the_camera_s_are_left_as_they_are() -> None:
    address = "rtsp://cam/live?channel=1%202&transport=udp&x"
    assert take_option(address, "transport") == ("rtsp://cam/live?channel=1%202&x", "udp")
    assert take_option("rtsp://cam/live?transport=udp", "transport") == ("rtsp://cam/live", "udp")
    assert take_option("rtsp://cam/live", "transport") == ("rtsp://cam/live", None)


def test_what_is_an_address() -> None:
    assert is_network_address("RTSP://cam/1")
    assert is_network_address("https://cam")
    assert not is_network_address("ftp://cam")
    assert not is_network_address("rtsp:/cam")


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        (["size=1280x720", "speed=3"], "'speed=3' is no option: write name=value with one of size, fps"),
        (["size"], "'size' is no option"),
        (["size=1280"], "size=1280 cannot be read: write size=1x1"),
        (["size=0x720"], "size=0x720 cannot be read"),
        (["fps=nan"], "fps=nan cannot be read"),
        (["fps=0"], "fps=0 cannot be read"),
        (["fps=3", "fps=4"], "fps is given twice"),
    ],
)
def test_wrong_options_are_one_line(pairs: list[str], complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        read_options("camera", pairs, {"size": read_size, "fps": read_rate}, "size=1x1")

"""Addresses: their options, their passwords, and that no password is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fairmot.errors import InvalidInputError
from edge_fairmot.sources.address import (
    encode_userinfo,
    format_size,
    is_network_address,
    parse_rate,
    parse_size,
    read_options,
    redact,
    take_option,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:hunter2@10.0.0.5:554/live", "rtsp://***@10.0.0.5:554/live"),
        ("rtsp://10.0.0.5/live", "rtsp://10.0.0.5/live"),
        ("rtsp://admin:hun/ter2@cam/live?x=1", "rtsp://***@cam/live?***"),
        ("rtsp:/admin:hunter2@cam/live", "rtsp:/***@cam/live"),
        ("http://cam/video?user=a&password=hunter2", "http://cam/video?***"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1.sdp", "rtsp://cam/***"),
        ("/dev/video0", "/dev/video0"),
        ("street.mp4", "street.mp4"),
        ("cam1:front@home.mp4", "cam1:front@home.mp4"),
    ],
)
def test_an_address_is_shown_without_secrets(address: str, shown: str) -> None:
    assert redact(address) == shown


@given(
    st.sampled_from(["rtsp", "http", "https", "RTSP"]),
    st.text("aZ0:/?#@&=%._-", max_size=8),
    st.text("aZ0:/?#@&=%._-", max_size=8),
)
def test_whatever_stands_around_a_password_it_is_not_shown(scheme: str, before: str, after: str) -> None:
    assert SECRET not in redact(f"{scheme}://user:{before}{SECRET}{after}@camera/live")


@pytest.mark.parametrize(
    ("address", "encoded"),
    [
        ("rtsp://cam:554/live", "rtsp://cam:554/live"),
        ("RTSP://admin:pw@cam/Live?A=1", "rtsp://admin:pw@cam/Live?A=1"),
        ("rtsp://admin:p@ss@cam/live", "rtsp://admin:p%40ss@cam/live"),
        ("rtsp://admin:p%ss@cam/live", "rtsp://admin:p%25ss@cam/live"),
        ("rtsp://admin:p%40ss@cam/live", "rtsp://admin:p%40ss@cam/live"),
        ("rtsp://admin:pa/ss@cam/live", "rtsp://admin:pa%2Fss@cam/live"),
        ("rtsp://admin:pa?ss@cam/live?x=a@b", "rtsp://admin:pa%3Fss@cam/live?x=a@b"),
        ("rtsp://admin:pa#ss@[::1]:554/live", "rtsp://admin:pa%23ss@[::1]:554/live"),
        ("http://user:p@ss#1/%?@cam:80/a", "http://user:p%40ss%231%2F%25%3F@cam:80/a"),
        ("rtsp://admin:a:b@cam/live", "rtsp://admin:a%3Ab@cam/live"),
        ("http://cam/video?mail=a@b", "http://cam/video?mail=a@b"),
        ("rtsp://admin:pw@cam:554/live@2", "rtsp://admin:pw@cam:554/live@2"),
        ("rtsp://cam:554/live@2", "rtsp://cam:554/live@2"),
    ],
)
def test_a_password_may_hold_what_an_address_may_not(address: str, encoded: str) -> None:
    assert encode_userinfo(address) == encoded


def test_own_options_are_taken_and_the_camera_s_are_left_as_they_are() -> None:
    address = "rtsp://cam/live?channel=1%202&transport=udp&x"
    assert take_option(address, "transport") == ("rtsp://cam/live?channel=1%202&x", "udp")
    assert take_option("rtsp://cam/live?transport=udp", "transport") == ("rtsp://cam/live", "udp")
    assert take_option("rtsp://cam/live", "transport") == ("rtsp://cam/live", None)


def test_what_is_an_address() -> None:
    assert [is_network_address(text) for text in ("RTSP://cam/1", "https://cam")] == [True, True]
    assert [is_network_address(text) for text in ("ftp://cam", "rtsp:/cam")] == [False, False]


def test_a_size_is_read_as_it_is_written() -> None:
    assert [parse_size(text) for text in ("1280x720", "1280X720")] == [(1280, 720)] * 2
    assert format_size((1280, 720)) == "1280x720"
    for text in ("1280", "0x720", "1280x", "a x b", "1e3x720"):
        with pytest.raises(InvalidInputError, match="is no size: write WIDTHxHEIGHT, as in 1280x720"):
            parse_size(text)


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        (["size=1280x720", "speed=3"], "'speed=3' is no option: write name=value with one of size, fps"),
        (["size"], "'size' is no option"),
        (["size=1280"], "size=1280 cannot be read: write size=1x1"),
        (["fps=nan"], "fps=nan cannot be read"),
        (["fps=0"], "fps=0 cannot be read"),
        (["fps=3", "fps=4"], "fps is given twice"),
    ],
)
def test_wrong_options_are_one_line(pairs: list[str], complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        read_options("camera", pairs, {"size": parse_size, "fps": parse_rate}, "size=1x1")

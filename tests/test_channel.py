"""A channel keeps order and bounds, and both of its ends can always be got out of a wait."""

from __future__ import annotations

import threading

import pytest

from edge_fairmot.channel import Channel, ChannelClosedError


def test_items_come_in_order_up_to_the_end():
    channel = Channel(3)
    for item in range(3):
        channel.put(item)
    channel.finish()
    assert list(channel) == [0, 1, 2]
    with pytest.raises(ChannelClosedError):
        channel.get()


def test_an_error_comes_after_the_items_before_it_and_once():
    channel, got = Channel(2), []
    channel.put(1)
    error = OSError("broken")
    channel.finish(error)
    with pytest.raises(OSError, match="broken") as caught:
        got.extend(channel)
    assert caught.value is error
    assert got == [1]
    assert list(channel) == []


def test_a_full_channel_makes_its_putter_wait():
    channel, put = Channel(2), []

    def fill():
        for item in range(9):
            channel.put(item)
            put.append(item)
        channel.finish()

    thread = threading.Thread(target=fill)
    thread.start()
    for taken in range(9):
        assert channel.get() == taken
        assert len(put) <= taken + 3
    thread.join()


@pytest.mark.parametrize("blocked", ["put", "get"])
def test_closing_frees_waiting_threads(blocked):
    channel, ended = Channel(1), []
    if blocked == "put":
        channel.put(0)

    def wait():
        try:
            channel.put(1) if blocked == "put" else channel.get()
        except ChannelClosedError:
            ended.append(blocked)

    thread = threading.Thread(target=wait)
    thread.start()
    channel.close()
    thread.join()
    assert ended == [blocked]


def test_a_closed_channel_takes_and_gives_nothing():
    channel = Channel(2)
    channel.put(1)
    channel.close()
    for use in (channel.get, lambda: channel.put(2), lambda: channel.put_latest(2)):
        with pytest.raises(ChannelClosedError):
            use()
    assert list(channel) == []


def test_the_latest_takes_the_place_of_what_waits_longest():
    channel = Channel(1)
    assert [channel.put_latest(item) for item in range(5)] == [0, 1, 1, 1, 1]
    assert channel.get() == 4
    assert channel.put_latest(5) == 0
    channel.finish()
    assert list(channel) == [5]


def test_every_item_is_got_or_dropped_when_both_ends_run():
    channel, dropped = Channel(1), []
    count = 20_000

    def fill():
        dropped.append(sum(channel.put_latest(item) for item in range(count)))
        channel.finish()

    thread = threading.Thread(target=fill)
    thread.start()
    got = list(channel)
    thread.join()
    assert got == sorted(set(got))
    assert got[-1] == count - 1
    assert len(got) + dropped[0] == count
    assert channel._room.qsize() == 1  # room neither leaks nor grows


def test_polling_never_waits_and_leaves_the_end_in_place():
    channel = Channel(2)
    assert channel.poll() is None
    channel.put("a")
    channel.finish(OSError("broken"))
    assert channel.poll() == "a"
    assert channel.poll() is None
    with pytest.raises(OSError, match="broken"):
        channel.get()


def test_a_wait_ends_at_its_timeout():
    channel = Channel(1)
    with pytest.raises(TimeoutError):
        channel.get(0.01)
    channel.put("late")
    assert channel.get(0.01) == "late"
    channel.finish(ValueError("the end"))
    with pytest.raises(ValueError, match="the end"):
        channel.get(0.01)
    with pytest.raises(ChannelClosedError):
        channel.get(0.01)

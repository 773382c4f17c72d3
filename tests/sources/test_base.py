"""What all sources share: a device is released once, and not while it is read."""

from __future__ import annotations

from threading import Event, Thread

from edge_fairmot.sources.base import ReadingGuard


def test_a_device_that_is_not_read_is_released_at_once_and_once() -> None:
    released: list[str] = []
    guard = ReadingGuard(lambda: released.append("now"))
    with guard.reading() as is_open:
        assert is_open
    guard.close()
    guard.close()
    assert released == ["now"]
    with guard.reading() as is_open:
        assert not is_open


def test_what_is_being_read_is_released_after_the_read() -> None:
    events: list[str] = []
    guard = ReadingGuard(lambda: events.append("released"))
    inside, go_on = Event(), Event()

    def read() -> None:
        with guard.reading():
            inside.set()
            go_on.wait(10)
            events.append("read")

    reader = Thread(target=read)
    reader.start()
    assert inside.wait(10)
    guard.close()  # does not wait
    assert events == []
    go_on.set()
    reader.join(10)
    assert events == ["read", "released"]

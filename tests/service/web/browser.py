"""Headless Chromium, driven over its own debugging protocol."""

import base64
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

PATIENCE_S = 30.0


def find_chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium to look at the page: apt-get install chromium")
    return found


@contextmanager
def opened_browser(folder: Path):
    """Start a browser; gives what opens an address in a tab of its own."""
    from websockets.sync.client import connect

    process = subprocess.Popen(
        [
            *(find_chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run", "about:blank"),
            *("--disable-extensions", "--disable-background-networking", "--hide-scrollbars"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port_file = folder / "DevToolsActivePort"
        wait_until(lambda: port_file.exists() and port_file.read_text().count("\n") >= 1)
        port, path = port_file.read_text().split("\n")[:2]
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as socket:
            yield partial(Tab, socket)
    finally:
        process.terminate()
        process.wait(10)


def wait_until(happens, patience_s=PATIENCE_S):
    ends_s = time.monotonic() + patience_s
    while not (found := happens()):
        assert time.monotonic() < ends_s, "that took too long"
        time.sleep(0.05)
    return found


class Tab:
    """One page of the browser, alone in front."""

    def __init__(self, socket, address, size=(1280, 800), *, dark=False, phone=False):
        self._socket = socket
        self._number = 0
        self._session = None
        self.console = []
        self._target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 2 if phone else 1}
        self.send("Emulation.setDeviceMetricsOverride", mobile=phone, **metrics)
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.open(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.send("Target.closeTarget", targetId=self._target)

    def open(self, address):
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def send(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.console.append(json.dumps(answer["params"]))

    def run(self, program):
        """Value of an expression in the page; promises are waited for."""
        result = self.send("Runtime.evaluate", expression=program, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, program, patience_s=PATIENCE_S):
        return wait_until(lambda: self.run(program), patience_s)

    def screenshot(self, path, *, whole=False):
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def press(self, selector):
        """Click in the middle of an element."""
        self.mouse("mousePressed", *self.middle(selector))
        self.mouse("mouseReleased", *self.middle(selector))

    def middle(self, selector):
        return self.run(
            f"(() => {{ const found = document.querySelector({selector!r});"
            "found.scrollIntoView({block: 'nearest'}); const place = found.getBoundingClientRect();"
            "return [place.x + place.width / 2, place.y + place.height / 2] })()"
        )

    def at(self, x, y):
        """Pixels of the page for a place in shares of the image."""
        left, top, width, height = self.run(
            "(() => { const b = document.querySelector('#shapes').getBoundingClientRect();"
            "return [b.x, b.y, b.width, b.height] })()"
        )
        return left + x * width, top + y * height

    def mouse(self, kind, x, y):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def drag(self, start, end, steps=6):
        """Drag with the mouse between places in shares of the image."""
        (x, y), (end_x, end_y) = self.at(*start), self.at(*end)
        self.mouse("mousePressed", x, y)
        for step in range(1, steps + 1):
            share = step / steps
            self.mouse("mouseMoved", x + share * (end_x - x), y + share * (end_y - y))
        self.mouse("mouseReleased", end_x, end_y)

    def touch(self, *path):
        """Put a finger down, move it, and lift it, through places in shares of the image."""
        places = [self.at(*place) for place in path]
        for kind, place in zip(("touchStart", *["touchMove"] * (len(places) - 1)), places, strict=True):
            self._touch(kind, *place)
        self._touch("touchEnd")

    def _touch(self, kind, *place):
        points = [{"x": place[0], "y": place[1]}] if place else []
        self.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

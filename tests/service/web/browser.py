"""Headless Chromium of the system, driven by Playwright."""

import os
import shutil
import signal
import time
from contextlib import contextmanager
from functools import partial
from threading import Timer

import pytest

PATIENCE_S = 30.0


def find_chromium():
    """Path of the system's browser; skips where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("needs Chromium to look at the page: apt-get install chromium")
    return found


@contextmanager
def opened_browser():
    """Start a browser; gives what opens an address in a context of its own, with its own cookies."""
    chromium = find_chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = driver.chromium.launch(executable_path=chromium, args=options)
        processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
        (pid,) = (process["id"] for process in processes if process["type"] == "browser")
        try:
            yield partial(Tab, browser, pid)
        finally:
            browser.close()


def wait_until(happens, patience_s=PATIENCE_S):
    ends_s = time.monotonic() + patience_s
    while not (found := happens()):
        assert time.monotonic() < ends_s, "that took too long"
        time.sleep(0.05)
    return found


def open_live(browse, run, *args, **kwargs):
    """Open the page of a run, and wait for its first frame."""
    tab = browse(run.web.login_address, *args, **kwargs)
    tab.wait("document.querySelector('#frame').dataset.frame > 0")
    return tab


class Tab:
    """One page of the browser. ``page`` is Playwright's; places are shares of the camera's image."""

    def __init__(self, browser, pid, address, size=(1280, 800), *, dark=False, phone=False, **media):
        self._context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            device_scale_factor=2 if phone else 1,
            is_mobile=phone,
            has_touch=phone,
            color_scheme="dark" if dark else "light",
            **media,
        )
        self._pid = pid
        self._context.set_default_timeout(1e3 * PATIENCE_S)
        self.page = self._context.new_page()
        self._touches = self._context.new_cdp_session(self.page)
        self.console = []
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("console", lambda told: told.type == "error" and self.console.append(told.text))
        self.open(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._context.close()

    def open(self, address):
        self.page.goto(address)

    def run(self, program):
        """Value of an expression in the page; promises are waited for. A page that hangs ends the browser."""
        limit = Timer(PATIENCE_S, os.kill, (self._pid, signal.SIGKILL))
        limit.start()
        try:
            return self.page.evaluate(program)
        finally:
            limit.cancel()

    def wait(self, program, patience_s=PATIENCE_S):
        """Wait until an expression is true. The page's policy forbids Playwright's own polling."""
        return wait_until(lambda: self.page.wait_for_timeout(20) or self.run(program), patience_s)

    def press(self, selector):
        self.page.locator(selector).first.click()

    def keys(self, *names):
        """Press keys one after the other."""
        for name in names:
            self.page.keyboard.press(name)

    def focused(self):
        """Label of the element that has the focus."""
        return self.run("document.activeElement.ariaLabel ?? document.activeElement.textContent")

    def faults(self):
        """What axe finds, with the elements."""
        axe = pytest.importorskip(
            "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
        )
        found = axe.Axe().run(self.page).response["violations"]
        return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found]

    def small(self):
        """What is shown to be pressed and is lower than 44 pixels."""
        return self.run(
            """[...document.querySelectorAll('button, .button, input, label, select, summary')]
            .filter((one) => one.checkVisibility() && one.type !== 'checkbox')
            .filter((one) => one.getBoundingClientRect().height < 44).map((one) => one.outerHTML)"""
        )

    def at(self, x, y):
        box = self.page.locator("#shapes").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, start, end, steps=6):
        """Drag with the mouse."""
        mouse = self.page.mouse
        mouse.move(*self.at(*start))
        mouse.down()
        mouse.move(*self.at(*end), steps=steps)
        mouse.up()

    def touch(self, *path, lift=True):
        """Put a finger down, move it, and lift it."""
        for kind, place in zip(("touchStart", *["touchMove"] * (len(path) - 1)), path, strict=True):
            x, y = self.at(*place)
            self._touch(kind, {"x": x, "y": y})
        if lift:
            self.lift()

    def lift(self):
        """Lift the finger."""
        self._touch("touchEnd")

    def _touch(self, kind, *points):
        self._touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

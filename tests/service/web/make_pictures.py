"""Make the guides' pictures of the page: a run of a bundled model on the synthetic street, in Chromium.

    python -m tests.service.web.make_pictures docs/pictures

Writes page.webp and page-phone.webp, and both in dark colours.
"""

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from tests.service.web.browser import opened_browser, wait_until

PORT = 8099
SCREENS = {"page": {"size": (1440, 900)}, "page-phone": {"size": (390, 844), "phone": True}}
RUN_S = 40
"""What the counts, the chart and the frame rate of the pictures are of."""


def main(folder: Path) -> None:
    """Start a run, let it count, and take the pictures."""
    with tempfile.TemporaryDirectory(prefix="edge-fairmot-") as state:
        live = subprocess.Popen(
            [
                *(
                    "edge-fairmot",
                    "live",
                    "synthetic:seed=1,fps=2",
                    "-m",
                    "people-light",
                    "--runtime",
                    "openvino",
                ),
                *("--web", "--web-open", "--web-port", str(PORT)),
                *(
                    "--line",
                    "door:0.45,0.62,0.72,0.62",
                    "--zone",
                    "shop:0.70,0.45;0.98,0.45;0.98,0.80;0.70,0.80",
                ),
            ],
            env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "STATE_DIRECTORY": state},
        )
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", PORT)) == 0)
            with opened_browser() as browse:
                take(browse, folder)
        finally:
            live.terminate()
            live.wait(20)


def take(browse, folder: Path) -> None:
    """Open the page on every screen at once, and take its pictures after a while."""
    looks = [(name, screen, dark) for name, screen in SCREENS.items() for dark in (False, True)]
    address = f"http://127.0.0.1:{PORT}/"
    tabs = [(name + "-dark" * dark, browse(address, **screen, dark=dark)) for name, screen, dark in looks]
    for _, tab in tabs:
        tab.page.bring_to_front()
        tab.wait("document.querySelector('#frame').dataset.frame > 0", 120)
    tabs[0][1].page.wait_for_timeout(1e3 * RUN_S)
    for name, tab in tabs:
        tab.page.bring_to_front()
        tab.page.wait_for_timeout(2_000)
        pixels = np.frombuffer(tab.page.screenshot(), np.uint8)
        image = cv2.imdecode(pixels, cv2.IMREAD_COLOR)
        cv2.imwrite(str(folder / f"{name}.webp"), image, [cv2.IMWRITE_WEBP_QUALITY, 85])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

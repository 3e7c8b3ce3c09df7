"""Draw the picture of the studio from the files that `make demo` leaves: python docs/studio.py demo docs/studio.png."""

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

RADIUS, SECONDS = 0.05, 0.8
"""Radius of the circle (m) and its duration (s)."""

SIZE = {"width": 1360, "height": 1164}
"""Size of the window in pixels."""


def circle() -> str:
    """Return a circle that begins and ends slowly, as the page writes strokes in links: in steps of 0.1 mm and 1 ms."""
    share = np.linspace(0, 1, 81)
    angle = 2 * math.pi * share**3 * (10 - 15 * share + 6 * share**2)
    points = np.stack([RADIUS * (1 - np.cos(angle)) * 1e4, RADIUS * np.sin(angle) * 1e4, SECONDS * share * 1e3], 1)
    steps = np.diff(np.round(points).astype(int), axis=0, prepend=0)
    return "_".join(["-4", *(".".join(np.base_repr(int(one), 36).lower() for one in step) for step in steps)])


def main(folder: Path, out: Path) -> None:
    """Open the page with the stroke in the address, and save what it shows."""
    command = [sys.executable, "-m", "spikeloom", "studio", str(folder / "ldns"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as play:
        lines = iter(server.stdout or ())
        address = next(match.group() for line in lines if (match := re.search(r"http\S+token=\S+", line)))
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, reduced_motion="reduce")
        page.goto(f"{address}&model=ldns&tab=draw&guidance=3&draws=8&seed=1&stroke={circle()}")
        page.locator("#draw-multiples .multiple").nth(7).wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=out)
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""The studio's page in a browser, with everything that it requested and wrote to the console."""

import json
import math
import shutil
import time
from typing import Any

import pytest

TOKEN = "a-token-of-the-tests"

CHROMIUM = shutil.which("chromium")

IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed (apt-get install chromium)"),
]
"""Marks of the tests that drive the page."""

SPOT = """([id, name]) => {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  const canvas = document.getElementById(id);
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let k = 0; k < pixels.length; k += 4) {
    const away = Math.abs(pixels[k] - red) + Math.abs(pixels[k + 1] - green) + Math.abs(pixels[k + 2] - blue);
    count += pixels[k + 3] > 250 && away < 12;
  }
  return count;
}"""
"""Counts the pixels of a canvas that have a colour of the style sheet."""


class Opened:
    """The page in a tab of its own."""

    def __init__(self, browser: Any, base: str, fragment: str = f"token={TOKEN}", **how: Any) -> None:
        self.context = browser.new_context(**how)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.console: list[str] = []
        self.addresses: list[str] = []
        self.answers: list[tuple[str, Any]] = []
        self.frames: list[dict[str, Any]] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.on("websocket", self._socket)
        self.base = base
        self.page.goto(f"{base}/#{fragment}")

    def _socket(self, socket: Any) -> None:
        self.addresses.append(socket.url)
        socket.on("framereceived", lambda frame: self.frames.append(json.loads(frame)))

    def model(self, name: str) -> "Opened":
        """Choose a model and wait until it is ready."""
        self.page.wait_for_selector("#main:not([hidden])")
        if self.page.input_value("#model") != name:
            self.page.select_option("#model", name)
        self.page.wait_for_selector(f"#main[data-model={name}]")
        return self

    def circle(self, *, moves: int = 60, seconds: float = 0.8) -> None:
        """Draw a circle with the mouse: timed moves with a bell-shaped speed."""
        self.page.locator("#field").scroll_into_view_if_needed()
        box = self.page.locator("#field").bounding_box()
        centre, radius = (box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"]), 0.12 * box["width"]
        mouse = self.page.mouse
        mouse.move(*centre)
        mouse.down()
        began = time.perf_counter()
        for k in range(1, moves + 1):
            share = k / moves
            angle = 2 * math.pi * share**3 * (10 - 15 * share + 6 * share**2)
            mouse.move(centre[0] + radius * (1 - math.cos(angle)), centre[1] - radius * math.sin(angle))
            time.sleep(max(0.0, began + seconds * share - time.perf_counter()))

    def lift(self, address: str = "/draw") -> tuple[dict[str, Any], dict[str, Any]]:
        """Lift the pen. Return the body of the request that follows, and its answer."""
        return self.during(self.page.mouse.up, address)

    def during(self, action: Any, address: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return body and answer of the first POST to an address during an action."""
        with self.page.expect_response(
            lambda one: one.url.endswith(address) and one.request.method == "POST"
        ) as caught:
            action()
        response = caught.value
        return json.loads(response.request.post_data or "{}"), response.json()

    def pixels(self, canvas: str, colour: str) -> int:
        """Return the number of pixels of a canvas that have a colour of the style sheet."""
        return int(self.page.evaluate(SPOT, [canvas, colour]))

    def label(self, selector: str) -> str:
        """Return what a screen reader reads of an element."""
        return str(self.page.get_attribute(selector, "aria-label"))

    def close(self) -> None:
        """Close the tab, as a person does."""
        self.context.close()


def spikes_in(draw: dict[str, Any]) -> int:
    """Return the number of spikes of a raster."""
    return sum(len(bins) for bins in draw["spikes"])

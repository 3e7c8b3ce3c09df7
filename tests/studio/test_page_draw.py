"""The tab Draw in a real browser: strokes by mouse, keyboard and link, live spikes, files, reloads, several clients."""

import csv
import json
import re
import time
from typing import Any

import numpy as np
import pytest

import spikeloom as sl
from tests.studio.opened import IN_A_BROWSER, TOKEN, Opened, spikes_in

pytestmark = IN_A_BROWSER

RASTER = "#draw-raster canvas"


def counts_of(draw: dict[str, Any], bins: int) -> np.ndarray:
    """Return counts (bin, neuron) of a raster."""
    return np.stack([np.bincount(np.array(one, int), minlength=bins) for one in draw["spikes"]], 1)


def test_a_circle_of_sixty_moves_becomes_spikes_and_a_decoded_path(opened: Opened, served: Any) -> None:
    opened.model("draw").circle()
    assert opened.pixels("field", "ink") > 200
    assert opened.pixels("field", "generated") == 0
    body, answer = opened.lift()
    times = [time for _, _, time in body["points"]]
    assert len(times) >= 30
    assert times[0] == 0
    assert (np.diff(times) > 0).all()
    assert times[-1] > 0.7
    assert answer["bins"] == pytest.approx(times[-1] / answer["bin_width"], abs=1)
    opened.page.locator("#score b").first.wait_for()
    assert f"{spikes_in(answer['draws'][0])} spikes of 12 neurons" in opened.label(RASTER)
    opened.page.get_by_role("button", name="Play").first.wait_for()
    assert opened.pixels("field", "generated") > 100
    score = opened.page.locator("#score").inner_text().replace("\u2212", "-")
    assert f"{answer['draws'][0]['r2']:.2f}" in score
    assert f"{answer['r2_real']:.2f}" in score
    opened.page.locator("#draw-multiples .multiple").nth(3).wait_for()
    assert opened.page.evaluate("performance.getEntriesByName('stroke-to-spikes').length") == 1
    assert opened.console == []
    assert {re.match(r"\w+://[^/]+", url).group() for url in opened.addresses} == {served.base}


def test_another_draw_shows_its_own_spikes(opened: Opened) -> None:
    opened.model("draw")
    opened.page.select_option("#draws", "4")
    opened.page.get_by_role("button", name="Line").click()
    opened.page.locator("#draw-multiples .multiple").nth(3).wait_for()
    first = opened.label(RASTER)
    opened.page.locator("#draw-multiples .multiple").nth(2).click()
    assert opened.label(RASTER) != first
    assert opened.page.locator("#draw-summary").inner_text().startswith("Draw 3")
    opened.page.locator(RASTER).press("ArrowDown")
    assert re.search(r"Neuron \d+ is chosen", opened.label(RASTER))


def test_a_stroke_by_keyboard(opened: Opened) -> None:
    opened.model("draw").page.focus("#field")
    keyboard = opened.page.keyboard
    keyboard.press(" ")
    keyboard.down("ArrowRight")
    opened.page.wait_for_timeout(350)
    keyboard.down("ArrowUp")
    opened.page.wait_for_timeout(250)
    keyboard.up("ArrowRight")
    keyboard.up("ArrowUp")
    body, answer = opened.during(lambda: keyboard.press(" "), "/draw")
    (x0, y0, _), (x1, y1, seconds) = body["points"][0], body["points"][-1]
    assert x1 - x0 > y1 - y0 > 0
    assert seconds > 0.5
    assert spikes_in(answer["draws"][0]) > 0


def test_a_link_draws_the_same_stroke_again(opened: Opened, browser: Any, served: Any) -> None:
    opened.model("draw").circle()
    body, answer = opened.lift()
    opened.page.locator("#draw-multiples .multiple").first.wait_for()
    link = opened.page.url
    assert TOKEN not in link
    again = Opened(browser, served.base, link.split("#")[1])
    again.page.get_by_text("This page needs its token").wait_for()
    again.page.fill("#pasted", f"{served.base}/#token={TOKEN}")
    second, same = again.during(lambda: again.page.get_by_role("button", name="Open").click(), "/draw")
    assert second["points"] == body["points"]
    assert same["draws"][0]["spikes"] == answer["draws"][0]["spikes"]
    again.close()


def test_a_reload_in_the_middle_comes_back_with_the_stroke(opened: Opened) -> None:
    opened.model("draw")
    opened.page.select_option("#draws", "12")
    opened.page.get_by_role("button", name="Figure eight").click()
    opened.page.locator("#score b").first.wait_for()
    opened.page.reload()
    opened.page.get_by_text(re.compile(r"Draw 1: [1-9]\d* spikes")).wait_for()
    opened.page.locator("#draw-multiples .multiple").nth(11).wait_for()
    assert opened.page.input_value("#draws") == "12"


def test_two_clients_get_their_own_spikes(opened: Opened, browser: Any, served: Any) -> None:
    other = Opened(browser, served.base)
    opened.model("draw")
    other.model("draw")
    for tab, seed in ((opened, 11), (other, 12)):
        tab.page.select_option("#draws", "1")
        tab.page.fill("#seed", str(seed))
    body, first = opened.during(lambda: opened.page.get_by_role("button", name="Circle").click(), "/draw")
    assert body["seed"] == 11
    body, second = other.during(lambda: other.page.get_by_role("button", name="Circle").click(), "/draw")
    assert body["seed"] == 12
    assert first["path"] == second["path"]
    assert first["draws"][0]["spikes"] != second["draws"][0]["spikes"]
    other.close()
    _, again = opened.during(lambda: opened.page.get_by_role("button", name="Circle").click(), "/draw")
    assert again == first


def test_every_spike_is_a_click(opened: Opened) -> None:
    data = {"spikes": [[0, 3, 3], [], [7]], "bins": 10, "binWidth": 0.02, "order": [2, 0, 1]}
    clicks, one, sound = opened.page.evaluate(
        """async (data) => {
          const { clicksOf, renderClicks } = await import("/static/listen.js");
          const sides = renderClicks(data, null, 0.5, 8000);
          return [clicksOf(data, null), clicksOf(data, 1), sides.map((side) => [...side])];
        }""",
        data,
    )
    bins = sorted((int(time / 0.02), data["order"][row]) for time, row in clicks)
    assert bins == [(0, 0), (3, 0), (3, 0), (7, 2)]
    assert len(one) == 3
    loud = np.abs(np.array(sound)).max(0) > 0.01
    starts = sorted(int(time / 0.5 * 8000) for time, _ in clicks)
    assert all(loud[start : start + 20].any() for start in starts)
    assert not loud[starts[2] + 100 : starts[3] - 100].any()


def test_strokes_survive_a_link(opened: Opened) -> None:
    points = [[0.0123, -0.0456, 0.0], [0.0124, -0.05, 0.016], [-0.3, 0.2, 1.25]]
    same, damaged = opened.page.evaluate(
        """async (points) => {
          const { decode, encode } = await import("/static/stroke.js");
          return [decode(encode(points, -4)), ["", "x_1.2.3_4.5.6", "-4_1.2_3.4.5", "99_1.2.3_4.5.6"].map(decode)];
        }""",
        points,
    )
    assert np.allclose(same, points, atol=1e-9)
    assert damaged == [None] * 4


def test_an_error_is_a_sentence_that_is_announced(opened: Opened) -> None:
    opened.model("draw")
    answer = json.dumps({"error": "The model is busy."})
    opened.page.route("**/draw", lambda route: route.fulfill(status=503, body=answer))
    opened.page.get_by_role("button", name="Line").click()
    opened.page.get_by_role("alert").get_by_text("The model is busy.").wait_for()
    opened.page.unroute("**/draw")
    opened.page.get_by_role("button", name="Line").click()
    opened.page.locator("#score b").first.wait_for()
    assert not opened.page.get_by_role("alert").is_visible()


def test_live_spikes_come_while_the_hand_moves(opened: Opened) -> None:
    opened.model("live").circle(seconds=1.2)
    deadline = time.monotonic() + 20
    while len(opened.frames) <= 10 and time.monotonic() < deadline:
        opened.page.wait_for_timeout(50)  # the pen is still down; a busy machine begins the live trial late
    before = list(opened.frames)
    assert len(before) > 10
    assert [frame["bin"] for frame in before] == list(range(len(before)))
    _, answer = opened.lift()
    opened.page.get_by_text("live, while you drew").wait_for()
    opened.page.get_by_text("live, while you drew").click()
    deadline = time.monotonic() + 20
    while "decoded" not in opened.frames[-1] and time.monotonic() < deadline:
        opened.page.wait_for_timeout(50)  # the decoded path comes after the last bin
    live = int(re.search(r"(\d+) spikes", opened.label(RASTER)).group(1))
    *bins, last = opened.frames
    assert live == sum(len(frame["spikes"]) for frame in bins)
    assert 0 < len(bins) <= answer["bins"]
    assert len(last["decoded"]) == len(bins)
    score = f"{last['r2']:.2f}".replace("-", "\u2212")
    assert f"R² {score}" in opened.page.inner_text("#draw-multiples .multiple:last-child")
    assert opened.page.locator("#score b").first.inner_text() == score
    assert opened.console == []


def test_files_hold_the_spikes_of_the_page(opened: Opened, tmp_path: Any) -> None:
    opened.model("draw")
    opened.page.select_option("#draws", "1")
    _, answer = opened.during(lambda: opened.page.get_by_role("button", name="Line").click(), "/draw")
    expected = counts_of(answer["draws"][0], answer["bins"])
    opened.page.locator("#draw-save summary").click()
    for label, name in (("Trials file", "h5"), ("NWB", "nwb"), ("Table", "csv"), (".svg", "svg"), (".png", "png")):
        with opened.page.expect_download() as caught:
            opened.page.locator("#draw-save").get_by_role("button", name=label).click()
        caught.value.save_as(tmp_path / f"stroke.{name}")
    trials = sl.Trials.load(tmp_path / "stroke.h5")
    assert (trials.counts[0] == expected).all()
    units = sl.load(tmp_path / "stroke.nwb").spikes
    assert [len(times) for times in units] == expected.sum(0).tolist()
    with (tmp_path / "stroke.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = np.zeros_like(expected)
    for row in rows:
        table[int(row["bin"]), int(row["neuron"])] += int(row["count"])
    assert (table == expected).all()
    group = re.search(r'<g id="spikes">(.*?)</g>', (tmp_path / "stroke.svg").read_text(), re.S).group(1)
    assert len(re.findall(r"M[\d.]+ [\d.]+v", group)) == expected.sum()
    assert (tmp_path / "stroke.png").read_bytes().startswith(b"\x89PNG")
    opened.page.locator("#draw-save pre").first.filter(has_text="spikeloom").wait_for()
    lines = opened.page.locator("#draw-save pre").all_inner_texts()
    assert "spikeloom" in lines[0]
    assert "spikeloom sample" in lines[1]

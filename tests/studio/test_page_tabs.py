"""The other tabs and the look of the studio's page in a real browser."""

import re
from typing import Any

import pytest

from tests.studio.opened import IN_A_BROWSER, Opened, spikes_in

pytestmark = IN_A_BROWSER

UNNAMED = """() => [...document.querySelectorAll("#main button, #main input, #main select, #main canvas[tabindex]")]
  .filter((one) => one.offsetParent)
  .filter((one) => !(one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent).trim())
  .map((one) => one.outerHTML)"""
"""Finds the controls that a screen reader could not name."""


def test_the_dial_turns_by_keyboard_and_shows_recorded_rates(opened: Opened) -> None:
    opened.model("turn")
    dial = opened.page.get_by_role("slider", name="angle_deg")
    opened.page.locator("#turn-multiples .multiple").nth(7).wait_for()
    before = int(dial.get_attribute("aria-valuenow"))
    body, answer = opened.during(lambda: dial.press("PageUp"), "/turn")
    assert body["condition"]["angle_deg"] == before + 45
    assert answer["recorded_psth"] is not None
    opened.page.get_by_text(f"the nearest recorded condition, {answer['nearest_level']:g}").first.wait_for()
    summary = opened.page.inner_text("#psth-summary")
    assert re.search(r"Correlation of recorded and generated mean rates: .?[\d.]+", summary)
    assert re.search(r"Median Fano factor [\d.]+ generated", opened.page.inner_text("#fano-summary"))
    assert opened.page.locator("#psth-neurons svg").count() == 6
    assert opened.page.locator("#psth-neurons svg").first.locator("path.line").count() == 2
    assert "condition" in opened.page.url
    assert opened.console == []


def test_the_dial_turns_by_pointer(opened: Opened) -> None:
    opened.model("turn")
    opened.page.locator("#turn-multiples .multiple").first.wait_for()
    dial = opened.page.get_by_role("slider", name="angle_deg")
    box = dial.bounding_box()
    body, _ = opened.during(lambda: dial.click(position={"x": box["width"] / 2, "y": 20}), "/turn")
    assert body["condition"]["angle_deg"] == pytest.approx(90, abs=2)


def test_sliders_and_the_pad_move_a_code(opened: Opened) -> None:
    opened.model("codes")
    opened.page.locator("#traverse-more").wait_for()
    pad = opened.page.locator("#pad")
    before = opened.label("#pad")
    body, answer = opened.during(lambda: pad.press("ArrowLeft"), "/traverse")
    assert opened.label("#pad") != before
    across = opened.page.input_value("#pad-x")
    assert answer["values"][across] == pytest.approx(body["values"][across])
    opened.page.get_by_text(re.compile(r"Distance to the nearest training code: [\d.]+")).first.wait_for()
    assert opened.page.locator("#traverse-rates path.line.start").count() == 6
    slider = opened.page.locator("#sliders input").first
    key, side = ("Home", "min") if slider.input_value() == slider.get_attribute("max") else ("End", "max")
    body, _ = opened.during(lambda: slider.press(key), "/traverse")
    assert next(iter(body["values"].values())) == pytest.approx(float(slider.get_attribute(side)))
    opened.page.fill("#trial", "3")
    start = opened.page.get_by_role("button", name="Start from this trial")
    body, _ = opened.during(start.click, "/traverse")
    assert body["reset_to_trial"] == 3
    assert opened.page.locator("#traverse-rates svg").count() == 6
    assert opened.console == []


def test_tabs_and_models_by_keyboard(opened: Opened) -> None:
    opened.model("draw")
    opened.page.focus("#tab-draw")
    opened.page.keyboard.press("ArrowRight")
    assert opened.page.locator("#compare").is_visible()
    assert not opened.page.locator("#draw").is_visible()
    opened.page.keyboard.press("ArrowRight")
    assert opened.page.locator("#draw").is_visible()
    unnamed = opened.page.evaluate(UNNAMED)
    assert unnamed == []


def test_without_a_token_the_page_says_what_to_do(browser: Any, served: Any) -> None:
    opened = Opened(browser, served.base, "")
    opened.page.get_by_text("This page needs its token").wait_for()
    opened.page.fill("#pasted", "wrong")
    opened.page.get_by_role("button", name="Open").click()
    opened.page.get_by_role("alert").get_by_text("token").wait_for()
    assert opened.page.locator("#locked").is_visible()
    assert not opened.page.locator("#main").is_visible()
    opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1440, "dark"), (3840, "light")])
def test_nothing_runs_out_of_the_window(browser: Any, served: Any, width: int, scheme: str) -> None:
    opened = Opened(browser, served.base, viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened.model("draw")
    opened.page.get_by_role("button", name="Circle").click()
    opened.page.locator("#draw-multiples .multiple").nth(3).wait_for()
    for tab in ("Draw", "Compare"):
        opened.page.get_by_role("tab", name=tab).click()
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    smallest = opened.page.evaluate(
        "Math.min(...[...document.querySelectorAll('p, label, button, span')].filter(e => e.offsetParent)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 12
    colours = [opened.page.evaluate(f"getComputedStyle(document.body).{what}") for what in ("backgroundColor", "color")]
    back, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (back > ink) == (scheme == "light")
    opened.close()


def test_reduced_motion_shows_the_end_at_once(browser: Any, served: Any) -> None:
    opened = Opened(browser, served.base, reduced_motion="reduce")
    opened.model("draw")
    opened.page.get_by_role("button", name="Circle").click()
    opened.page.locator("#score b").first.wait_for()
    shown = opened.page.locator("#draw-raster output").inner_text()
    now, end = re.findall(r"[\d.]+", shown)
    assert now == end
    opened.close()


def test_a_recorded_trial_is_shown_beside_generated_ones(opened: Opened) -> None:
    opened.model("turn")
    _, first = opened.during(opened.page.get_by_role("tab", name="Compare").click, "/pair")
    assert first["trial"] == 0
    opened.page.fill("#pair-trial", "7")
    body, answer = opened.during(opened.page.get_by_role("button", name="Show this trial").click, "/pair")
    assert (body["trial"], answer["trial"]) == (7, 7)
    opened.page.get_by_text(f"in {answer['recorded_trials']} recorded trials of the same condition").first.wait_for()
    assert f"Condition: angle_deg {answer['condition']['angle_deg']:g}" in opened.page.inner_text("#pair-summary")
    assert re.search(r"Median Fano factor [\d.]+ generated", opened.page.inner_text("#pair-summary"))
    recorded, generated = (opened.label(f"#pair-{side} canvas") for side in ("recorded", "generated"))
    assert str(spikes_in(answer["recorded"])) in recorded
    assert str(spikes_in(answer["draws"][0])) in generated
    opened.page.locator("#pair-multiples .multiple").nth(3).click()
    assert str(spikes_in(answer["draws"][3])) in opened.label("#pair-generated canvas")
    assert opened.page.locator("#pair-charts svg").count() == 2
    body, _ = opened.during(opened.page.get_by_role("button", name="Another trial").click, "/pair")
    assert body["trial"] != 7
    assert f"trial={body['trial']}" in opened.page.url
    opened.page.reload()
    opened.page.wait_for_selector("#pair-multiples .multiple")
    assert opened.page.input_value("#pair-trial") == str(body["trial"])
    assert opened.console == []


def test_the_quiz_counts_answers_and_names_the_recorded_trial(opened: Opened) -> None:
    opened.model("draw")
    opened.page.get_by_role("tab", name="Compare").click()
    _, quiz = opened.during(lambda: opened.page.get_by_role("button", name="Start the quiz").click(), "/quiz")
    assert len(quiz["pairs"]) == 10
    score = 0
    for pair in range(10):
        side = ("left", "right")[pair % 2]
        body, answer = opened.during(
            lambda side=side: opened.page.locator(f"button[data-side={side}]").click(), "/answer"
        )
        assert body == {"pair": pair, "recorded": side}
        score += answer["correct"]
        assert (answer["score"], answer["answered"]) == (score, pair + 1)
        recorded = opened.page.locator(".verdict.recorded")
        recorded.wait_for()
        assert (recorded.get_attribute("data-side") == side) == answer["correct"]
        opened.page.locator("#quiz-next").click()
    assert opened.page.locator("#review article").count() == 10
    opened.page.get_by_text("Classifier, noise floor").wait_for()
    assert f"{score} of 10" in opened.page.inner_text("#quiz-score")
    assert opened.console == []

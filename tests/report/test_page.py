"""The page in a real browser: no errors, no network, tabs and hovers work, it fits wide and narrow, dark and print."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spikeloom.report.report import Report

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report.to_html(), "utf-8")
    return path


class Opened:
    """A page with its console messages and the addresses that it requested."""

    def __init__(self, browser: Any, file: Path, **how: Any) -> None:
        self.page = browser.new_page(**how)
        self.said: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("dialog", lambda dialog: self.said.append("a dialog opened"))
        self.page.goto(file.as_uri())

    @property
    def shown(self) -> list[str]:
        """Names of the tabs whose panel can be seen."""
        tabs = self.page.get_by_role("tab").all()
        return [
            tab.inner_text() for tab in tabs if self.page.locator(f"#{tab.get_attribute('aria-controls')}").is_visible()
        ]

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def point_at(self, chart: Any, right: float, down: float) -> str:
        """Text of the hover after pointing at a position in a chart, in fractions of its width and height.

        The page may still be laying out or scrolling here, so the chart must have stopped moving first.
        """
        chart.scroll_into_view_if_needed()
        box = self._resting(chart)
        self.page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"])
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        tip = self.page.locator("#tip")
        return tip.inner_text() if tip.is_visible() else ""

    def _resting(self, chart: Any) -> dict[str, float]:
        box = chart.bounding_box()
        for _ in range(50):
            self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            box, before = chart.bounding_box(), box
            if box == before:
                return box
        raise AssertionError(f"the chart does not come to rest: {before} {box}")


def test_it_opens_without_errors_scripts_of_others_or_network(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    for tab in opened.page.get_by_role("tab").all():
        tab.click()
    assert opened.said == []
    assert opened.requested == [file.as_uri()]
    assert 'alert("x")' in opened.page.locator("body").inner_text()  # the nasty name is there, as text


def test_the_policy_refuses_any_script_but_ours(browser: Any, file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    extra = '<script>document.title = "taken"</script><img src="https://example.invalid/x.png">'
    bad.write_text(file.read_text("utf-8").replace("<body>", "<body>" + extra), "utf-8")
    opened = Opened(browser, bad)
    assert opened.page.title() == "spikeloom report"
    assert all("Content Security Policy" in line for line in opened.said)
    assert len(opened.said) >= 2


def test_the_page_opens_with_both_sides_in_labels_of_one_size(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    charts = opened.page.locator("#glance svg").all()
    assert [chart.get_attribute("aria-label") for chart in charts[:2]] == ["recorded", "generated"]
    tall = "all => all.map(one => one.getBoundingClientRect().height)"
    heights = opened.page.eval_on_selector_all("#glance .title", tall)
    assert max(heights) < 1.5 * min(heights)


def test_tabs_show_one_part_each_by_mouse_and_keyboard(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    names = ["Numbers", "Activity", "Neurons", "Population", "Memorisation", "LDNS protocol", "About"]
    assert [tab.inner_text() for tab in opened.page.get_by_role("tab").all()] == names
    assert opened.shown == ["Numbers"]
    for name in names:
        opened.tab(name)
        assert opened.shown == [name]
    opened.page.keyboard.press("ArrowRight")
    assert opened.shown == ["Numbers"]


@pytest.mark.parametrize(
    ("tab", "figure", "position", "words"),
    [
        ("Activity", "rasters", (0.5, 0.6), r"neuron \d+\n0\.\d+ s"),
        ("Activity", "psths", (0.5, 0.5), r"time \(s\): [\d.]+\nrecorded: [\d.]+\ngenerated: [\d.]+"),
        ("Neurons", "population_counts", (0.4, 0.5), r"recorded: [\d.e−]+"),
        ("Population", "spectrum", (0.5, 0.5), r"frequency \(Hz\): [\d.]+"),
        ("Population", "trajectories", (0.5, 0.5), r""),
    ],
)
def test_pointing_at_a_figure_says_its_values(
    browser: Any, file: Path, tab: str, figure: str, position: tuple[float, float], words: str
) -> None:
    opened = Opened(browser, file)
    opened.tab(tab)
    said = opened.point_at(opened.page.locator(f"#figure-{figure} svg").first, *position)
    assert re.search(words, said), said
    opened.page.mouse.move(2, 2)
    assert not opened.page.locator("#tip").is_visible()
    assert opened.said == []


def test_pointing_at_a_dot_names_its_neuron(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    opened.tab("Neurons")
    chart = opened.page.locator("#figure-neurons svg").first
    result = {opened.point_at(chart, k / 20, 1 - k / 20) for k in range(2, 20)}
    assert any(re.match(r"neuron \d+\nrecorded \(spikes/s\): [\d.]+\ngenerated", text) for text in result), result


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_out_of_the_window(browser: Any, file: Path, tmp_path: Path, width: int, scheme: str) -> None:
    opened = Opened(browser, file, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for tab in opened.page.get_by_role("tab").all():
        tab.click()
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        smallest = opened.page.evaluate(
            "Math.min(...[...document.querySelectorAll('td, p, figcaption, dd')].filter(e => e.offsetParent)"
            ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
        )
        assert smallest >= 12
    back, ink = (
        opened.page.evaluate(f"getComputedStyle(document.body).{what}").strip() for what in ("backgroundColor", "color")
    )
    bright = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (back, ink)]
    assert (bright[0] > bright[1]) == (scheme == "light")
    assert abs(bright[0] - bright[1]) > 500


def test_paper_shows_all_parts_and_no_tabs(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    opened.page.emulate_media(media="print")
    assert len(opened.shown) == 0 or opened.page.get_by_role("tablist").is_hidden()
    for name in ("panel", "figure-rasters", "figure-pairs", "memorisation", "protocol", "about"):
        assert opened.page.locator(f"#{name}").is_visible(), name


def test_without_scripts_everything_is_there(browser: Any, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    for name in ("panel", "figure-rasters", "protocol", "about"):
        assert page.locator(f"#{name}").is_visible(), name
    context.close()

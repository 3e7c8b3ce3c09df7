"""Draws the opening figure of each results page from its tables.

`make docs` runs it; by hand: python docs/results/figures.py
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
REAL, FAKE, OTHER = "#00568C", "#D55E00", "#8a8a8a"
FLOOR = "noise floor"
LOOK = {"svg.fonttype": "none", "svg.hashsalt": "spikeloom", "font.size": 9}

WORDS = {
    "population_count_kl": "population count,\nKL (nats)",
    "pairwise_correlation_r": "pairwise correlation,\nr over pairs",
    "noise_correlation_r": "noise correlation,\nr over pairs",
    "isi_cv_r": "CV of intervals,\nr over neurons",
    "refractory_rmse": "short lags,\nRMSE",
    "c2st_population": "classifier, population\n(chance 0.5)",
}
"""Title of a panel by its metric."""

METRICS = {
    "reach": (
        "compare-reach",
        ("population_count_kl", "pairwise_correlation_r", "noise_correlation_r", "c2st_population"),
    ),
    "ca1": ("ca1", ("population_count_kl", "pairwise_correlation_r", "isi_cv_r", "refractory_rmse")),
    "centre-out": ("centre-out", ("population_count_kl", "pairwise_correlation_r", "noise_correlation_r", "isi_cv_r")),
    "lorenz": ("compare-lorenz", ("population_count_kl", "pairwise_correlation_r", "noise_correlation_r", "isi_cv_r")),
    "arm-models": ("compare-arm", ("population_count_kl", "pairwise_correlation_r", "noise_correlation_r", "isi_cv_r")),
}
"""Table and metrics of the pages whose figure compares columns with the noise floor."""


@dataclass(frozen=True)
class Cell:
    """A number of a table with its standard deviation."""

    value: float
    sd: float


def read_table(name: str) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the heads of the columns, and the name and cells of each row."""
    with (HERE / "tables" / f"{name}.csv").open() as file:
        head, *rows = csv.reader(file)
    return head[1:], [(row[0].strip("`"), row[1:]) for row in rows]


def number(text: str) -> Cell | None:
    """Read "0.78 ± 0.01, 87 %" as a value and its standard deviation, or return None for an empty cell."""
    match = re.match(r"\**(-?[\d.]+)(?: ± ([\d.e-]+))?", text.strip().replace("\u2212", "-"))
    return None if match is None else Cell(float(match[1]), float(match[2] or 0))


def against_floor(table: str, metrics: tuple[str, ...]) -> Figure:
    """Draw every column of a table as a row of dots, one panel per metric, with a band at the noise floor."""
    heads, named = read_table(table)
    rows = dict(named)
    columns = [k for k, head in enumerate(heads) if head != FLOOR]
    size = (9.0, 0.26 * len(columns) + 1.3)
    sheet, panels = plt.subplots(1, len(metrics), figsize=size, sharey=True, layout="constrained")
    for axes, metric in zip(panels, metrics, strict=True):
        floor = number(rows[metric][heads.index(FLOOR)])
        if floor is not None:
            axes.axvspan(floor.value - floor.sd, floor.value + floor.sd, color=REAL, alpha=0.25, lw=0)
            axes.axvline(floor.value, color=REAL, lw=1.5)
        for row, column in enumerate(columns):
            cell = number(rows[metric][column])
            if cell is not None:
                color = OTHER if heads[column].startswith(("Poisson,", "Gaussian", "linear")) else FAKE
                axes.errorbar(cell.value, row, xerr=cell.sd, fmt="o", ms=5, color=color, lw=1.2)
        axes.set_title(WORDS[metric], fontsize="medium", loc="left")
        axes.locator_params(axis="x", nbins=4)
        _finish(axes)
    panels[0].set_yticks(range(len(columns)), [heads[k] for k in columns])
    panels[0].invert_yaxis()
    return sheet


CODES = {
    "abs. cosine, all pairs of four variables, encode": ("cosine of two variables\n(ideal 0)", 0.0),
    "traversal of ±3, ±6 cm: achieved / requested, rates": ("movement, achieved /\nrequested (ideal 1)", 1.0),
    "unintended per achieved movement (cm/cm), rates": ("unintended / achieved\nmovement (ideal 0)", 0.0),
    "unit R² of noiseless units, rates generated from codes": ("R² of the rates\n(ideal 1)", 1.0),
}
"""Title of a panel and its ideal value, by the row of the table of codes."""

CODED = {
    "GNOCCHI": ("GNOCCHI", FAKE),
    "PCA, 24 components, noise filtered": ("components,\nnoise filtered", OTHER),
    "LFADS": ("LFADS", OTHER),
}
"""Label and colour of a model, by the column of the table of codes."""


def arm() -> Figure:
    """Draw what moving a code achieves for models that are trained on spikes and read from rates."""
    heads, named = read_table("codes-models")
    rows = dict(named)
    sheet, panels = plt.subplots(1, len(CODES), figsize=(9.0, 1.9), sharey=True, layout="constrained")
    for axes, (row, (title, ideal)) in zip(panels, CODES.items(), strict=True):
        axes.axvline(ideal, color="0.5", lw=1.2, ls="--")
        for height, (head, (_, color)) in enumerate(CODED.items()):
            cell = number(rows[row][heads.index(head)])
            if cell is not None:
                axes.errorbar(cell.value, height, xerr=cell.sd, fmt="o", ms=6, color=color, lw=1.2)
        axes.set_title(title, fontsize="medium", loc="left")
        axes.set_xlim(-0.05, 1.1)
        _finish(axes)
    panels[0].set_yticks(range(len(CODED)), [label for label, _ in CODED.values()])
    panels[0].set_ylim(len(CODED) - 0.5, -0.5)
    return sheet


def hand_paths() -> Figure:
    """Draw the R² of velocities decoded from generated spikes beside that of recorded ones."""
    sheet, panels = plt.subplots(1, 2, figsize=(7.0, 1.9), sharex=True, layout="constrained")
    for axes, (table, title) in zip(
        panels, (("paths-100ms", "100 ms counts"), ("paths-50ms", "50 ms counts")), strict=True
    ):
        heads, rows = read_table(table)
        real = float(re.search(r"[\d.]+(?=\))", heads[0])[0])
        axes.axvline(real, color=REAL, lw=1.5, label="recorded test trials")
        for row, (_, cells) in enumerate(rows):
            values = [float(value) for value in cells[0].split(",")]
            label = "generated trials, by sampling seed" if not row else None
            axes.plot(values, [row] * len(values), "o", color=FAKE, ms=5, alpha=0.7, label=label)
        axes.set(xlim=(0, 1), xlabel="R² of the decoded velocity", title=title, ylim=(len(rows) - 0.5, -0.5))
        axes.set_yticks(range(len(rows)), [f"training seed {seed}" for seed, _ in rows])
        _finish(axes)
    sheet.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return sheet


def observation_model() -> Figure:
    """Draw what each part of the observation model changes, for counts drawn from generated rates."""
    heads, named = read_table("observation-reach")
    first = next(k for k, (name, _) in enumerate(named) if name.startswith("generated"))
    rows = [named[0], *named[first : first + 4]]
    shown = {
        "ISI-CV error": "ISI-CV error",
        "KL": "population count, KL (nats)",
        "C2ST population": "classifier, population",
    }
    sheet, panels = plt.subplots(1, len(shown), figsize=(8.0, 2.1), sharey=True, layout="constrained")
    for axes, (head, title) in zip(panels, shown.items(), strict=True):
        column = heads.index(head)
        axes.axvline(float(rows[0][1][column]), color=REAL, lw=1.5)
        axes.plot([float(cells[column]) for _, cells in rows[1:]], range(len(rows) - 1), "o", color=FAKE, ms=6)
        axes.set_title(title, fontsize="medium", loc="left")
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=4)
        _finish(axes)
    panels[0].set_yticks(range(len(rows) - 1), ["Poisson", "+ history", "+ refractory bins", "+ shared noise"])
    panels[0].invert_yaxis()
    return sheet


def speed() -> Figure:
    """Draw the time of one update beside that of its matrix products and memory copies alone."""
    heads, rows = read_table("speed-updates")
    parts = [heads.index("products alone, s"), heads.index("copies alone, s")]
    sheet, axes = plt.subplots(figsize=(6.5, 2.0), layout="constrained")
    for row, (_, cells) in enumerate(rows):
        total, limits = float(cells[0]), [float(cells[k]) for k in parts]
        words = ("one update", "its matrix products alone", "its memory copies alone")
        axes.barh(row, 100, height=0.36, color=FAKE, label=words[0] if not row else None)
        left = 0.0
        for k, (limit, color) in enumerate(zip(limits, (REAL, "#56B4E9"), strict=True)):
            label = words[k + 1] if not row else None
            axes.barh(row + 0.38, 100 * limit / total, left=left, height=0.3, color=color, label=label)
            left += 100 * limit / total
        axes.text(101, row, f"{total:g} s", va="center", fontsize="small")
    axes.set_yticks([row + 0.19 for row in range(len(rows))], [name for name, _ in rows])
    axes.set(xlabel="time, % of the update", xlim=(0, 112))
    axes.invert_yaxis()
    _finish(axes)
    sheet.legend(loc="outside lower center", ncols=3, frameon=False)
    return sheet


def all_commands() -> Figure:
    """Draw the core-seconds of each command from the recording to the report, without the fit, as one bar a version."""
    _, rows = read_table("all-commands")
    versions = list(dict.fromkeys(name for name, _ in rows))
    colors = {"bin": OTHER, "split": "#cccccc", "sample": FAKE, "evaluate": REAL}
    rows = [(name, cells) for name, cells in rows if cells[0] in colors]
    sheet, axes = plt.subplots(figsize=(6.5, 1.8), layout="constrained")
    for row, version in enumerate(versions):
        left = 0.0
        for name, cells in ((cells[0], cells) for other, cells in rows if other == version):
            time = float(cells[2])
            axes.barh(row, time, left=left, height=0.5, color=colors[name], label=name if not row else None)
            left += time
        axes.text(left + 1, row, f"{left:.0f} s", va="center", fontsize="small")
    axes.set_yticks(range(len(versions)), versions)
    axes.set(xlabel="core-seconds")
    axes.invert_yaxis()
    _finish(axes)
    sheet.legend(loc="outside lower center", ncols=len(colors), frameon=False)
    return sheet


OPTIMIZERS = {
    "adamw:2e-3": ("AdamW", OTHER),
    "schedulefree:5e-3": ("Schedule-Free AdamW", "#56B4E9"),
    "muon:2e-3": ("Muon", FAKE),
    "soap:2e-3": ("SOAP", REAL),
}
"""Name and colour of the cases in the figure of optimisers."""


def optimizers() -> Figure:
    """Draw validation bits per spike against core-seconds, of the weights and of their average, mean over seeds."""
    _, rows = read_table("speed-optimizers")
    sheet, panels = plt.subplots(1, 2, figsize=(8.0, 2.6), sharey=True, layout="constrained")
    for case, (name, color) in OPTIMIZERS.items():
        values = [[float(cell) for cell in cells] for other, cells in rows if other == case]
        for number, updates in enumerate(sorted({row[0] for row in values})):
            points = [row for row in values if row[0] == updates]
            for axes, column in zip(panels, (4, 5), strict=True):
                checkpoints = sorted({row[2] for row in points})
                means = [
                    [fmean(row[k] for row in points if row[2] == done) for k in (3, column)] for done in checkpoints
                ]
                label = None if number else name
                axes.plot(*zip(*means, strict=True), "o-", color=color, ms=4, lw=1.2, label=label)
    for axes, title in zip(panels, ("weights", "averaged weights"), strict=True):
        axes.set_title(title, fontsize="medium", loc="left")
        axes.set(xlabel="core-seconds")
        _finish(axes)
    panels[0].set_ylabel("validation bits per spike")
    panels[1].legend(frameon=False)
    return sheet


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def write() -> None:
    """Write every figure beside the pages."""
    (HERE / "figures").mkdir(exist_ok=True)
    with plt.rc_context(LOOK):
        sheets = {name: against_floor(*what) for name, what in METRICS.items()}
        sheets |= {"arm": arm(), "hand-paths": hand_paths(), "observation-model": observation_model(), "speed": speed()}
        sheets |= {"all-commands": all_commands(), "optimizers": optimizers()}
        for name, sheet in sheets.items():
            sheet.savefig(HERE / "figures" / f"{name}.svg", metadata={"Date": None, "Creator": None})
            plt.close(sheet)


if __name__ == "__main__":
    write()

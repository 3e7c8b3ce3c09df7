"""A `Comparison` as one self-contained HTML page, in the style of the report's."""

from html import escape

from spikeloom.evaluation.compare import Comparison
from spikeloom.evaluation.report import number, spread
from spikeloom.report.page import document, figure_html, plain_table


def page(comparison: Comparison) -> str:
    """The whole page as text."""
    names = comparison.names
    head = ["metric", "real vs real", *names, "trivial", "winner"]
    kinds = ["", *[' class="n"'] * (len(head) - 2), ""]
    top = "".join(f"<th{kind}>{escape(word)}</th>" for kind, word in zip(kinds, head, strict=True))
    rows = []
    for metric in comparison.metrics:
        found = [comparison.rows[name][metric.name] for name in names]
        verdict = comparison.verdicts[metric.name]
        words = [
            spread(row.value, row.sd) + _sampling(comparison.models[name].sample_sd[metric.name])
            for name, row in zip(names, found, strict=True)
        ]
        words = [spread(found[0].floor, found[0].floor_sd), *words, number(found[0].trivial)]
        labels = ["real vs real", *names, "trivial"]
        cells = "".join(
            f'<td class="n" data-label="{escape(label, quote=True)}">{escape(word)}</td>'
            for label, word in zip(labels, words, strict=True)
        )
        unit = f" ({escape(metric.unit)})" if metric.unit else ""
        winner = f"<b>{escape(verdict.winner)}</b>" if verdict.winner else f"no winner: {escape(verdict.reason)}"
        rows.append(
            f'<tr><td class="metric">{escape(metric.title)}{unit}<small>{escape(metric.why)}</small></td>{cells}'
            f'<td class="soft won" data-label="winner">{winner}</td></tr>'
        )
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in comparison.facts.items())
    body = f"""<header><h1>Models compared</h1><p class="summary">{escape(comparison.summary)}</p></header>
<main>{figure_html(comparison.figure)}
<div class="card"><h2>Every metric</h2><p class="soft">± is the spread over runs with other training seeds, in
brackets that over samples of one run.</p><div class="scroll"><table class="stack"><thead><tr>{top}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div></div>
{_costs(comparison)}<div class="card"><h2>What was compared</h2><dl>{facts}</dl></div></main>
<footer>Made by spikeloom. All models met the same recorded trials in equal numbers.</footer>"""
    return document("spikeloom comparison", body)


def _sampling(sd: float | None) -> str:
    return "" if sd is None else f" ({number(float(f'{sd:.1g}'))})"


def _costs(comparison: Comparison) -> str:
    """What each model costs, one column per model; empty where nothing is known."""
    told = list(dict.fromkeys(name for model in comparison.models.values() for name in model.cost))
    rows = [(word, *(model.cost.get(word, "–") for model in comparison.models.values())) for word in told]
    table = plain_table(["", *comparison.names], rows)
    return f'<div class="card" id="cost"><h2>What it costs</h2>{table}</div>' if told else ""

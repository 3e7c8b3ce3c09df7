"""Small HTML tables, as which objects are displayed in a notebook."""

from collections.abc import Mapping
from html import escape


def table(title: str, rows: Mapping[str, str]) -> str:
    """Return an HTML table with a heading and one row per entry. Every text is escaped.

    Args:
        title: Heading.
        rows: Text of each row by its name, in order.
    """
    cell = 'style="text-align:left;vertical-align:top;padding:0.15em 0.8em 0.15em 0"'
    body = "".join(
        f"<tr><th {cell}>{escape(name)}</th><td {cell}>{escape(text)}</td></tr>" for name, text in rows.items()
    )
    return f"<div><strong>{escape(title)}</strong><table><tbody>{body}</tbody></table></div>"

"""Small HTML tables with which objects show themselves in a notebook."""

from collections.abc import Mapping
from html import escape


def table(title: str, rows: Mapping[str, str]) -> str:
    """A table with a heading and one row per fact; every text is escaped.

    Args:
        title: Heading.
        rows: Text of each row by its name, in order.
    """
    cell = 'style="text-align:left;vertical-align:top;padding:0.15em 0.8em 0.15em 0"'
    body = "".join(
        f"<tr><th {cell}>{escape(name)}</th><td {cell}>{escape(text)}</td></tr>" for name, text in rows.items()
    )
    return f"<div><strong>{escape(title)}</strong><table><tbody>{body}</tbody></table></div>"

"""HTML for objects that are displayed in a notebook: small tables, and pages in a frame."""

from collections.abc import Mapping
from html import escape


def table(title: str, rows: Mapping[str, str]) -> str:
    """Return a table with a heading and one row per fact.

    Every text is escaped. The table has the colours and fonts of the notebook, so it is readable in dark themes, too.

    Args:
        title: Heading.
        rows: Text of each row by its name, in order; rows without text are left out.
    """
    cell = 'style="text-align:left;vertical-align:top;padding:0.15em 0.8em 0.15em 0;color:inherit;background:none"'
    body = "".join(
        f"<tr><th {cell}>{escape(name)}</th><td {cell}>{escape(text)}</td></tr>" for name, text in rows.items() if text
    )
    return f'<div><strong>{escape(title)}</strong><table style="margin:0"><tbody>{body}</tbody></table></div>'


def frame(page: str) -> str:
    """Return a complete page in a frame. Page and notebook then do not change each other's styles.

    Args:
        page: The page as HTML text; its scripts cannot reach the notebook.
    """
    look = "width:100%;height:820px;border:0;border-radius:10px"
    return f'<iframe sandbox="allow-scripts" style="{look}" srcdoc="{escape(page, quote=True)}"></iframe>'

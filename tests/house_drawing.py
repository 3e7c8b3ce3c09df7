"""The drawing of the house in docs/develop/architecture.md, made from the imports of the source.

    python -m tests.house_drawing            # print it
    python -m tests.house_drawing --write    # put it into the page

`tests/test_house_drawing.py` fails when the page is out of date.
"""

import sys
from textwrap import wrap

from tests.test_house import FLOORS, ROOT, floor, room_edges

PAGE = ROOT / "docs" / "develop" / "architecture.md"
BEGIN = "<!-- begin of the drawing: python -m tests.house_drawing --write -->"
END = "<!-- end of the drawing -->"
WIDTH = 88
"""Characters of a line that the page shows without scrolling."""


def drawing() -> str:
    """Return the floors from top to bottom, with the rooms that each room imports from."""
    edges = room_edges()
    width = max(map(len, edges))
    lines = ["```text"]
    for number in range(len(FLOORS), 0, -1):
        rooms = sorted(name for name in edges if floor(name.split("/")[0]) == number)
        names = [name for name in rooms if name != "__main__"]
        for name in sorted(names, key=lambda name: (name.count("/"), name)):
            mark = str(number) if name == names[0] else " "
            first = f"{mark}  {name:{width}}  "
            imports = ", ".join(sorted(edges[name]))
            lines += wrap(imports, WIDTH, initial_indent=first, subsequent_indent=" " * len(first)) or [first.rstrip()]
    return "\n".join([*lines, "```"])


def page() -> str:
    """Return the page with the drawing of today."""
    before, rest = PAGE.read_text().split(BEGIN)
    return f"{before}{BEGIN}\n{drawing()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page())
    else:
        sys.stdout.write(drawing() + "\n")

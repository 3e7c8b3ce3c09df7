"""The page about the architecture shows the imports that the source has."""

from tests import house_drawing
from tests.test_house import room_edges


def test_the_page_shows_the_imports_of_today():
    assert house_drawing.page() == house_drawing.PAGE.read_text(), "run `python -m tests.house_drawing --write`"


def test_the_page_names_every_room():
    text = house_drawing.PAGE.read_text()
    assert all(f"`{name}`" in text or f"`{name}/`" in text for name in room_edges() if name != "__main__")

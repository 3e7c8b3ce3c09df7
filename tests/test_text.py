"""Numbers agree with their nouns and verbs."""

import pytest

from spikeloom.text import counted, verb


@pytest.mark.parametrize(
    ("number", "total", "expected"),
    [
        (0, None, "0 trials"),
        (1, None, "1 trial"),
        (2, None, "2 trials"),
        (1, 80, "1 of 80 trials"),
        (0, 1, "0 of 1 trial"),
    ],
)
def test_a_noun_agrees_with_its_number(number, total, expected):
    assert counted(number, "trial", of=total) == expected


def test_an_irregular_plural_is_an_argument():
    assert counted(1, "series", plural="series") == "1 series"
    assert counted(2, "entry", plural="entries") == "2 entries"


@pytest.mark.parametrize(("number", "expected"), [(0, "were"), (1, "was"), (2, "were")])
def test_a_verb_agrees_with_its_number(number, expected):
    assert verb(number, "was", "were") == expected

"""Numbers as text, for tables on a page and on a terminal."""

import numpy as np


def percent(fraction: float | None) -> str:
    """Return a fraction as text: "87 %", "none" for 0 and below, "all" for 1 and above; empty for None."""
    if fraction is None:
        return ""
    if fraction <= 0:
        return "none"
    return "all" if fraction >= 1 else f"{100 * fraction:.0f} %"


def number(value: float | None, sd: float | None = None) -> str:
    """Return a number as text, with a typographic minus; a dash for None.

    Args:
        value: Number.
        sd: Its standard deviation, which decides the number of digits. `None` gives three digits.
    """
    if value is None:
        return "–"
    digits = 3
    if value and sd and sd > 1e-9 * abs(value):
        # the last digit has the place of the first digit of the standard deviation
        first_place = np.floor(np.log10(abs(value)))
        last_place = np.floor(np.log10(sd))
        digits = int(np.clip(first_place - last_place + 1, 2, 6))
    text = "0" if value == 0 else f"{value:.{digits}g}"
    if "e" in text:  # 1e-05 becomes 1e-5
        mantissa, power = text.split("e")
        text = f"{mantissa}e{int(power)}"
    return text.replace("-", "\u2212")


def small(value: float, sd: float) -> str:
    """Return a standard deviation with one digit; 0 if it is only a rounding error of the value."""
    return number(float(f"{sd:.1g}") if sd > 1e-9 * abs(value) else 0.0)


def spread(value: float | None, sd: float | None) -> str:
    """Return value and standard deviation as text, such as "0.86 ± 0.02"."""
    return number(value) if value is None or sd is None else f"{number(value, sd)} ± {small(value, sd)}"


def short(note: str) -> str:
    """Return a note for a table: of a long note, only the first sentence."""
    return note if len(note) <= 90 else note.split(". ")[0]

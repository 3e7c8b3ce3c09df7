"""Numbers in sentences: "1 trial was left out", "3 of 80 trials were left out"."""


def counted(number: int, noun: str, *, of: int | None = None, plural: str | None = None) -> str:
    """Return a number with its noun in the singular or the plural: "1 trial", "3 trials", "1 of 80 trials".

    Args:
        number: The number.
        noun: The noun in the singular.
        of: Total, of which the number is a part.
        plural: The noun in the plural. Default: the singular with "s".
    """
    counted_last = number if of is None else of  # the number beside the noun, which decides its form
    form = noun if counted_last == 1 else plural or f"{noun}s"
    return f"{number} {form}" if of is None else f"{number} of {of} {form}"


def verb(number: int, singular: str, plural: str) -> str:
    """Return the form of a verb that agrees with a number: "was" for 1 trial, "were" for 3 trials."""
    return singular if number == 1 else plural

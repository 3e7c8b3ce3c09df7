"""Results of an object that are computed once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from spikeloom.metrics.once import Once, once_property


class Numbers(Once):
    """A list of numbers that counts its computations."""

    def __init__(self) -> None:
        self.computed: list[str] = []

    @once_property
    def total(self) -> int:
        """Sum of the numbers."""
        self.computed.append("total")
        return 6


def above(numbers: Numbers, limits: np.ndarray, *, strict: bool = False) -> int:
    numbers.computed.append("above")
    return int(np.sum(limits)) + strict


def test_a_property_is_computed_at_its_first_use_only() -> None:
    numbers = Numbers()
    assert numbers.computed == []
    assert (numbers.total, numbers.total) == (6, 6)
    assert numbers.computed == ["total"]
    assert Numbers.total.__doc__ == "Sum of the numbers."


def test_a_function_is_once_property_for_equal_arguments() -> None:
    numbers = Numbers()
    assert numbers.once(above, np.array([1, 2])) == numbers.once(above, np.array([1, 2])) == 3
    assert len(numbers.computed) == 1
    assert numbers.once(above, np.array([1, 2]), strict=True) == 4
    assert numbers.once(above, np.array([[1, 2]])) == 3
    assert numbers.once(above, np.array([2, 2])) == 4
    assert len(numbers.computed) == 4


def test_threads_share_one_computation() -> None:
    numbers, together = Numbers(), threading.Barrier(4)

    def read(_: int) -> int:
        together.wait()
        return numbers.once(slow)

    def slow(one: Numbers) -> int:
        one.computed.append("slow")
        threading.Event().wait(0.05)
        return 1

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [1, 1, 1, 1]
    assert numbers.computed == ["slow"]


def test_results_can_be_taken_over() -> None:
    first, second = Numbers(), Numbers()
    assert first.total == 6
    second.share(first, "total", "never_computed")
    assert second.total == 6
    assert second.computed == []

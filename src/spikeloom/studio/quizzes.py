"""The quizzes that are in progress: the recorded side of each pair, and the answers so far.

The server keeps the recorded sides, so that the page does not hold the solution.
"""

import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException

from spikeloom.studio.bodies import Answer
from spikeloom.studio.results import Json

MOST_QUIZZES = 64
"""Number of quizzes that are remembered; the oldest is forgotten first."""


@dataclass
class Quiz:
    """One quiz.

    Args:
        recorded: Recorded side of each pair, "left" or "right".
        correct: Number of an answered pair -> True if the answer was correct.
    """

    recorded: list[str]
    correct: dict[int, bool] = field(default_factory=dict)


class Quizzes:
    """The quizzes of all pages."""

    def __init__(self) -> None:
        self._quizzes: OrderedDict[str, Quiz] = OrderedDict()

    def begin(self, content: bytes) -> Json:
        """Keep the recorded sides of a new quiz, and return the quiz without them and with an id.

        Args:
            content: The quiz that a worker made, as JSON.
        """
        quiz = json.loads(content)
        key = secrets.token_urlsafe(9)
        self._quizzes[key] = Quiz(quiz.pop("recorded"))
        while len(self._quizzes) > MOST_QUIZZES:
            self._quizzes.popitem(last=False)
        return {"id": key, **quiz}

    def answer(self, key: str, answer: Answer) -> Json:
        """Keep an answer and return whether it is correct, and the score so far.

        Raises:
            HTTPException: if there is no such quiz or pair, or it has an answer already.
        """
        quiz = self._quizzes.get(key)
        if quiz is None:
            raise HTTPException(404, "There is no such quiz. Begin a new one.")
        if answer.pair >= len(quiz.recorded):
            raise HTTPException(
                422, f"There is no pair {answer.pair}. The quiz has pairs 0 to {len(quiz.recorded) - 1}."
            )
        if answer.pair in quiz.correct:
            raise HTTPException(422, f"Pair {answer.pair} has an answer already. Answer the next one.")
        quiz.correct[answer.pair] = quiz.recorded[answer.pair] == answer.recorded
        correct = quiz.correct[answer.pair]
        return {"correct": correct, "score": sum(quiz.correct.values()), "answered": len(quiz.correct)}

"""Search for settings: the search space, the objective, and the search algorithms."""

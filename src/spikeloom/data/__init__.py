"""Recordings and simulations: from a file or an array to `Recording` and `Trials`."""

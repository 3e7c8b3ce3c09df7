"""Search for settings: what may vary, what is to be found, and how it is looked for."""

"""Read recordings from files and arrays, as `Recording` or `Trials`."""

"""Entry point of `python -m spikeloom` and of `accelerate launch -m spikeloom fit ...`."""

from spikeloom.cli import main

main()

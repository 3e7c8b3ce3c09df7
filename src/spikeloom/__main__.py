"""`python -m spikeloom`, which is also what `accelerate launch -m spikeloom fit ...` starts."""

from spikeloom.cli import main

main()

"""Tests of spikeloom. Folders mirror `src/spikeloom/`; what several tests share lies in `tests.helpers`."""

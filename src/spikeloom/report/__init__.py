"""Reports and comparisons: what an evaluation found, and its drawing as figures, pages and tables on a terminal."""

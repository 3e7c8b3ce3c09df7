"""Reports and comparisons: results of an evaluation as figures, pages and tables on a terminal."""

"""Drawing: figures as SVG, PDF and inline SVG, the report's page, and its tables on a terminal."""

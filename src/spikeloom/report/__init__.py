"""The report: how far generated trials are from recorded ones, beside what real data and trivial models reach."""

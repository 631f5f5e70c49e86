"""Files of a run: result rows, provenance, and exported tables."""

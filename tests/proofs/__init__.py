"""Proofs: what must hold wherever a run is cut off, and whatever runs beside it."""

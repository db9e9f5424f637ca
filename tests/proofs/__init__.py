"""Proofs: what must hold wherever a run is cut off, and whoever runs beside it."""

"""``enireconcile fleet``: validate, units, plan, apply and verify, for all units of a fleet file."""

from __future__ import annotations

"""``python -m enireconcile``."""

from enireconcile.cli import main

main()

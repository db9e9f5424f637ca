"""Run the command line: ``python -m enireconcile``."""

from enireconcile.cli.app import main

main()

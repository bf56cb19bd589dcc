"""``python -m enrich.cli``."""

from enrich.cli import main

main()

"""`python -m zapisano` is the `zapisano` command."""

from zapisano.cli import main

main()

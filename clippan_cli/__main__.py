"""`python -m clippan_cli` is `clippan`."""

from clippan_cli.main import main

main()

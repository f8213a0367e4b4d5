"""`python -m clippan_cli` is `clippan`."""

from clippan_cli.main import main

if __name__ == "__main__":  # the workers of a batch import it as well
    main()

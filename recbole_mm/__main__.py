"""`python -m recbole_mm COMMAND`, the same as `recbole-mm COMMAND`."""

import sys

from recbole_mm_cli import main

if __name__ == "__main__":
    sys.exit(main())

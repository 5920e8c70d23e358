"""The command in RecBole's habit: `python run_recbole_mm.py --model=MHCR --dataset=ml-100k --epochs=10`."""

import sys

from recbole_mm_cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))

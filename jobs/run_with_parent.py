"""`python -m jobs.run_with_parent PARENT_PID PROGRAM ARGUMENTS...`: become a program that dies with its parent."""

import os
import signal
import sys

from jobs.process import die_with_parent


def main(arguments: list[str]) -> None:
    die_with_parent(signal.SIGTERM, parent_pid=int(arguments[0]))
    os.execv(arguments[1], arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])

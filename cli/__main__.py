"""`python -m cli`: the `retint` command, for the processes that `retint serve` starts."""

from cli.main import run

if __name__ == "__main__":
    run()

"""A real courier with short pauses and a short lease: `python courier_process.py`; settings are in the environment."""

from jobs.settings import Settings
from jobs.webhook_courier import run_courier

if __name__ == "__main__":
    run_courier(Settings(), pauses=(0.1, 0.1, 0.1), lease_seconds=1.0)

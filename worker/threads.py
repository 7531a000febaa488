"""How many CPU threads the libraries take."""

import cv2
import torch


def limit_threads(count: int | None) -> None:
    """For this process; None leaves it to the libraries, which take all cores."""
    if count is not None:
        torch.set_num_threads(count)
        cv2.setNumThreads(count)

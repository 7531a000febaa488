"""Video in and out through PyAV: the luma plane that is decoded is the luma plane that is encoded."""

"""Makes the default model's weights from a folder of photos and clips."""

"""Does a job: media in and out, shots, the colorization pipeline, the RQ worker."""

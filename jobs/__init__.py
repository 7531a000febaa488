"""What a job is: options, record, errors, settings, queue and file store. No web framework, no media, no torch."""

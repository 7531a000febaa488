"""What can go wrong inside `models/`; `worker/` turns each into the failure that a user sees.

ModelError
├── OutOfMemory          the device's memory does not hold the work
├── WeightsMissing       the model's weights are not in the weights folder
├── WeightsInvalid       a weight file is damaged or of another network
├── LicenseNotAccepted   weights whose licence must be accepted first
├── DownloadFailed       the server of the weights did not deliver
└── DeviceUnavailable    this machine, or its build of torch, lacks the device asked for
"""


class ModelError(Exception):
    """Root of the tree; the message is a whole sentence that says what to do."""


class OutOfMemory(ModelError):
    pass


class WeightsMissing(ModelError):
    pass


class WeightsInvalid(ModelError):
    pass


class LicenseNotAccepted(ModelError):
    pass


class DownloadFailed(ModelError):
    pass


class DeviceUnavailable(ModelError):
    pass

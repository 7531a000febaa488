"""Takes the body of one upload apart and writes its parts to the store, enforcing every limit as the bytes come."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from jobs.errors import (
    FieldError,
    InvalidRequest,
    PayloadTooLarge,
    TooManyReferences,
    UnsupportedMediaType,
)
from jobs.options import JobOptions, ReferenceOptions
from jobs.settings import Settings
from jobs.store import InputKind, InputWriter, Store
from service.disk_space import DiskSpace
from service.file_name import shown_name
from service.fingerprint import Fingerprint
from service.form import Form, Options
from service.multipart import Event, MultipartReader, PartData, PartEnded, PartStarted
from service.options_part import parse_options, require_uploaded
from service.problems import json_pointer
from service.stored_inputs import StoredInputs
from service.video_part import VIDEO_PARTS

MAX_FIELD_BYTES = {"options": 256 * 1024, "video_upload": 64, "video_of": 64}
MOST_REPLAYED_REFERENCES = 10_000
"""Of a submission that was taken once, under whatever limit held then; it only bounds what is remembered of one."""

NOT_A_VIDEO = ("image/", "text/", "audio/", "application/json", "application/pdf")
NOT_AN_IMAGE = ("video/", "text/", "audio/", "application/json", "application/pdf")
"""Content types that are surely wrong; all others, also none, are left to the decoder's judgment."""


@dataclass(frozen=True, slots=True)
class Upload(Generic[Options]):
    """What a whole upload held, beside the files that are in the store by now."""

    filename: str | None
    """Of the video, or the picture; None where it has none."""
    reference_names: tuple[str, ...]
    options: Options
    fingerprint: str
    """The same for what means the same, however it was packed; empty where nobody asked for it."""


class Nowhere:
    """Takes the files of a submission that is only compared with an earlier one."""

    def write(self, chunk: bytes) -> int:
        return len(chunk)

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class Intake(Generic[Options]):
    """The parts of one upload on their way to the store.

    A canceled request no longer waits for its thread, so `discard` may come from a second one: a lock keeps it behind
    the step under way, and no step follows it.
    """

    def __init__(
        self,
        boundary: bytes,
        *,
        form: Form[Options],
        store: Store,
        job_id: str,
        settings: Settings,
        stored: StoredInputs,
        check_options: Callable[[Options], None],
        keep: bool = True,
        fingerprint: Fingerprint | None = None,
    ) -> None:
        self._form = form
        self._keep = keep
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._discarded = False
        self._reader = MultipartReader(boundary)
        self._store = store
        self._job_id = job_id
        self._settings = settings
        self._stored = stored
        self._space = DiskSpace(store, min_free_bytes=settings.min_free_bytes, kept="Nothing was kept.")
        self._check_options = check_options
        self._received = 0
        self._part: PartStarted | None = None
        self._part_bytes = 0
        self._pointer = "#"
        self._writer: InputWriter | Nowhere | None = None
        self._field = bytearray()
        self._came: set[str] = set()
        self._has_video = False
        self._filename: str | None = None
        self._reference_names: list[str] = []
        self._options: Options | None = None

    def open(self, declared: int) -> None:
        """Make the job's folder, if the disk holds the `declared` bytes (0: not declared)."""
        if not self._keep:
            return
        self._space.require(declared)
        with self._lock:
            if not self._discarded:
                self._store.create(self._job_id)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self._received += len(chunk)
        if self._received > self._settings.max_upload_bytes:
            raise too_large(self._settings)
        if self._keep:
            self._space.use(len(chunk))
        with self._lock:
            if not self._discarded:
                for event in self._reader.feed(chunk):
                    self._follow(event)

    def finish(self) -> Upload[Options]:
        """The body is over: check that it held all that it must."""
        self._reader.close()
        options = self._options
        if options is None:
            options = self._form.options()
            self._check_options(options)
        completed = self._complete(options) if self._keep else options
        return Upload(
            filename=self._filename,
            reference_names=tuple(self._reference_names),
            options=completed,
            # Of what was sent: the earlier job may be gone when it is sent again.
            fingerprint=self._fingerprint.value(options) if self._fingerprint else "",
        )

    def _complete(self, options: Options) -> Options:
        """Take from an earlier job what was not sent, and check that nothing lacks then."""
        places: list[ReferenceOptions] = []
        if isinstance(options, JobOptions) and options.reuse is not None:
            places = self._take_from_earlier_job(options, options.reuse)
        form, missing = self._form, []
        if not self._has_video:
            missing.append(
                FieldError(f"#/{form.picture}", f"Send the picture as a file in the part `{form.picture}`.")
                if form.picture
                else FieldError(
                    "#/video",
                    "Send the video as a file in the part `video`, or name an upload in `video_upload` or an earlier "
                    "job in `video_of`.",
                )
            )
        if form.references and not self._reference_names:
            missing.append(
                FieldError(f"#/{form.references}", f"Send at least one color image as a file in `{form.references}`.")
            )
        if missing:
            raise InvalidRequest("The upload lacks a part; `errors` says which.", errors=missing)
        if isinstance(options, JobOptions):
            require_uploaded(options, names=self._reference_names)
            return options.model_copy(update={"references": [*options.references, *places]})
        return options

    def discard(self) -> None:
        """Leave nothing behind."""
        with self._lock:
            self._discarded = True
            if self._writer is not None:
                self._writer.abort()
                self._writer = None
            if self._keep:
                self._store.delete(self._job_id)

    def _follow(self, event: Event) -> None:
        match event:
            case PartStarted():
                self._start(event)
            case PartData(data=data):
                self._take(data)
            case PartEnded():
                self._end()

    def _start(self, part: PartStarted) -> None:
        self._part, self._part_bytes, self._pointer = part, 0, json_pointer((part.name,))
        form = self._form
        if part.name == form.references:
            self._start_reference(part)
            return
        if part.name not in ((form.picture,) if form.picture else VIDEO_PARTS) and part.name != "options":
            raise _invalid(self._pointer, f"The part `{part.name}` is unknown; {self._form.parts}.")
        self._require_once(part.name)
        if part.name in ("video", form.picture):
            if form.picture:
                self._require_kind(part, wrong=NOT_AN_IMAGE, expected="an image")
            else:
                self._require_kind(part, wrong=NOT_A_VIDEO, expected="a video")
            self._has_video, self._filename = True, self._file_name(part)
            self._begin_file("video", name=self._filename)
        else:
            self._field = bytearray()

    def _require_once(self, name: str) -> None:
        if name in self._came:
            raise _invalid(self._pointer, f"The part `{name}` came twice; send it once.")
        self._came.add(name)
        videos = [part for part in VIDEO_PARTS if part in self._came]
        if len(videos) > 1:
            raise _invalid(f"#/{videos[1]}", f"The parts `{videos[0]}` and `{videos[1]}` both came; send one of them.")

    def _start_reference(self, part: PartStarted) -> None:
        self._pointer = json_pointer((part.name, len(self._reference_names)))
        if self._form.picture:
            self._require_once(part.name)
        most = self._settings.max_references
        if not self._keep:
            most = max(most, MOST_REPLAYED_REFERENCES)
        if len(self._reference_names) >= most:
            raise TooManyReferences(
                f"The upload has more than {most} references, which is what a job takes here. "
                "Send those that matter most, one per scene.",
                errors=[FieldError("#/references", f"At most {most}.")],
            )
        self._require_kind(part, wrong=NOT_AN_IMAGE, expected="an image")
        name = self._file_name(part)
        if name in self._reference_names:
            raise _invalid(self._pointer, f"Two references are named {name}; give each a name of its own.")
        self._begin_file("reference", name=name)
        self._reference_names.append(name)

    def _begin_file(self, kind: InputKind, *, name: str) -> None:
        if self._fingerprint is not None:
            self._fingerprint.begin(kind, name)
        if self._keep:
            self._writer = self._store.open_input_writer(self._job_id, kind, index=len(self._reference_names))
        else:
            self._writer = Nowhere()

    def _take(self, data: bytes) -> None:
        assert self._part is not None
        self._part_bytes += len(data)
        if self._writer is None:
            self._take_field(data)
            return
        is_picture = self._part.name in (self._form.references, self._form.picture)
        if self._keep and is_picture and self._part_bytes > self._settings.max_reference_bytes:
            name = shown_name(self._part.filename or "") or self._part.name
            raise PayloadTooLarge(
                f"The picture {name} is larger than {self._settings.max_reference_bytes:,} "
                "bytes, the most that this server takes; save it as PNG or JPEG at the video's size.",
                errors=[FieldError(self._pointer, "Too large.")],
            )
        if self._fingerprint is not None:
            self._fingerprint.add(data)
        with self._space.full_is_told():
            self._writer.write(data)

    def _take_field(self, data: bytes) -> None:
        assert self._part is not None
        most = MAX_FIELD_BYTES[self._part.name]
        if self._part_bytes > most:
            raise PayloadTooLarge(
                f"The part `{self._part.name}` is larger than {most:,} bytes; `options` is meant to be a JSON object "
                "and `video_upload` and `video_of` an id.",
                errors=[FieldError(self._pointer, "Too large.")],
            )
        self._field += data

    def _end(self) -> None:
        assert self._part is not None
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with self._space.full_is_told():
                writer.close()
            if self._part_bytes == 0:
                raise _invalid(self._pointer, f"The file in `{self._part.name}` is empty; send one that is not.")
        elif self._part.name == "options":
            self._options = parse_options(bytes(self._field), of=self._form.options)
            self._check_options(self._options)
        else:
            self._take_named_video(self._part.name)
        self._part = None

    def _take_named_video(self, part: str) -> None:
        """The video that is here already, by the id of an upload or of an earlier job."""
        video_id = self._field.decode(errors="replace").strip()
        if self._fingerprint is not None:
            self._fingerprint.begin("video", video_id)
        self._has_video = True
        if self._keep:
            with self._space.full_is_told():
                self._filename = self._stored.take_video(part, video_id)

    def _take_from_earlier_job(self, options: JobOptions, reuse: str) -> list[ReferenceOptions]:
        """What the job in `reuse` has and was not sent: the options that name it may come last. Returns what was said
        there of places."""
        sent = tuple(self._reference_names)
        earlier = self._stored.kept_references(options, sent)
        kept = earlier.references
        if len(sent) + len(kept) > self._settings.max_references:
            raise TooManyReferences(
                f"With those of {reuse} the job has {len(sent) + len(kept)} references, more than "
                f"{self._settings.max_references}, which is what a job takes here. Leave some out with "
                "`omit_references`.",
                errors=[FieldError("#/references", f"At most {self._settings.max_references}.")],
            )
        with self._lock:
            if not self._discarded:
                with self._space.full_is_told():
                    name = self._stored.reuse(reuse, kept, behind=len(sent), with_video=not self._has_video)
                self._filename = self._filename or name
        self._has_video = True
        self._reference_names += [reference.name for reference in kept]
        return earlier.places

    def _require_kind(self, part: PartStarted, *, wrong: tuple[str, ...], expected: str) -> None:
        kind = part.content_type or ""
        if kind.startswith(wrong):
            raise UnsupportedMediaType(
                f"The part `{part.name}` has the content type {kind}; expected {expected}.",
                errors=[FieldError(self._pointer, f"{kind} is not {expected}.")],
            )

    def _file_name(self, part: PartStarted) -> str:
        if part.filename is None:
            raise _invalid(
                self._pointer, f"The part `{part.name}` is a plain field; send it as a file, with a file name."
            )
        name = shown_name(part.filename)
        if name is None:
            raise _invalid(self._pointer, f"The file in `{part.name}` has no name; give it one.")
        return name


def too_large(settings: Settings) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The upload is larger than {settings.max_upload_bytes:,} bytes, the most that this server takes. "
        "Send a shorter or more strongly compressed video."
    )


def _invalid(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest(detail, errors=[FieldError(pointer, detail)])

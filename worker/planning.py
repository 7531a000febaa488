"""Finds out all that must be known of a film before its first frame is colored, and cuts the work into pieces."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import TypeAdapter

from jobs.errors import ReferenceUnplaced
from jobs.options import TuningOptions
from models.base import Colorizer
from models.tuning_run import frames_to_color
from worker.analysis import Analysis, analyze
from worker.canvas import Canvas
from worker.checkpoints import Checkpoints
from worker.film_plan import FORMAT, PLAN_NAME, FilmPlan, PlannedReference, key_of, read_plan, write_plan
from worker.found_places import found_places
from worker.journal import video_facts
from worker.media.decode import VideoReader, open_video
from worker.memory import peak_megabytes
from worker.nearby import nearby_frames
from worker.pieces import Coloring, Piece, Tuning, group
from worker.plan import ShotPlan, plan_shots, shot_at, warnings_of
from worker.progress import COLORING_COST, TUNING_COST, Progress
from worker.references import LocatedReference, ReferenceLocator, refuse_unusable
from worker.shot_tuning import SMALLEST_TUNED, ReferenceSet, tuning_settings
from worker.signatures import SignatureFile
from worker.stretches import longest_stretch, stretches_of
from worker.task import ColorizationTask

ANALYSIS_NAMES = ("found-", "signatures-", "shots-")
"""How the files begin that tell what a look at every frame found; the last is kept last."""
CHUNK_BYTES = 8 * 1024**2
_ANALYSES = TypeAdapter(Analysis)


def plan_film(
    task: ColorizationTask, *, model: Colorizer, progress: Progress, checkpoints: Checkpoints, scratch: Path
) -> FilmPlan:
    """Look at every frame once, find the shots, place the references, plan; the plan and what it needs are kept.

    Raises:
        JobFailure: the video or a reference cannot be used.
        JobCanceled, TimedOut: the observer said so.
    """
    progress.enter("probing")
    with open_video(task.video, limits=task.limits, on_packet=progress.found) as reader:
        progress.observer.learned(video=video_facts(reader.info))
        progress.expect_frames(reader.info.frames)
        _refuse_references(task, reader)
        plan = _Planning(task, reader, model, progress, checkpoints, scratch).plan()
    path = scratch / PLAN_NAME
    path.write_bytes(write_plan(plan))
    checkpoints.keep(PLAN_NAME, path)
    return plan


def kept_plan(checkpoints: Checkpoints) -> FilmPlan | None:
    """The plan, where one is kept that can be read."""
    if PLAN_NAME not in checkpoints.kept():
        return None
    with checkpoints.fetch(PLAN_NAME) as path:
        return read_plan(path.read_bytes())


def tuning_that_fits(task: ColorizationTask, canvas: Canvas) -> TuningOptions:
    """The tuning asked for, or none where the frames are too small for it."""
    wanted = task.options.resolved_tuning
    return TuningOptions(iterations=0) if min(canvas.height, canvas.width) < SMALLEST_TUNED else wanted


def fingerprint_of(model: Colorizer) -> str:
    """Of the revision and all weights; of a model that was not tuned yet it tells which one it is."""
    digest = hashlib.sha256(f"{model.description.revision}".encode())
    for weight in model.weights():
        digest.update(weight.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Planning:
    task: ColorizationTask
    reader: VideoReader
    model: Colorizer
    progress: Progress
    checkpoints: Checkpoints
    scratch: Path

    def plan(self) -> FilmPlan:
        task, reader, description = self.task, self.reader, self.model.description
        canvas = Canvas.fit(reader.info, description=description, working_size=task.options.working_size)
        film = self._hash_of_film()
        self.progress.enter("detecting_shots")
        found_name = f"found-{key_of(FORMAT, _version(), film)}.json"
        with (
            self._analyzed(film) as (analysis, signatures),
            found_places(found_name, self.checkpoints, scratch=self.scratch) as found,
        ):
            pictures = self.scratch / "pictures"
            pictures.mkdir()
            locator = ReferenceLocator(
                reader,
                shots=analysis.shots,
                signatures=signatures,
                found=found,
                folder=pictures,
                check=self.progress.check,
            )
            placement = locator.locate(
                task.references, options=task.options.references, keep_side=min(canvas.height, canvas.width)
            )
            shots = plan_shots(
                analysis.shots,
                placement.references,
                signatures=signatures,
                examples_help=not description.references_must_be_frames,
            )
        references = tuple(self._keep_picture(reference) for reference in placement.references)
        return FilmPlan(
            info=reader.info,
            timeline=reader.timeline,
            references=references,
            shots=shots,
            pieces=self._pieces(shots, references, canvas, film),
            warnings=(
                *reader.warnings,
                *analysis.warnings,
                *placement.warnings,
                *warnings_of(shots, placement.references),
                *self._about_restoring(),
                *self._about_tuning(canvas),
            ),
            weights=fingerprint_of(self.model),
            seconds=self.progress.phase_seconds,
            peak_memory_megabytes=peak_megabytes(),
        )

    def _hash_of_film(self) -> str:
        digest = hashlib.sha256()
        with self.task.video.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                self.progress.check()
                digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _analyzed(self, film: str) -> Iterator[tuple[Analysis, SignatureFile]]:
        """The shots, and the signatures of all frames: as kept, where the film was looked at before."""
        key = key_of(FORMAT, _version(), film, self.task.options.shots)
        shots_name, signatures_name = f"shots-{key}.json", f"signatures-{key}"
        if shots_name in self.checkpoints.kept():
            with self.checkpoints.fetch(shots_name) as told, self.checkpoints.fetch(signatures_name) as path:
                self.progress.analyzed(self.reader.info.frames)
                with SignatureFile(path, new=False) as signatures:
                    yield _ANALYSES.validate_json(told.read_bytes()), signatures
            return
        path = self.scratch / "signatures"
        with SignatureFile(path) as signatures:
            analysis = analyze(
                self.reader.frames(),
                info=self.reader.info,
                shots=self.task.options.shots,
                signatures=signatures,
                on_frame=self.progress.analyzed,
            )
            yield analysis, signatures
            signatures.persist()
        told = self.scratch / "shots"
        told.write_bytes(_ANALYSES.dump_json(analysis))
        self.checkpoints.keep(signatures_name, path)
        self.checkpoints.keep(shots_name, told)

    def _keep_picture(self, reference: LocatedReference) -> PlannedReference:
        name = f"reference-{hashlib.sha256(reference.path.read_bytes()).hexdigest()[:32]}.png"
        self.checkpoints.keep(name, reference.path)
        return PlannedReference(reference.record, name)

    def _pieces(
        self, shots: Sequence[ShotPlan], references: Sequence[PlannedReference], canvas: Canvas, film: str
    ) -> tuple[Piece, ...]:
        return _Cutting(self.task, self.reader, self.model, references, canvas, film).pieces(shots)

    def _about_restoring(self) -> list[str]:
        name = self.model.description.name
        if not self.task.options.restore or self.model.description.restores:
            return []
        return [f"The model {name} does not restore; the film's luma was kept as it is."]

    def _about_tuning(self, canvas: Canvas) -> list[str]:
        if self.task.options.resolved_tuning.iterations == tuning_that_fits(self.task, canvas).iterations:
            return []
        return [
            f"At {canvas.width}x{canvas.height} the frames are too small to tune on (at least {SMALLEST_TUNED} pixels "
            "a side are needed); the pretrained weights colored them."
        ]


class _Cutting:
    """Makes the pieces of a film, and their keys."""

    def __init__(
        self,
        task: ColorizationTask,
        reader: VideoReader,
        model: Colorizer,
        references: Sequence[PlannedReference],
        canvas: Canvas,
        film: str,
    ) -> None:
        self._task = task
        self._info = reader.info
        self._description = model.description
        self._references = references
        self._tuning = tuning_that_fits(task, canvas)
        self._common = (
            *(FORMAT, _version(), film, self._description.name, fingerprint_of(model)),
            *(canvas.height, canvas.width, self._info.matrix),
        )
        self._shots: Sequence[ShotPlan] = ()
        self._pieces: list[Piece] = []
        self._tunings: dict[ReferenceSet, Piece] = {}

    def pieces(self, shots: Sequence[ShotPlan]) -> tuple[Piece, ...]:
        self._shots = shots
        longest = longest_stretch(self._info.width * self._info.height, model=self._description.name)
        for plan in shots:
            stretches = stretches_of(
                plan.shot,
                [frame for frame, _ in plan.anchors],
                propagates=self._description.propagates,
                longest=longest,
            )
            tuning = self._tuned(plan)
            for coloring in group(stretches, shot=plan.index, longest=longest):
                self._pieces.append(self._coloring(plan, coloring, tuning, number=len(self._pieces)))
        return tuple(self._pieces)

    def _tuned(self, plan: ShotPlan) -> Piece | None:
        """The piece that learns what a shot is colored by; made before the first shot that needs it."""
        if not plan.tuned_on or self._tuning.iterations == 0:
            return None
        if plan.tuned_on not in self._tunings:
            settings = asdict(tuning_settings(self._tuning, self._description))
            references = [self._references[number] for number in plan.tuned_on]
            nearby = [self._nearby(reference) for reference in references]
            # All that tuning looks at.
            learned = [(one.picture, one.frame, near) for one, near in zip(references, nearby, strict=True)]
            iterations = self._tuning.iterations
            colored = frames_to_color(self._description, iterations=iterations, nearby=list(map(len, nearby)))
            piece = Piece(
                number=len(self._pieces),
                work=Tuning(plan.tuned_on),
                after=(),
                key=key_of(self._common, "tuning", settings, learned),
                cost=iterations * TUNING_COST + colored * COLORING_COST,
            )
            self._tunings[plan.tuned_on] = piece
            self._pieces.append(piece)
        return self._tunings[plan.tuned_on]

    def _nearby(self, reference: PlannedReference) -> tuple[int, ...]:
        if reference.frame is None:
            return ()
        shot = shot_at(reference.frame, self._shots)
        return nearby_frames(reference.frame, first=shot.first, last=shot.last)

    def _coloring(self, plan: ShotPlan, coloring: Coloring, tuning: Piece | None, *, number: int) -> Piece:
        after = [] if tuning is None else [tuning.number]
        if coloring.stretches[0].forward == "before":
            after.append(number - 1)
        if coloring.stretches[-1].backward == "behind":
            after.append(number + 1)
        options = self._task.options
        key = key_of(
            *(self._common, "coloring", None if tuning is None else tuning.key),
            *(options.restore, options.output.model_dump()),
            *("comparison" in options.variants, "frames" in options.variants),
            [(self._references[one].picture, frame) for frame, one in plan.anchors],
            [self._references[one].picture for one in plan.examples],
            *(plan.trust, asdict(plan.shot), asdict(coloring)),
        )
        return Piece(number, coloring, tuple(after), key, cost=coloring.feeds * COLORING_COST)


def _version() -> str:
    try:
        return version("retint-service")
    except PackageNotFoundError:
        return ""


def _refuse_references(task: ColorizationTask, reader: VideoReader) -> None:
    """Raise what is wrong with the references, as far as it shows without looking at the video.

    Raises:
        ReferenceUndecodable, ReferenceNotColor, ReferenceUnplaced: see `worker.references.refuse_unusable`.
    """
    if not task.references:
        raise ReferenceUnplaced("The job has no reference; give at least one colored frame of the video.")
    refuse_unusable(task.references, options=task.options.references, reader=reader)

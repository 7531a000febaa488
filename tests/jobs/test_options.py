"""What is written of options, held against the options."""

import re
from pathlib import Path

from jobs.options import JobOptions

ROOT = Path(__file__).resolve().parents[2]


def test_the_variants_that_are_written_down_are_all_made_by_default_and_the_frames() -> None:
    text = (ROOT / "docs" / "films.md").read_text(encoding="utf-8")
    [written] = re.findall(r'^\{"variants": .*\}$', text, re.MULTILINE)
    assert JobOptions.model_validate_json(written).variants == [*JobOptions().variants, "frames"]

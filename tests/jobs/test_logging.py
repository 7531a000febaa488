import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from jobs.logging import configure_logging


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_lines_of_all_libraries_are_json_objects(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    structlog.stdlib.get_logger("retint").info("job_started", job_id="job_1")
    logging.getLogger("uvicorn.error").warning("port %d is taken", 8000)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["job_started", "port 8000 is taken"]
    assert lines[0]["job_id"] == "job_1"
    assert lines[1]["level"] == "warning"


def test_an_exception_is_told_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.stdlib.get_logger("retint").exception("job_failed")
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["exception"][0]["exc_value"] == "broken"


def test_a_terminal_gets_readable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("console")
    structlog.stdlib.get_logger("retint").info("job_started", job_id="job_1")
    [line] = capsys.readouterr().err.splitlines()
    assert "job_started" in line
    assert "job_id=job_1" in line


def test_what_others_sent_moves_no_cursor_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("console")
    structlog.stdlib.get_logger("retint").info("request", path="/\0a\n\x1b[2Jé")
    logging.getLogger("uvicorn.error").warning("two\nlines")
    first, second = capsys.readouterr().err.splitlines()
    assert r"path=/\x00a\n\x1b[2Jé" in first
    assert r"two\nlines" in second

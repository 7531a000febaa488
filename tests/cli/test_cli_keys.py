"""`retint keys`: with a service that runs, and without one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.errors import CommandError
from cli.main import app
from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.errors import UnknownKey
from jobs.keys import KeyRing

runner = CliRunner()


def run(*arguments: str, data: Path) -> Result:
    environment = {"RETINT_DATA_FOLDER": str(data), "RETINT_REDIS_URL": None}
    return runner.invoke(app, ["keys", *arguments], env=environment, catch_exceptions=False)


def test_a_key_is_printed_alone_and_kept_without_a_service(tmp_path: Path) -> None:
    token = run("create", "ann", data=tmp_path).stdout.strip()
    assert token.startswith("retint_")
    [listed] = json.loads(run("list", "--json", data=tmp_path).stdout)
    assert listed["name"] == "ann"
    assert token not in json.dumps(listed)
    assert "ann" in run("list", data=tmp_path).stdout
    assert run("revoke", "ann", data=tmp_path).exit_code == 0
    assert json.loads(run("list", "--json", data=tmp_path).stdout) == []
    with pytest.raises(UnknownKey):
        run("revoke", "ann", data=tmp_path)


@pytest.mark.parametrize("command", [["list"], ["revoke", "ann"]])
def test_where_no_service_ever_ran_that_is_said_and_nothing_is_made(tmp_path: Path, command: list[str]) -> None:
    with pytest.raises(CommandError, match=r"There is no service's data in .*/data\. Give the command where"):
        run(*command, data=tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["data", "long" * 30])
def test_a_service_that_runs_knows_the_key_at_once(tmp_path: Path, folder: str) -> None:
    data = tmp_path / folder
    with embedded_redis(data / "redis") as url:
        token = run("create", "ann", data=data).stdout.strip()
        with connect(url) as redis:
            keys = KeyRing(redis, "retint")
            assert keys.identify(token) is not None
            run("revoke", "ann", data=data)
            assert keys.identify(token) is None

"""The registry of data files, and fetching without a network."""

import argparse
import hashlib
import re
from pathlib import Path

import pytest

from coupler.input import fetch
from coupler.input.fetch import FILES, Remote, locate
from coupler.interface.errors import DataError

ERA5 = "neuralgcm/era5_tl31_19590102T00.nc"
CONTENT = b"some bytes"


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """An empty data folder, and one file of known content in the registry."""
    folder = tmp_path / "data"
    monkeypatch.setenv(fetch.ENVIRONMENT, str(folder))
    small = Remote(
        name="small/one.nc",
        repository="owner/name",
        commits=("a" * 40, "b" * 40),
        path="x/one.nc",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="CC0",
        what="ten bytes",
    )
    monkeypatch.setitem(FILES, small.name, small)
    return folder


def command(words: list[str]) -> int:
    """What ``isthmus data WORDS`` does."""
    parser = argparse.ArgumentParser()
    fetch.add_arguments(parser)
    return fetch.run(parser.parse_args(words))


@pytest.mark.parametrize("remote", FILES.values(), ids=list(FILES))
def test_every_file_has_a_pinned_address_and_a_checksum(remote):
    for url in remote.urls:
        assert re.fullmatch(
            r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{7,40}/[\w./-]+\.(nc|dat)",
            url,
        )
    assert re.fullmatch("[0-9a-f]{7,40}", remote.commits[0])  # a branch or tag could move
    assert re.fullmatch("[0-9a-f]{64}", remote.sha256)
    assert Path(remote.name).name == Path(remote.path).name
    assert remote.licence
    assert remote.what


@pytest.mark.parametrize("remote", FILES.values(), ids=list(FILES))
def test_the_checksums_are_those_of_the_files(remote, data):
    assert fetch.is_good(remote, locate(remote.name))
    assert fetch.fetch(remote.name) == data / remote.name  # there and good: nothing is fetched


def test_a_file_that_is_not_there_is_refused_with_what_to_do(empty):
    with pytest.raises(
        DataError,
        match=rf"no such data file: {ERA5}; expected a file at .*data/{ERA5}; "
        rf"run `isthmus data fetch {ERA5}`, or set ISTHMUS_DATA",
    ):
        locate(ERA5)
    with pytest.raises(DataError, match=r"no such data file: .*; did you mean .*era5_tl31"):
        locate("neuralgcm/era5_tl31.nc")


def test_files_beside_the_case_and_absolute_paths_are_found_too(empty, tmp_path):
    own = tmp_path / "own.nc"
    own.write_bytes(CONTENT)
    assert locate("own.nc", beside=tmp_path) == own
    assert locate(str(own)) == own
    with pytest.raises(DataError, match=r"no such data file: own\.nc"):
        locate("own.nc")


def test_a_file_is_fetched_from_the_first_address_that_gives_it(empty):
    asked = []

    def retrieve(url: str, sha256: str, target: Path) -> None:
        asked.append(url)
        if "a" * 40 in url:
            raise OSError("404")
        target.write_bytes(CONTENT)

    path = fetch.fetch("small/one.nc", retrieve)
    assert path == empty / "small" / "one.nc" == locate("small/one.nc")
    assert [u.split("/")[5][0] for u in asked] == ["a", "b"]
    fetch.fetch("small/one.nc", retrieve)
    assert len(asked) == 2  # good: not fetched again
    path.write_bytes(b"other")
    fetch.fetch("small/one.nc", retrieve)
    assert path.read_bytes() == CONTENT  # damaged: fetched again


def test_pooch_accepts_a_file_with_the_checksum_and_refuses_another(empty, tmp_path):
    served = tmp_path / "served.nc"
    served.write_bytes(CONTENT)
    target = empty / "small" / "one.nc"
    target.parent.mkdir(parents=True)

    class FromDisk:
        def __init__(self, **_: object) -> None: ...

        def __call__(self, url: str, output: str, _: object) -> None:
            Path(output).write_bytes(served.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pooch.core.choose_downloader", lambda url, progressbar: FromDisk())
        fetch.fetch("small/one.nc")
        assert target.read_bytes() == CONTENT
        target.unlink()
        served.write_bytes(b"something else")
        with pytest.raises(DataError, match=r"could not be fetched: small/one\.nc; .*copy it to"):
            fetch.fetch("small/one.nc")
    assert not target.exists()


def test_when_no_address_gives_the_file_all_are_named(empty):
    def retrieve(url: str, sha256: str, target: Path) -> None:
        raise OSError("no route")

    with pytest.raises(DataError) as error:
        fetch.fetch("small/one.nc", retrieve)
    assert str(error.value).count("no route") == 2
    with pytest.raises(DataError, match=r"unknown data file: small/two\.nc; did you mean 'small"):
        fetch.fetch("small/two.nc", retrieve)


def test_the_command_lists_states_and_says_where_files_are(empty, capsys, monkeypatch):
    assert command(["path"]) == 0
    assert capsys.readouterr().out.strip() == str(empty)
    assert command(["list"]) == 0
    assert f"missing  {ERA5}" in capsys.readouterr().out
    (empty / "small").mkdir(parents=True)
    (empty / "small" / "one.nc").write_bytes(b"other")
    command(["list"])
    assert "damaged  small/one.nc" in capsys.readouterr().out
    (empty / "small" / "one.nc").write_bytes(CONTENT)
    command(["list"])
    assert "good     small/one.nc" in capsys.readouterr().out
    assert command(["fetch", "small/one.nc"]) == 0
    assert capsys.readouterr().out.strip().endswith("one.nc")
    assert command(["fetch", "small/none.nc"]) == 2
    assert "unknown data file: small/none.nc" in capsys.readouterr().err


def test_without_the_variable_files_are_in_the_users_cache(monkeypatch):
    monkeypatch.delenv(fetch.ENVIRONMENT, raising=False)
    assert fetch.folder().name == "isthmus"

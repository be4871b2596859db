"""The data files of the cases: where they come from, fetching them, finding them.

Files are fetched by pinned address (a commit of a public repository) and SHA-256 into the folder
named by the environment variable ``ISTHMUS_DATA``, or else the user's cache. Nothing is fetched
unless `isthmus data fetch` is called.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from coupler.interface.errors import CouplerError, DataError, nearest

ENVIRONMENT = "ISTHMUS_DATA"

_NEURALGCM = "84083549ecc89326a8a085686b034bd269c05da9"
_CLIMT = "5fa71217e6c9e296030b20630a96539b3db26391"
_ISCA_T42 = "37c0a469dba8c88bee85f0894c64d479ebe458a7"
_ISCA_T85 = "7a9b6262a5d11d947a1ca2308c9764be854de7da"
_ISCA = "a290bc37"
_SPEEDY = "99020f3"
_QBO = "d7b5f54"


@dataclass(frozen=True, kw_only=True)
class Remote:
    """One file and where it comes from."""

    name: str
    """Path below the data folder."""
    repository: str
    """Owner and name of the public repository."""
    commits: tuple[str, ...]
    """Commits that hold the file, tried in this order; the checksum decides."""
    path: str
    """Path in the repository."""
    sha256: str
    licence: str
    what: str

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses, in the order in which they are tried."""
        base = "https://raw.githubusercontent.com"
        return tuple(f"{base}/{self.repository}/{c}/{self.path}" for c in self.commits)


_FILES = (
    Remote(
        name="neuralgcm/era5_tl31_19590102T00.nc",
        repository="neuralgcm/neuralgcm",
        commits=(_NEURALGCM,),
        path="neuralgcm/data/era5_tl31_19590102T00.nc",
        sha256="18f66e795af9f564a2b6e0d861b9a51e74ce831a82675b47ff957be709554a5e",
        licence="Apache-2.0; contains modified Copernicus Climate Change Service information",
        what="ERA5 state of 1959-01-02 00 UTC on 37 pressure levels, 32x64 (Hersbach et al. 2020)",
    ),
    Remote(
        name="isca/era-spectral_T42_64x128.nc",
        repository="ExeClim/Isca",
        commits=(_ISCA_T42, _ISCA),
        path="input/era5_smoothed_topography_land_masks/era-spectral_T42_64x128.nc",
        sha256="e6c8da8828c88479bfbf0a0040ece050b0ad940d053a13cf7553e037ce52f825",
        licence="GPL-3.0; contains modified Copernicus Climate Change Service information",
        what="ERA5 orography, spectrally smoothed, and land mask, 64x128 (Vallis et al. 2018)",
    ),
    Remote(
        name="isca/era-spectral_T85_128x256.nc",
        repository="ExeClim/Isca",
        commits=(_ISCA_T85, _ISCA),
        path="input/era5_smoothed_topography_land_masks/era-spectral_T85_128x256.nc",
        sha256="b9183bf30f1c5ccf059f8763327c9b69c94c69d579a7c74b1cce810e91f9972f",
        licence="GPL-3.0; contains modified Copernicus Climate Change Service information",
        what="ERA5 orography, spectrally smoothed, and land mask, 128x256 (Vallis et al. 2018)",
    ),
    Remote(
        name="climt/earth_sst_climatology_1deg.nc",
        repository="CliMT/climt",
        commits=(_CLIMT,),
        path="climt/_data/data_ocean/earth_sst_climatology_1deg.nc",
        sha256="804843c02899f4cdb9587de7066ef535bad920b497b8aa64dbc8861fa8b15fb8",
        licence="BSD-3-Clause; data provided by NOAA PSL, https://psl.noaa.gov",
        what="NOAA OI SST V2, monthly means 1991-2020, 1 degree, filled over land",
    ),
    Remote(
        name="climt/earth_landmask_2deg.nc",
        repository="CliMT/climt",
        commits=(_CLIMT,),
        path="climt/_data/land_mask/earth_landmask_2deg.nc",
        sha256="5714e1f7062910f5ebbb4a5830b2c18b4191770ef89b9f24d41e12953cd1d330",
        licence="BSD-3-Clause; from Natural Earth (public domain)",
        what="sea, land and land ice, 2 degrees",
    ),
    Remote(
        name="speedyweather/orography.nc",
        repository="SpeedyWeather/SpeedyWeatherAssets",
        commits=(_SPEEDY,),
        path="data/boundary_conditions/orography.nc",
        sha256="f362a5042a5947d5ded79b9684f9e89682627a7f6f8ac2737c514425d27f930b",
        licence="EUPL-1.2; from the European Centre for Medium-Range Weather Forecasts",
        what="orography at 0.18 degrees, 1024x2048 (Kloewer et al. 2024)",
    ),
    Remote(
        name="qbo/qbo.dat",
        repository="FObersteiner/QBOSingapore",
        commits=(_QBO,),
        path="srv/qbo.dat",
        sha256="9a62671853fc0847a796bf0ec79dff2ade2d7f30ed63375fdc275357ccaeff2c",
        licence="MIT; data CC-BY 4.0, Freie Universitaet Berlin and KIT (Naujokat 1986)",
        what="monthly winds over the equator, 70 to 10 hPa, 1953-2024",
    ),
)
FILES: dict[str, Remote] = {f.name: f for f in _FILES}
"""Every file that can be fetched, by name."""


def folder() -> Path:
    """Where data files are: ``$ISTHMUS_DATA``, or else the user's cache."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given).expanduser()
    import pooch

    return Path(pooch.os_cache("isthmus"))


def places(name: str, *, beside: Path | None = None) -> list[Path]:
    """Where a data file of that name may be, see `locate`; the first that is there counts."""
    given = Path(name).expanduser()
    if given.is_absolute():
        return [given]
    return [folder() / given] if beside is None else [beside / given, folder() / given]


def locate(name: str, *, beside: Path | None = None) -> Path:
    """The path of a data file, without fetching it.

    Args:
        name: a path, or a name of the registry such as ``isca/era-spectral_T42_64x128.nc``.
        beside: folder that a relative path is first looked for in (that of the case).

    Raises:
        DataError: when it is in none of the places, with what to do about it.
    """
    looked = places(name, beside=beside)
    for place in looked:
        if place.is_file():
            return place
    if name in FILES:
        remedy = f"run `isthmus data fetch {name}`, or set {ENVIRONMENT} to a folder that has it"
    else:
        beside_it = [p.name for p in looked[0].parent.glob("*.nc")]
        near = get_close_matches(looked[0].name, beside_it, n=3, cutoff=0.6)
        near += get_close_matches(name, FILES, n=3, cutoff=0.6)
        remedy = "check the path; `isthmus data list` names files that can be fetched"
        if near:
            remedy = "did you mean " + " or ".join(map(repr, near)) + "?"
    raise DataError.of(
        "no such data file",
        name,
        expected="a file at " + " or ".join(str(p) for p in looked),
        remedy=remedy,
    )


def is_good(remote: Remote, path: Path) -> bool:
    """Whether the file at `path` has the pinned checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == remote.sha256


def _retrieve(url: str, sha256: str, target: Path) -> None:
    import pooch

    pooch.retrieve(
        url, known_hash=f"sha256:{sha256}", fname=target.name, path=target.parent, progressbar=False
    )


def fetch(name: str, retrieve: Callable[[str, str, Path], None] = _retrieve) -> Path:
    """Fetches a file of the registry unless it is there and good.

    Args:
        name: its name in the registry.
        retrieve: gets an address with a checksum to a path; replaceable for tests.

    Raises:
        DataError: for an unknown name, or when no address gave the file.
    """
    if name not in FILES:
        raise DataError.of("unknown data file", name, remedy=nearest(name, FILES))
    remote, target = FILES[name], folder() / name
    if target.is_file() and is_good(remote, target):
        return target
    failures = []
    for url in remote.urls:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            retrieve(url, remote.sha256, target)
        except (
            OSError,
            ValueError,
        ) as error:  # no connection or page, another checksum, no permission
            failures.append(f"{url} ({error})")
        else:
            return target
    raise DataError.of(
        "data file could not be fetched",
        name,
        found="; ".join(failures),
        remedy=f"copy it to {target} by other means, with SHA-256 {remote.sha256}",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``isthmus data``."""
    actions = parser.add_subparsers(dest="action", required=True)
    get = actions.add_parser("fetch", help="fetch data files of the cases (all, or those named)")
    get.add_argument("names", nargs="*", metavar="NAME")
    actions.add_parser("list", help="data files, whether they are there, their licences")
    actions.add_parser("path", help="the folder of the data files")


def run(args: argparse.Namespace) -> int:
    """Does ``isthmus data``; returns the exit status."""
    if args.action == "path":
        print(folder())
        return 0
    if args.action == "list":
        print(f"folder: {folder()} (set {ENVIRONMENT} for another)\n")
        for remote in FILES.values():
            print(f"{_state(remote):8} {remote.name}\n{'':9}{remote.what}\n{'':9}{remote.licence}")
        return 0
    status = 0
    for name in args.names or list(FILES):
        try:
            print(fetch(name))
        except CouplerError as error:
            print(error, file=sys.stderr)
            status = 2
    return status


def _state(remote: Remote) -> str:
    path = folder() / remote.name
    if not path.is_file():
        return "missing"
    return "good" if is_good(remote, path) else "damaged"

"""Download of a source's file: announced, resumable, hash checked, put in place in one step."""

import os
import sys
import time
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from medssl.data._store import SourceFile, cache_folder, check_hash, locate
from medssl.errors import DataError, RunError

__all__ = ["fetch_file"]

ATTEMPTS = 3
PAUSE = 2.0  # seconds before another attempt
TIMEOUT = 30.0  # seconds without an answer
_CHUNK = 1 << 12  # bytes; what a cut connection loses at most


def fetch_file(source: SourceFile, echo=None) -> Path:
    """Return the path of `source`, downloading it into the cache when it is nowhere else.

    Parameters
    ----------
    source : SourceFile
        What to fetch.
    echo : callable or None
        Receives one line with the size and the licence before the download; None writes to stderr.

    Returns
    -------
    Path
        The checked file.

    Raises
    ------
    DataError
        The source has no plain address (the text holds the manual steps), or the hash is wrong.
    RunError
        The network or the disk failed; a partial file is kept and the next fetch goes on from it.
    """
    target = cache_folder() / source.path
    found = locate(source)
    if found is not None and found != target:
        check_hash(source, found)
        return found
    if found is not None and _intact(source, found):
        return found
    if not source.url:
        raise DataError(f"{source.name}: there is no plain address to download it from. {source.manual}")
    (echo or _to_stderr)(
        f"{source.name}: {source.bytes / 1e6:.1f} MB from {source.url}, licence {source.licence}, to {target}"
    )
    return _retrieve(source, target)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def _intact(source: SourceFile, path: Path) -> bool:
    try:
        check_hash(source, path)
    except DataError:
        return False  # a damaged file in our own cache is replaced
    return True


def _retrieve(source: SourceFile, target: Path) -> Path:
    pooch.get_logger().setLevel("ERROR")  # the size and licence were already said
    part = target.with_name(f"{target.name}.part")
    try:
        pooch.retrieve(
            source.url, f"md5:{source.md5}", target.name, str(target.parent), downloader=_Resuming(part)
        )
    except requests.RequestException as error:
        raise RunError(
            f"{source.name}: the download failed ({_reason(error)}). What arrived is kept: "
            f"`medssl data fetch {source.name}` goes on from there. By hand: {source.manual}"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{source.name}: what {source.url} sent has another md5 than {source.md5}, so nothing was kept. "
            f"Try again later. By hand: {source.manual}"
        ) from error
    except OSError as error:
        raise RunError(
            f"{target.parent}: cannot write here ({error.strerror or error}). "
            f"Free {source.bytes / 1e6:.0f} MB, or set MEDSSL_CACHE to a folder that you may write to."
        ) from error
    check_hash(source, target)
    return target


def _reason(error: requests.RequestException) -> str:
    response = error.response
    return f"{response.status_code} {response.reason}" if response is not None else type(error).__name__


class _Resuming:
    """A pooch downloader that appends to a .part file and moves it when it is whole."""

    def __init__(self, part: Path):
        self.part = part

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _append(url, self.part)
                break
            except requests.RequestException as error:
                if attempt == ATTEMPTS or _hopeless(error):
                    raise
                time.sleep(PAUSE * attempt)
        os.replace(self.part, output_file)


def _hopeless(error: requests.RequestException) -> bool:
    return error.response is not None and 400 <= error.response.status_code < 500


def _append(url: str, part: Path) -> None:
    size = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={size}-"} if size else {})}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:  # nothing is left to send: the part is whole, or the hash will tell
            return
        answer.raise_for_status()
        resumed = answer.status_code == 206
        left = int(answer.headers.get("Content-Length", 0)) or None
        bar = tqdm(total=left, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with bar, open(part, "ab" if resumed else "wb") as stream:
            for chunk in answer.iter_content(_CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))

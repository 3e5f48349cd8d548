"""Files are found in a stated order, checked before they are trusted, and fetched without leaving halves."""

import errno
import http.server
import shutil
import threading

import numpy as np
import pytest

from medssl.data import _download, _store, fetch, load, locate
from medssl.errors import DataError, RunError, UsageError

NAME = "breastmnist"
FILE = "medmnist/breastmnist.npz"


@pytest.fixture
def rewrite(tmp_path, make_copy, monkeypatch):
    """Write the breast file with some arrays replaced (None removes one); its hash is right."""
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path / "data"))
    return lambda **changes: make_copy(tmp_path / "data", NAME, changes)


@pytest.mark.parametrize("place", [FILE, "breastmnist.npz", "anything/breastmnist.npz"])
def test_medssl_data_and_its_sub_folders_are_searched(rewrite, place, tmp_path, monkeypatch):
    """A file lies at its own place, at the top or in any sub-folder of MEDSSL_DATA."""
    target = tmp_path / "elsewhere" / place
    target.parent.mkdir(parents=True)
    shutil.move(rewrite(), target)
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path / "elsewhere"))
    assert locate(NAME) == target
    assert len(load(NAME)) == 24


def test_medssl_data_comes_before_the_cache(rewrite, tmp_path, monkeypatch):
    """The cache is used only when MEDSSL_DATA does not hold the file."""
    given = rewrite()
    cached = tmp_path / "cache" / FILE
    cached.parent.mkdir(parents=True)
    shutil.copy(given, cached)
    assert locate(NAME) == given
    given.unlink()
    assert locate(NAME) == cached
    monkeypatch.delenv("MEDSSL_DATA")
    assert locate(NAME) == cached


def test_a_missing_file_names_three_ways(rewrite, monkeypatch):
    """A missing file tells of MEDSSL_DATA, of the place in the cache and of the fetch command."""
    rewrite().unlink()
    with pytest.raises(
        DataError, match=r"\(1\) set MEDSSL_DATA.*\(2\) put the file at .*cache.*\(3\) run `medssl"
    ):
        load(NAME)


def test_a_medssl_data_that_does_not_exist_is_named(make_copy, monkeypatch, tmp_path):
    """A wrong MEDSSL_DATA is an error, not a silent fall back to the cache."""
    make_copy(tmp_path / "data", NAME)
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere: no such folder"):
        load(NAME)


def test_a_wrong_hash_is_refused_and_verify_false_accepts_it(rewrite):
    """A file with another content is refused by name, and accepted only on request."""
    file = rewrite()
    arrays = dict(np.load(file))
    np.savez_compressed(file, **arrays)
    with pytest.raises(DataError, match=r"breastmnist\.npz: not the file that the card .* md5 .* expected"):
        load(NAME)
    assert len(load(NAME, verify=False)) == 24


def test_a_truncated_file_is_refused(rewrite):
    """Half a file is refused by its hash, and by its content when the hash is not asked for."""
    file = rewrite()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match="md5"):
        load(NAME)
    with pytest.raises(DataError, match="not a whole npz file"):
        load(NAME, verify=False)


def test_damage_inside_an_array_is_refused(rewrite):
    """A flipped byte within the compressed data raises a clear error, not one of zlib's."""
    file = rewrite()
    content = bytearray(file.read_bytes())
    content[2000] ^= 255
    file.write_bytes(content)
    with pytest.raises(DataError, match="not a whole npz file"):
        load(NAME, verify=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((24, 30, 28), np.uint8)}, r"shape \(24, 30, 28\)"),
        ({"train_images": np.zeros((24, 28, 28), np.float32)}, "float32, expected uint8"),
        ({"train_labels": np.zeros((24, 1))}, "float64, expected whole numbers"),
        ({"train_labels": np.zeros((24, 2), np.uint8)}, r"train_labels has shape \(24, 2\)"),
        ({"train_labels": np.zeros((23, 1), np.uint8)}, r"lengths \[24, 23\]"),
        ({"train_labels": np.full((24, 1), 7, np.uint8)}, r"labels lie outside 0\.\.1"),
        ({"train_labels": None}, "no array train_labels; found"),
        ({"train_images": np.array([{}] * 24, dtype=object)}, "pickled arrays are refused"),
    ],
)
def test_a_wrong_layout_is_refused(rewrite, changes, message):
    """Wrong shape, type, length, label, key or a pickle: each is one error that names what is wrong."""
    rewrite(**changes)
    with pytest.raises(DataError, match=message):
        load(NAME)


def test_the_hash_is_computed_once_for_an_unchanged_file(rewrite, monkeypatch):
    """A file that passed is not hashed again until its size or time changes."""
    file = rewrite()
    load(NAME)
    calls = []
    honest = _store._md5
    monkeypatch.setattr(_store, "_md5", lambda path: calls.append(path) or honest(path))
    load(NAME, "test")
    assert not calls
    file.touch()
    load(NAME, "test")
    assert calls == [file]


def test_a_cache_that_cannot_be_written_does_not_stop_a_load(rewrite, tmp_path, monkeypatch):
    """Without a place to remember the hash the file is simply hashed each time."""
    rewrite()
    (tmp_path / "occupied").write_text("a file where the cache folder should be")
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "occupied"))
    assert len(load(NAME)) == 24
    assert len(load(NAME)) == 24


class _Server(http.server.ThreadingHTTPServer):
    content = b""
    cut_after = None  # bytes of the first answer, after which the connection is closed
    ranges = True
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = []


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if server.status != 200:
            return self.send_error(server.status)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(server.content):
            return self.send_error(416)
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, server.cut_after = server.cut_after, None
        self.wfile.write(body if cut is None else body[:cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, make_copy, monkeypatch):
    """A web server on this machine that holds the breast file; the card points to it."""
    running = _Server()
    address = f"http://127.0.0.1:{running.server_port}/breastmnist.npz"
    running.content = make_copy(tmp_path / "upstream", NAME, url=address).read_bytes()
    monkeypatch.setattr(_download, "PAUSE", 0.0)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def left_over(tmp_path):
    """Return the files below the cache, without the list of verified files."""
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(tmp_path / "cache")) for path in files if path.name != "verified.json")


def test_fetch_says_size_and_licence_first_and_puts_the_file_in_place(server, tmp_path):
    """The announcement comes before the request; the file is whole and alone in the cache."""
    lines = []
    path = fetch(NAME, lambda line: lines.append((line, len(server.asked))))
    assert path.read_bytes() == server.content
    assert left_over(tmp_path) == [FILE]
    ((line, requests_before),) = lines
    assert "CC BY 4.0" in line
    assert "MB" in line
    assert requests_before == 0
    assert fetch(NAME) == path
    assert len(server.asked) == 1


def test_a_cut_connection_is_resumed_within_one_fetch(server, tmp_path):
    """After a cut the rest alone is asked for, and the hash of the whole is right."""
    server.cut_after = 5000
    assert fetch(NAME).read_bytes() == server.content
    assert server.asked == [None, "bytes=4096-"]
    assert left_over(tmp_path) == [FILE]


def test_a_second_fetch_goes_on_where_the_first_stopped(server, tmp_path, monkeypatch):
    """A failed fetch keeps what arrived, says so, and the next one continues."""
    monkeypatch.setattr(_download, "ATTEMPTS", 1)
    server.cut_after = 9000
    with pytest.raises(RunError, match=r"What arrived is kept.*By hand: Open https://zenodo"):
        fetch(NAME)
    assert left_over(tmp_path) == [f"{FILE}.part"]
    assert fetch(NAME).read_bytes() == server.content
    assert server.asked == [None, "bytes=8192-"]
    assert left_over(tmp_path) == [FILE]


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    """A server that ignores the range sends everything, which replaces the partial file."""
    server.ranges, server.cut_after = False, 4000
    assert fetch(NAME).read_bytes() == server.content


def test_a_whole_partial_file_is_accepted(server, tmp_path):
    """A fetch that was killed between the last byte and the move needs no second download."""
    part = tmp_path / "cache" / f"{FILE}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(server.content)
    assert fetch(NAME).read_bytes() == server.content


def test_a_wrong_hash_leaves_nothing(server, tmp_path):
    """Content that the card does not name is refused and removed."""
    server.content = b"something else" * 100
    with pytest.raises(DataError, match="another md5"):
        fetch(NAME)
    assert left_over(tmp_path) == []


def test_a_damaged_file_in_the_cache_is_replaced(server, tmp_path):
    """Fetch mends its own cache."""
    cached = tmp_path / "cache" / FILE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    assert fetch(NAME).read_bytes() == server.content


def test_a_damaged_file_of_the_user_is_not_touched(server, tmp_path, monkeypatch):
    """Fetch never replaces a file below MEDSSL_DATA."""
    own = tmp_path / "own" / FILE
    own.parent.mkdir(parents=True)
    own.write_bytes(b"damaged")
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path / "own"))
    with pytest.raises(DataError, match="not the file that the card"):
        fetch(NAME)
    assert own.read_bytes() == b"damaged"


@pytest.mark.parametrize(("status", "requests_made"), [(404, 1), (503, 3)])
def test_an_unwilling_server_gives_the_manual_steps(server, status, requests_made):
    """A busy server is asked again, a missing page is not; both end with what to do by hand."""
    server.status = status
    with pytest.raises(RunError, match=rf"{status}.*By hand: Open https://zenodo"):
        fetch(NAME)
    assert len(server.asked) == requests_made


def test_offline_gives_the_manual_steps(tmp_path, make_copy, monkeypatch):
    """Without a network the message says what to download by hand, which hash to expect, where to put it."""
    monkeypatch.setattr(_download, "PAUSE", 0.0)
    make_copy(tmp_path / "upstream", NAME, url="http://127.0.0.1:9/breastmnist.npz")
    with pytest.raises(
        RunError, match=r"download failed.*zenodo.*md5.*medmnist/breastmnist\.npz.*MEDSSL_DATA"
    ):
        fetch(NAME)


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    """An unwritable cache is one clear error with two remedies."""
    (tmp_path / "occupied").write_text("a file where the cache folder should be")
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "occupied"))
    with pytest.raises(RunError, match=r"occupied.*cannot write here.*MEDSSL_CACHE"):
        fetch(NAME)


def test_a_full_disk_is_named(server, tmp_path, monkeypatch):
    """Without space the message says how much to free, and no whole-looking file is there."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_download, "_append", full)
    with pytest.raises(RunError, match=r"No space left on device.*Free .* MB"):
        fetch(NAME)
    assert left_over(tmp_path) == []


def test_no_network_is_used_unless_it_is_asked_for(server):
    """A plain load of a missing file makes no request; download=True makes one."""
    with pytest.raises(DataError, match="was not found"):
        load(NAME)
    assert server.asked == []
    assert len(load(NAME, download=True)) == 24
    assert server.asked == [None]


@pytest.mark.parametrize("name", ["brain_tumour_64", "brain_tumour_128", "hippocampus"])
def test_a_source_without_an_address_gives_its_manual_steps(name):
    """Where from, which licence, which arrays, which hash and where to put them: all in the message."""
    source = _store.source_file(name)
    with pytest.raises(DataError, match=r"no plain address") as caught:
        fetch(name)
    text = str(caught.value)
    for part in ("http", "licence CC BY", "train_images", source.md5, source.path, "verify=False"):
        assert part in text


def test_a_generated_source_has_nothing_to_fetch():
    """Fetching a phantom is wrong usage."""
    with pytest.raises(UsageError, match="generated on the spot"):
        fetch("phantom_ct")

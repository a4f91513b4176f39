"""The cache of compiled kernels: whose it is, where it lies if nothing can be written, who compiles and who waits."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from numerai_ray.trees import compiled, kernel_cache

PACKAGE = Path(kernel_cache.__file__).parent
SHOW = "from numerai_ray.trees.kernel_cache import folder; print(folder())"


def fresh_folder() -> Path | None:
    """What a process that has not asked yet would find."""
    return kernel_cache.folder.__wrapped__()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with nothing of ours in it; the folder of this process's own kernels stays what it is."""
    monkeypatch.setenv(kernel_cache.FOLDER_VARIABLE, "")  # put back after the test, also where it was not set
    monkeypatch.delenv(kernel_cache.FOLDER_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def copied_package(to: Path) -> Path:
    """Another installation of the same code."""
    shutil.copytree(PACKAGE, to / "numerai_ray" / "trees", ignore=shutil.ignore_patterns("__pycache__"))
    (to / "numerai_ray" / "__init__.py").touch()
    return to


def python(code: str, where: Path, *arguments: str, **environment: str) -> str:
    """What Python prints, run on the package below ``where``, with no more of the environment than this."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=where, env=given, check=True, capture_output=True, text=True).stdout


def test_the_folder_is_the_users_alone(home: Path) -> None:
    found = fresh_folder()
    assert found == home / ".cache" / "numerai-ray" / "kernels" / kernel_cache.identity()
    assert found.stat().st_mode & 0o777 == 0o700
    assert found.stat().st_uid == os.getuid()


def test_the_usual_variable_names_the_place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fresh_folder() == tmp_path / "xdg" / "numerai-ray" / "kernels" / kernel_cache.identity()


@pytest.mark.parametrize("file", sorted(path.name for path in PACKAGE.glob("*.py")))
def test_a_change_of_any_file_gives_another_folder(
    file: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is not the kernel's own file, at which alone numba looks."""
    there = copied_package(tmp_path / "copy") / "numerai_ray" / "trees"
    monkeypatch.setattr(kernel_cache, "__file__", str(there / "kernel_cache.py"))
    assert kernel_cache.identity.__wrapped__() == kernel_cache.identity()
    (there / file).write_text((there / file).read_text() + "\n")
    assert kernel_cache.identity.__wrapped__() != kernel_cache.identity()


@pytest.mark.parametrize("library", ["numba", "llvmlite", "numpy"])
def test_another_version_of_what_compiles_gives_another_folder(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = kernel_cache.version
    monkeypatch.setattr(kernel_cache, "version", lambda name: "0.0.1" if name == library else known(name))
    assert kernel_cache.identity.__wrapped__() != kernel_cache.identity()


@pytest.mark.parametrize("kind", ["group writes", "all write", "a link", "a file", "another's", "below another's"])
def test_a_folder_that_others_could_fill_is_refused(
    kind: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in it is unpickled. Whoever can rename a folder above it can put another in its place."""
    named = tmp_path / "shared" / "named"
    place = named / kernel_cache.identity()
    place.mkdir(mode=0o700, parents=True)
    monkeypatch.setenv(kernel_cache.FOLDER_VARIABLE, str(named))
    assert fresh_folder() == place
    if kind == "group writes":
        place.chmod(0o770)
    elif kind == "all write":
        place.chmod(0o707)
    elif kind == "a link":
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    elif kind == "a file":
        place.rmdir()
        place.touch()
    elif kind == "another's":
        of_another_owner(place, monkeypatch)
    else:
        of_another_owner(named.parent, monkeypatch)
    found = fresh_folder()
    assert found != place
    assert found == home / ".cache" / "numerai-ray" / "kernels" / kernel_cache.identity()


def of_another_owner(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen as another's, as only the system's user can give a folder away."""
    known = (Path.stat, Path.lstat)

    def changed(own: Path, found: os.stat_result) -> os.stat_result:
        return os.stat_result((*found[:4], 54_321, *found[5:])) if own == place else found

    monkeypatch.setattr(Path, "stat", lambda own, **how: changed(own, known[0](own, **how)))
    monkeypatch.setattr(Path, "lstat", lambda own: changed(own, known[1](own)))


@pytest.mark.parametrize(("mode", "taken"), [(0o777, False), (0o1777, True), (0o775, True), (0o755, True)])
def test_a_folder_above_that_all_can_rename_in_is_refused(
    mode: int, taken: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where each may rename only what is theirs, as in a temporary folder, nor where a user's own group may."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(mode)
    monkeypatch.setenv("XDG_CACHE_HOME", str(open_to_all / "below"))
    found = fresh_folder()
    assert found is not None
    assert found.is_relative_to(open_to_all) == taken


@pytest.mark.parametrize("place", ["missing", "a file", "not ours to write"])
def test_without_a_home_kernels_lie_beside_the_package(place: str, tmp_path: Path) -> None:
    root = copied_package(tmp_path / "copy")
    found = Path(python(SHOW, root, HOME=str(no_home(place, tmp_path))).strip())
    assert found.parent == root / "numerai_ray" / "trees" / "__pycache__" / "kernels"


@pytest.mark.parametrize("place", ["missing", "a file", "not ours to write"])
def test_with_no_place_at_all_a_private_one_is_made_that_child_processes_find(place: str, tmp_path: Path) -> None:
    root = copied_package(tmp_path / "copy")
    (root / "numerai_ray" / "trees" / "__pycache__").touch()  # as good as a read-only folder, also for root
    (tmp_path / "tmp").mkdir()
    child = f"import subprocess, sys; {SHOW}; subprocess.run([sys.executable, '-c', {SHOW!r}], check=True)"
    code = child.replace("print(folder())", "print(folder(), flush=True)", 1)
    home = no_home(place, tmp_path)
    own, childs = python(code, root, HOME=str(home), TMPDIR=str(tmp_path / "tmp")).split()
    assert own == childs
    private = Path(own).parent
    assert private.parent == tmp_path / "tmp"
    assert private.stat().st_mode & 0o777 == Path(own).stat().st_mode & 0o777 == 0o700
    assert python(SHOW, root, HOME=str(home), TMPDIR=str(tmp_path / "tmp")).strip() != own, "a stranger's is not used"


def no_home(place: str, tmp_path: Path) -> Path:
    if place == "missing":
        return Path("/dev/null/nobody")
    home = tmp_path / "home"
    if place == "a file":
        home.touch()
    else:
        home.mkdir()
        (home / ".cache").symlink_to("/dev/null")
        home.chmod(0o500)
    return home


def test_without_any_folder_kernels_are_compiled_all_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(prefix: str) -> str:
        raise PermissionError(prefix)

    monkeypatch.setattr(kernel_cache, "_parents", lambda: iter([Path("/dev/null/nowhere")]))
    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    assert fresh_folder() is None
    monkeypatch.setattr(compiled, "folder", lambda: None)
    monkeypatch.setattr(kernel_cache, "folder", lambda: None)
    with kernel_cache.compiling("plain"):
        assert compiled.kernel(lambda x: x + 1)(2) == 3
    kernel_cache.fill_beside()
    assert list(home.rglob("*")) == []


COMPILE_ON_A_FULL_DISK = f"""
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from numerai_ray.trees import draws, kernel_cache
{SHOW}
with kernel_cache.compiling("one"):
    print(len(draws.sampled_rows(30, 20, 1)))
"""


@pytest.mark.parametrize("size", ["0", pytest.param("1000", marks=pytest.mark.slow)])
def test_where_a_disk_is_full_kernels_are_compiled_and_not_kept(size: str, tmp_path: Path) -> None:
    told = python(COMPILE_ON_A_FULL_DISK, PACKAGE.parents[1], size, HOME=str(tmp_path), TMPDIR=str(tmp_path))
    assert told.split() == ["None", "20"]


def test_a_disk_that_fills_while_kernels_are_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_cache, "folder", lambda: tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device")
    told = "cannot be written there: No space left on device; free some space"
    with pytest.raises(OSError, match=told) as raised, kernel_cache.compiling("plain"):
        raise full
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path))
    assert not list(tmp_path.glob("filled*"))


def test_numba_is_not_imported_to_find_the_cache() -> None:
    code = f"import sys; {SHOW}; print(sorted({{'numba', 'llvmlite', 'numpy'}} & set(sys.modules)))"
    assert python(code, PACKAGE.parents[1], HOME=str(Path.home())).splitlines()[-1] == "[]"


COMPILE_ONE = """
import json, pathlib, sys, time
from numerai_ray.trees import draws
from numerai_ray.trees.kernel_cache import compiling

own, others = map(pathlib.Path, sys.argv[1:])
own.touch()
while not others.exists():
    time.sleep(.005)
before = time.process_time()
with compiling("one"):
    draws.sampled_rows(300_000, 200_000, 1)
stats = draws._draw_sample.stats
told = {"cpu_s": time.process_time() - before, "compiled": len(stats.cache_misses), "found": len(stats.cache_hits)}
print(json.dumps(told))
"""

COMPILE_ALL = COMPILE_ONE.replace("draws.sampled_rows(300_000, 200_000, 1)", "pass").replace(
    "stats = draws._draw_sample.stats",
    "from numerai_ray.trees.growing import warm_up\nwarm_up()\nfrom numerai_ray.trees import nodes\n"
    "stats = nodes.grow_alone.stats",
)


@pytest.mark.parametrize("code", [COMPILE_ONE, COMPILE_ALL], ids=["one", "all"])
@pytest.mark.slow
def test_of_two_processes_that_find_an_empty_cache_at_once_one_compiles(code: str, tmp_path: Path) -> None:
    """The other one waits for it without work, and takes what it made."""
    marks = [tmp_path / "first", tmp_path / "second"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(PACKAGE.parents[1])}
    environment.pop(kernel_cache.FOLDER_VARIABLE, None)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, order)], env=environment, stdout=subprocess.PIPE)
        for order in (marks, marks[::-1])
    ]
    told = sorted((json.loads(each.communicate()[0]) for each in processes), key=lambda each: each["found"])
    assert [(each["compiled"], each["found"]) for each in told] == [(1, 0), (0, 1)]
    if code == COMPILE_ALL:  # to have numba begin takes about as long as to compile one small kernel
        assert told[1]["cpu_s"] < told[0]["cpu_s"] / 3, told


NOTHING_MORE = """
import sys, numpy as np
from numerai_ray.trees import bins, compiled, draws, forest, grower, growing, histograms, nodes, splits
from numerai_ray.trees.grower import Settings, TrainingRows

def compiled_or_loaded():
    modules = (bins, compiled, draws, forest, grower, histograms, nodes, splits)
    kernels = {each for module in modules for each in vars(module).values() if hasattr(each, "signatures")}
    return {(each.py_func.__name__, str(signature)) for each in kernels for signature in each.signatures}

(weighted, threads), leaves = eval(sys.argv[1]), 1000
growing.warm_up(weighted=weighted, several=threads > 1, most_leaves=leaves)
before = compiled_or_loaded()
rng = np.random.default_rng(0)
for n, k, used, bag in ((50, 1, False, 1.), (70_000, 9, True, .7), (20_000, 70, False, 1.), (210_000, 3, True, 1.)):
    columns = [rng.integers(0, 5, n).astype(np.int8) for _ in range(k)]
    for column in columns:
        column.flags.writeable = False
    target = (columns[0] + rng.normal(size=n)).astype(np.float32)
    weight = np.ones(n, np.float32) if weighted else None
    rows = TrainingRows(columns, target, weight, rng.random(n) < .9 if used else None)
    for some in (Settings(num_leaves=leaves), Settings(num_leaves=leaves, max_depth=3, lambda_l1=1., pre_filter=False)):
        some = type(some)(**{**vars(some), "feature_fraction": .6, "bagging_fraction": bag, "bagging_freq": 2})
        grown = growing.grow(rows, some, 2, threads)
        grown.predict(columns, [(0, n // 2), (n // 2, n)], [1, 2], threads)
        grown.importance()
print(sorted(compiled_or_loaded() - before))
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_after_warming_up_no_fit_compiles_anything(weighted: bool, threads: int) -> None:
    """What a fit compiled later it would compile beside others that do the same."""
    command = [sys.executable, "-c", NOTHING_MORE, repr((weighted, threads))]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parents[1])}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


FILL = """
from numerai_ray.trees import kernel_cache
kernel_cache.subprocess.Popen = lambda *command, **how: print("fills")
kernel_cache.fill_beside()
"""
MARK = "from numerai_ray.trees.kernel_cache import compiling\nwith compiling('plain'): pass"


def test_a_process_fills_the_cache_unless_it_is_full(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    root = copied_package(tmp_path / "copy")
    assert python(FILL, root, **home) == "fills\n"
    python(MARK.replace("plain", "weighted"), root, **home)
    assert python(FILL, root, **home) == "fills\n", "other kernels are not the usual ones"
    python(MARK, root, **home)
    assert python(FILL, root, **home) == ""


def test_what_another_installation_compiled_does_not_count_as_full(tmp_path: Path) -> None:
    """numba finds a kernel by the place and the time of its file: there is none yet of equal code in another place."""
    home = {"HOME": str(tmp_path)}
    one, other = (copied_package(tmp_path / name) for name in ("one", "other"))
    python(MARK, one, **home)
    assert python(SHOW, one, **home) == python(SHOW, other, **home)
    assert python(FILL, other, **home) == "fills\n"
    python(MARK, other, **home)
    assert python(FILL, other, **home) == python(FILL, one, **home) == ""
    os.utime(one / "numerai_ray" / "trees" / "splits.py", (1e9, 1e9))  # installed anew
    assert python(FILL, one, **home) == "fills\n"


def test_a_failed_compilation_leaves_no_mark_and_no_lock(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = fresh_folder()
    assert place is not None
    monkeypatch.setattr(kernel_cache, "folder", lambda: place)
    with pytest.raises(ZeroDivisionError), kernel_cache.compiling("plain"):
        raise ZeroDivisionError
    assert [path.name for path in place.iterdir()] == ["compiling.lock"]
    with kernel_cache.compiling("plain"):
        pass
    assert len(list(place.glob("filled-plain-*"))) == 1


def test_a_killed_process_does_not_keep_others_waiting(home: Path) -> None:
    code = "from numerai_ray.trees.kernel_cache import compiling\nimport time\n"
    code += "with compiling('plain'):\n print('begun', flush=True)\n time.sleep(600)"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parents[1])}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    python(MARK, PACKAGE.parents[1], HOME=str(home))

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import fathom
from fathom.errors import FathomError
from fathom.results.provenance import provenance, write_json


def test_it_tells_configuration_versions_and_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(b"{}\n")
    told = provenance({"seed": 3}, [tmp_path / "pairs.jsonl"])
    assert told["config"] == {"seed": 3}
    assert told["versions"]["fathom-rm"] == fathom.__version__
    assert told["versions"]["python"] == sys.version.split()[0]
    assert told["inputs"] == {str(tmp_path / "pairs.jsonl"): hashlib.sha256(b"{}\n").hexdigest()}
    assert datetime.fromisoformat(told["written"]).tzinfo == UTC


def test_all_but_the_time_is_the_same_for_the_same_run(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    first, second = (provenance({"seed": 3}, [tmp_path]) for _ in range(2))
    assert {**first, "written": ""} == {**second, "written": ""}


def test_a_folder_is_hashed_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "model" / "part").mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "part" / "weights").write_text("w")
    assert [Path(path).name for path in provenance({}, [tmp_path / "model"])["inputs"]] == ["config.json", "weights"]


def test_an_input_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="gone: no such file"):
        provenance({}, [tmp_path / "gone"])


def test_no_heavy_library_is_imported_for_its_version() -> None:
    code = "import sys, fathom.results.provenance as p; p.provenance({}, []); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_json_is_written_in_one_step_with_paths_as_text(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.meta.json"
    write_json(path, {"out": Path("a/b"), "name": "mémoire"})
    assert json.loads(path.read_text()) == {"out": "a/b", "name": "mémoire"}
    assert list(path.parent.iterdir()) == [path]


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.meta.json"
    write_json(path, 1)
    with pytest.raises(TypeError):
        write_json(path, {(1, 2): "a tuple is no key"})
    assert path.read_text() == "1\n"

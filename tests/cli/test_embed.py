"""`gyebo embed`: what it prints, and its errors."""

import json

import numpy as np


def test_lines_from_a_file_and_from_stdin(cli, trained, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("나무\n\n바다 보았다\n", encoding="utf-8")
    found = cli("embed", trained, path, "-o", tmp_path / "x.npy")
    assert (found.code, found.out) == (0, f"{tmp_path / 'x.npy'}: 3 vectors of 32\n")
    piped = cli("embed", trained, "-", "-o", tmp_path / "y.npy", "--json", stdin="나무\n\n바다 보았다\n")
    assert piped.code == 0, piped.err
    assert json.loads(piped.out) == {"texts": 3, "width": 32, "cut": 0, "out": str(tmp_path / "y.npy")}
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy"))
    found = cli("embed", trained, path, "-o", tmp_path / "x.npy", "--overwrite", "--normalize", "--pooling", "last")
    assert found.code == 0
    assert np.allclose(np.linalg.norm(np.load(tmp_path / "x.npy")[[0, 2]], axis=1), 1, atol=1e-5)


def test_a_text_that_is_cut_is_said(cli, trained, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("나무 정말 " * 60 + "\n가\n", encoding="utf-8")
    found = cli("embed", trained, path, "-o", tmp_path / "x.npy")
    assert found.code == 0 and "1 texts are longer than the model's context" in found.err


def test_errors(refused, trained, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("나무\n", encoding="utf-8")
    line = refused("embed", trained, path, "-o", tmp_path / "x.npz")
    assert "must end with .npy or .parquet" in line
    assert "--pooling cls: gpt2 reads from left to right" in refused(
        "embed", trained, path, "-o", tmp_path / "x.npy", "--pooling", "cls"
    )
    assert "no such file" in refused("embed", trained, tmp_path / "no.txt", "-o", tmp_path / "x.npy")
    assert "neither a directory here nor" in refused("embed", "no-such-model", path, "-o", tmp_path / "x.npy")
    assert "missing option '-o'" in refused("embed", trained, path)
    assert not (tmp_path / "x.npy").exists()

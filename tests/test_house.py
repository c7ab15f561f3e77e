"""The house: which folder may import which, what `import gyebo` costs, and that everything public is documented."""

import ast
import importlib
import inspect
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import gyebo
from gyebo.models.family import FAMILIES

PACKAGE = Path(gyebo.__file__).parent

EVERYTHING_BELOW = {
    "config", "text", "world", "figures", "nn", "models", "data", "objectives", "generation", "training", "tasks",
    "interchange", "evaluation", "ssa", "jobs",
}  # fmt: skip
MAY_IMPORT = {
    "config": set(),
    "text": set(),
    "world": set(),
    "figures": {"config"},
    "nn": set(),
    "models": {"nn"},
    "data": {"config", "text", "world"},
    "objectives": {"config", "nn", "text", "data"},
    "generation": {"nn", "text"},
    "training": {"config", "data", "objectives", "nn", "figures"},
    "tasks": {"nn", "objectives", "generation", "data", "text", "world", "config"},
    "interchange": {"models", "tasks", "text", "config"},
    "evaluation": {"tasks", "objectives", "generation", "data", "text", "config", "nn"},
    "ssa": {"config", "data", "tasks"},
    "jobs": EVERYTHING_BELOW - {"jobs"},
    "compare": EVERYTHING_BELOW,
    "lab": EVERYTHING_BELOW | {"compare"},
    "api": EVERYTHING_BELOW | {"compare", "lab"},
    "serving": {"generation", "tasks", "interchange", "text", "config", "ssa"},
}
FREE = {"cli", "hf", "__init__", "__main__"}
# from_pretrained and save_pretrained of a model class call interchange inside the function, and labels= the loss of objectives.
EXCEPTIONS = {("models/pretrained.py", "interchange"), ("models/pretrained.py", "objectives")}


def imports(path: Path) -> set[str]:
    """The names of gyebo's parts that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("gyebo.")}
    return found


def wrong_imports(relative: str, found: set[str]) -> set[str]:
    room = relative.split("/")[0].removesuffix(".py")
    if room in FREE:
        return set()
    allowed = MAY_IMPORT[room] | {room} | {name for path, name in EXCEPTIONS if path == relative}
    rooms = set(MAY_IMPORT) | FREE
    return {name for name in found if name in rooms and name not in allowed}


def test_every_folder_imports_only_what_it_may():
    problems = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE).as_posix()
        if wrong := wrong_imports(relative, imports(path)):
            problems[relative] = wrong
    assert not problems


def test_the_rule_can_be_broken():
    assert wrong_imports("text/tokenizer.py", {"nn"}) == {"nn"}
    assert wrong_imports("serving/app.py", {"training"}) == {"training"}


def test_a_family_imports_only_its_parents():
    for family in FAMILIES.values():
        module = family.cls.partition(":")[0]
        path = PACKAGE / (module.removeprefix("gyebo.").replace(".", "/") + ".py")
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gyebo.models."):
                names.add(node.module.removeprefix("gyebo.models."))
        parents = {FAMILIES[name].cls.partition(":")[0].rpartition(".")[2] for name in family.parents}
        assert names - {"pretrained", "protocol"} <= parents, family.name


# What a model, its config or an objective can do is declared (`gyebo/models/protocol.py`, `gyebo/objectives/objective.py`).
ASKED = "models objectives generation training tasks interchange evaluation jobs compare lab nn serving".split()
NEITHER = {  # what is neither a model nor an objective: (file, call) -> what it is
    ("nn/decoding.py", "hasattr(torch.ops.mkldnn, '_linear_pointwise')"): "how torch was built",
    ("nn/int8.py", "hasattr(torch.ops.onednn, 'qlinear_pointwise')"): "how torch was built",
    ("training/device.py", "hasattr(libc, 'gnu_get_libc_version')"): "the system's C library",
    ("training/device.py", "getattr(ctypes.CDLL(None), 'malloc_trim', lambda pad: 0)"): "the system's C library",
    ("tasks/data/loading.py", "hasattr(feature, 'int2str')"): "a column of the library datasets",
    ("tasks/data/loading.py", "getattr(feature, 'feature', None)"): "a column of the library datasets",
    ("interchange/loading.py", "getattr(torch, asked, None)"): "a dtype of torch, by its name",
    ("compare/run.py", "hasattr(os, 'sched_getaffinity')"): "the operating system",
}


def guesses(source: str) -> list[str]:
    """The calls of a file that look whether an object has something, instead of asking what it declares."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ("hasattr", "inspect.signature", "signature") or (name == "getattr" and len(node.args) == 3):
            found.append(ast.unparse(node))
    return found


def test_what_a_model_or_an_objective_can_do_is_declared():
    found = {
        (path.relative_to(PACKAGE).as_posix(), call)
        for room in ASKED
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for call in guesses(path.read_text(encoding="utf-8"))
    }
    assert found == set(NEITHER)


def test_guessing_is_seen():
    source = "hasattr(model, 'step')\ngetattr(config, 'window', 0)\ngetattr(config, 'width')\ninspect.signature(model.encode)"
    assert guesses(source) == ["hasattr(model, 'step')", "getattr(config, 'window', 0)", "inspect.signature(model.encode)"]
    assert guesses("signature(f)\nmetric.get_signature()") == ["signature(f)"]


def test_no_torch_where_none_is_needed():
    code = (
        "import gyebo, gyebo.text, gyebo.config, gyebo.world, gyebo.models.family, gyebo.objectives.table, sys; "
        "import gyebo.ssa.score, gyebo.ssa.report, gyebo.serving.annotation; "
        "gyebo.world.documents; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_help_answers_at_once():
    """Half a second of a processor; on a machine that is busy otherwise it may take longer."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "gyebo", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.5


def test_every_public_name_is_documented():
    missing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        where = path.relative_to(PACKAGE).as_posix()
        if not ast.get_docstring(tree):
            missing.append(where)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    missing.append(f"{where}:{node.name}")
                inner = node.body if isinstance(node, ast.ClassDef) else []
                missing += [
                    f"{where}:{node.name}.{method.name}"
                    for method in inner
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and not ast.get_docstring(method)
                ]
    assert not missing


def test_names_resolve_on_first_use():
    for name in gyebo.__all__:
        assert getattr(gyebo, name) is not None
    assert set(gyebo.__all__) <= set(dir(gyebo))
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = gyebo.nothing_like_this


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
def test_the_table_names_a_class_and_an_objective(family):
    from gyebo.objectives.table import OBJECTIVES

    module, _, name = family.cls.partition(":")
    cls = getattr(importlib.import_module(module), name)
    assert inspect.isclass(cls) and cls.family == family.name
    assert set(cls.sizes) == set(family.sizes)
    assert family.objective in OBJECTIVES and family.student in (None, *FAMILIES)
    assert set(family.parents) <= set(FAMILIES)

"""`mutation.py SEED COUNT`: a random sample of mutants, each against the tests that cover its line (docs/testing.md)."""

import ast
import importlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

REPOSITORY, WORK = Path.cwd(), Path(os.environ.get("WORK", "/tmp/mutation"))
PLACES = (
    "objectives",
    "data",
    "training",
    "evaluation",
    "generation",
    "tasks/metrics",
    "tasks/kinds",
    "tasks/features.py",
    "tasks/objective.py",
    "tasks/prediction.py",
    "compare/statistics.py",
)
SECONDS = 30  # of tests a mutant, as measured; one that takes five times as long and a minute hangs, and counts as killed


def left_out(tree):
    """Spans that don't count: annotations, docstrings and messages (what is raised), __repr__, the stubs of a protocol."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
            yield node
        if isinstance(node, ast.ClassDef) and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
            yield node
        yield from filter(None, (getattr(node, "annotation", None), getattr(node, "returns", None)))
        if isinstance(node, ast.Raise) and node.exc:
            yield from getattr(node.exc, "args", ())


def sites(path):
    """Every place that can be mutated -> its mutants, as (operator, occurrence)."""
    source = path.read_text()
    text = source.splitlines()
    spans = [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in left_out(ast.parse(source))]
    found, nodes = {}, list(ast_nodes(get_ast(source)))
    for name in operator_names():
        operator_class = get_operator(name)
        if operator_class.arguments() or "NoOp" in name or name.endswith(("_Is", "_IsNot")):  # of numbers: left to the language
            continue
        operator, positions = operator_class(), []
        for node in nodes:
            positions += operator.mutation_positions(node)
        for occurrence, (start, _end) in enumerate(positions):
            bytes_before = len(text[start[0] - 1][: start[1]].encode())
            if not any(a <= (start[0], bytes_before) < b for a, b in spans):
                kind = re.sub(r"(Operator)?_.*", "", name)  # all replacements of one operator are one place
                found.setdefault((str(path), start, kind), []).append((name, occurrence))
    return found


def chosen_tests(path, line, contexts, durations):
    """The tests that cover a line, those of the mirrored file first, then the quick ones; and the seconds that they take."""
    lines = contexts[path]
    here = {c for c in lines.get(line, ()) if c}
    if not here:  # run on import alone: whoever uses the module
        here = {c for cs in lines.values() for c in cs if c}
    names = {c.rpartition("|")[0] for c in here}
    files = {c.partition("::")[0] for c in here if c.endswith("|setup")}  # shared fixtures are read by all tests of a file
    names |= {name for name in durations if name.partition("::")[0] in files}
    stem, folder = Path(path).stem, Path(path).parts[1]
    order = sorted(names, key=lambda n: (stem not in n.partition("::")[0], f"/{folder}/" not in n, durations.get(n, 0), n))
    total, picked = 0.0, []
    for name in order:
        if picked and total + durations.get(name, 0.01) > SECONDS:
            break
        total += durations.get(name, 0.01)
        picked.append(name)
    return picked, total


def measured():
    """{path: {line: contexts}} and {test: seconds} of the run with coverage."""
    database, contexts = sqlite3.connect(WORK / "coverage.db"), {}
    query = "select distinct f.path, c.context, a.tono from arc a join file f on f.id=file_id join context c on c.id=context_id"
    for path, context, line in database.execute(query):  # branches are measured, so lines are where one leads
        contexts.setdefault(str(Path(path).relative_to(REPOSITORY)), {}).setdefault(line, set()).add(context)
    durations = {}
    for seconds, name in re.findall(r"^(\S+)s (?:call|setup|teardown) +(tests/.*?)\s*$", (WORK / "fast.log").read_text(), re.M):
        durations[name] = durations.get(name, 0.0) + float(seconds)
    for lines in contexts.values():
        for cs in lines.values():
            for c in filter(None, cs):
                durations.setdefault(c.rpartition("|")[0], 0.01)
    return contexts, durations


def run_tests(folder, tests, limit):
    """Forked, since torch is loaded already. Gives killed, survived or hangs. `limit`: seconds."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(folder)
        os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1")
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(folder))
        log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests])))
    until = time.time() + limit
    while time.time() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return {0: "survived", 5: "no test"}.get(os.waitstatus_to_exitcode(status), "killed")
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "killed (hangs)"


def main(seed, count):
    contexts, durations = measured()
    found = {}
    for place in PLACES:
        for path in [Path("gyebo", place)] if place.endswith(".py") else sorted(Path("gyebo", place).rglob("*.py")):
            found |= sites(path)
    rng = random.Random(seed)
    sample = [(site, *rng.choice(found[site])) for site in rng.sample(sorted(found), count)]
    print(len(found), "places;", sum(map(len, found.values())), "mutants", flush=True)
    for module in ("torch", "transformers", "pytest", "hypothesis", "sklearn"):  # before the forks, which then start at once
        importlib.import_module(module)

    out = WORK / f"results-{seed}.jsonl"
    out.unlink(missing_ok=True)
    folders, first = [WORK / f"{seed}-{n}" for n in range(2)], os.fork()
    mine = 0 if first else 1
    folder = folders[mine]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run(f"git archive HEAD | tar -x -C {folder}", shell=True, check=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "gyebo"], check=True)
    for number, ((path, start, _), name, occurrence) in enumerate(sample):
        if number % 2 != mine:
            continue
        source = Path(path).read_text()
        mutant = mutate_code(source, get_operator(name)(), occurrence)
        (folder / path).write_text(mutant)
        began, (tests, seconds) = time.time(), chosen_tests(path, start[0], contexts, durations)
        outcome = run_tests(folder, tests, 60 + 5 * seconds) if tests else "no test"
        change = next((a, b) for a, b in zip(source.splitlines(), mutant.splitlines()) if a != b)
        found_out = {"n": number, "outcome": outcome, "place": f"{path}:{start[0]}", "operator": name, "change": change}
        with out.open("a") as file:
            print(json.dumps(found_out | {"tests": len(tests), "seconds": round(time.time() - began, 1)}), file=file)
        (folder / path).write_text(source)
    if first:
        os.waitpid(first, 0)
        results = [json.loads(line) for line in out.read_text().splitlines()]
        print(sum(r["outcome"].startswith("killed") for r in results), "of", len(results), "killed")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

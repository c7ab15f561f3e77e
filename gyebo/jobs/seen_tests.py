"""Which test examples of a task stand in a corpus that models are pretrained on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gyebo.config.durable import replacing
from gyebo.config.finetune import TaskOptions
from gyebo.config.run import DataOptions
from gyebo.data.prepare import Corpus, count_processes, jobs_of, open_corpus, run_jobs, texts_by_split, unwanted
from gyebo.data.source import Chunk
from gyebo.data.wanted import CONTAINED, EXACT, NEAR, WAYS, Wanted, near_key
from gyebo.jobs.results import SeenTests
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.splits import TaskData, read_task


@dataclass(frozen=True)
class Search:
    """Looks for texts in the training documents of a corpus; sent to each worker process once."""

    wanted: Wanted
    without: Wanted | None
    options: DataOptions

    def part(self, chunk: Chunk, number: int, cut: int | None, held_out: bool) -> dict[str, str]:
        """What a chunk holds: key of a text -> how it is found there, the closest of all documents."""
        texts = texts_by_split(chunk, self.options, cut, held_out)["train"]
        return closest(self.wanted.find(text) for text in texts if not (self.without and self.without.find(text)))


def closest(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Key of a text -> the closest of the ways in which it was found."""
    best: dict[str, str] = {}
    for each in found:
        for key, how in each.items():
            best[key] = min(how, best.get(key, how), key=WAYS.index)
    return best


def find_test_texts(tasks: Mapping[str, TaskOptions], data: DataOptions) -> dict[str, SeenTests]:
    """Of each task, how many test examples have a text in the corpus' training documents, which are read once.

    Every text of an example counts: both of a pair, the options of a choice, the target of a translation. Raises what
    `read_task` and `open_corpus` do.
    """
    corpus = open_corpus(data)
    texts = {name: _test_texts(read_task(options)) for name, options in tasks.items()}
    wanted = Wanted.of(text for examples in texts.values() for example in examples for text in example)
    found = _find(corpus, wanted)
    return {name: _counted(examples, found) for name, examples in texts.items()}


def keep_test_texts(tasks: Mapping[str, TaskOptions], field: str, path: Path) -> None:
    """Write all texts of the test examples, as JSON lines with that key, so that `data.without` may name them."""
    with replacing(path) as aside, aside.open("w", encoding="utf-8") as file:
        for options in tasks.values():
            for example in _test_texts(read_task(options)):
                file.writelines(json.dumps({field: text}, ensure_ascii=False) + "\n" for text in example)


def _test_texts(data: TaskData) -> list[tuple[str, ...]]:
    return [find_kind(data.task.kind).texts(example) for example in data.test]


def _find(corpus: Corpus, wanted: Wanted) -> dict[str, str]:
    search = Search(wanted, unwanted(corpus), corpus.options)
    jobs = (job for job in jobs_of(corpus) if not job[3])  # of what is held out nothing is learned
    return closest(part for _, part in run_jobs(search, jobs, count_processes(corpus)))


def _counted(examples: list[tuple[str, ...]], found: dict[str, str]) -> SeenTests:
    """An example counts once, as the closest of its texts."""
    counts: Counter[str] = Counter()
    for texts in examples:
        keys = [key for text in texts if (key := near_key(text))]
        ways = [found[key] for key in keys if key in found]
        counts[min(ways, key=WAYS.index) if ways else "" if keys else "short"] += 1
    return SeenTests(exact=counts[EXACT], near=counts[NEAR], contained=counts[CONTAINED], short=counts["short"])

"""The report: one page that fetches nothing, says what may be said, and shows texts as texts."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from gyebo.compare.conclusion import conclusion
from gyebo.compare.pictures import curves
from gyebo.compare.rendering import rich_tables
from gyebo.compare.report import render
from gyebo.compare.run import compare
from gyebo.compare.table_rows import short

VOID = {"meta", "br", "use", "link", "img"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; closing tags must match."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def page_of(out):
    return Page((out / "report.html").read_text(encoding="utf-8"))


def one_line(text):
    return " ".join(text.split())


def test_the_page_says_who_is_best_and_fetches_nothing(tmp_path, jobs, recipe):
    compare(recipe(), tmp_path / "out", **jobs.functions)
    source = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\((?!#)", source)
    page = Page(source)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    for _, name, value in page.attributes:
        assert name not in ("src", "srcset", "action")
        assert not name.endswith("href") or value.startswith("#")
    text = one_line(page.text)
    assert "gpt2-tiny is best on this text, over 3 seeds, on these held-out documents alone." in text
    assert "1.1100 bits per byte" in text
    assert "9.0 % more" in text  # 1.21 / 1.11
    assert page.tags.count("svg") == 3
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = {value[1:] for _, name, value in page.attributes if name.endswith("href")}
    assert used <= set(ids)  # every mark and letter that a picture uses is in the page
    for name in ("tokens.png", "flops.png", "scores.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_no_difference_is_called_so(tmp_path, alike, recipe):
    result = compare(recipe(), tmp_path / "out", **alike.functions)
    text = one_line(page_of(tmp_path / "out").text)
    assert "No difference shown between gpt2-tiny and gpt-tiny, over 3 seeds, on these held-out documents alone." in text
    assert "tiny is best" not in text
    assert {row.verdict for row in result.rows} == {"no difference shown"}


def test_one_seed_is_called_so(tmp_path, jobs, recipe):
    compare(recipe(seeds=[0]), tmp_path / "out", **jobs.functions)
    text = one_line(page_of(tmp_path / "out").text)
    assert "one seed: no standard deviation" in text
    assert "No difference shown" in text


def test_texts_of_models_and_corpora_are_shown_never_run(tmp_path, jobs, recipe):
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    jobs.samples = [evil, "{{ 7 * 7 }}", "한국어 문장"]
    jobs.sample = f"{evil} &amp;"
    compare(recipe(title=evil, data={"corpus": [evil]}), tmp_path / "out", **jobs.functions)
    page = page_of(tmp_path / "out")
    assert not {"script", "img"} & set(page.tags)
    assert page.text.count(evil) >= 4
    assert "{{ 7 * 7 }}" in page.text
    assert "한국어 문장" in page.text


def test_a_failure_is_shown_with_its_reason_and_how_to_go_on(tmp_path, jobs, recipe):
    jobs.failing = {("gpt2", 1)}
    result = compare(recipe(), tmp_path / "out", **jobs.functions)
    text = one_line(page_of(tmp_path / "out").text)
    assert "gpt2-tiny failed in 1 of 3 runs and is not ranked: step 7: the loss is not finite." in text
    assert "Only gpt-tiny finished" in text
    assert "--resume" in text
    assert conclusion(result)[0] == "Only gpt-tiny finished, so there is nothing to compare it with."


def test_a_page_is_made_even_where_everything_failed(tmp_path, jobs, recipe):
    jobs.failing = {(family, seed) for family in ("gpt", "gpt2") for seed in (0, 1, 2)}
    result = compare(recipe(), tmp_path / "out", **jobs.functions)
    page = page_of(tmp_path / "out")
    assert "No candidate finished" in page.text
    assert "svg" not in page.tags
    assert not result.ok
    assert result.leader is None


def test_the_page_has_the_commands_to_reproduce_it_and_to_try_next(tmp_path, jobs, recipe):
    asked = recipe(
        sweep={"lr": [1e-3, 3e-3], "extend": 0}, candidates=[{"family": "gpt", "model": {"layers": 3}}, {"family": "gpt2"}]
    )
    out = tmp_path / "my runs"
    compare(asked, out, **jobs.functions)
    text = page_of(out).text
    assert "gyebo compare 'my runs/recipe.toml' -o 'my runs-again'" in text  # it is published: nothing of where it lies
    assert "gyebo generate 'my runs/runs/gpt2-mini/seed-0' --prompt '나는 학교에'" in text and str(tmp_path) not in text
    assert "model.layers = 3" in text
    assert "2 trials" in text
    assert "the best learning rate is at the edge of the sweep" in text
    assert "1 minutes on this machine" in text


def test_the_known_entropy_is_explained_where_there_is_one(tmp_path, jobs, recipe):
    result = compare(recipe(), tmp_path / "out", **jobs.functions)
    assert "Lower bound: 0.5000 bits per byte." in one_line(Page(render(result)).text)
    result = replace(result, prepared=replace(result.prepared, floor_bits_per_byte=None))
    assert "Lower bound" not in one_line(Page(render(result)).text)


def test_curves_come_from_the_logs_and_end_at_the_score(tmp_path, jobs, recipe):
    result = compare(recipe(budget={"steps": 40}), tmp_path / "out", **jobs.functions)
    first = curves(result, result.rows, "tokens")[0]
    assert first.name == "gpt2-tiny"
    assert first.seeds[0] == ((20_000, 40_000), (pytest.approx(1.6), 1.10))
    assert first.seeds[2] == ((20_002, 40_000), (pytest.approx(1.62), 1.12))
    assert first.finals == [(40_000, 1.10), (40_000, 1.11), (40_000, 1.12)]
    flops = curves(result, result.rows, "flops")[0]
    assert flops.seeds[0][0] == (40e9, 80e9)  # 2e9 a step


def test_the_terminal_shows_the_lines_that_the_report_shows_at_once(tmp_path, jobs, recipe):
    from rich.console import Console

    result = compare(recipe(), tmp_path / "out", **jobs.functions)
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(rich_tables(result, console.width))
    shown = console.export_text()
    for cell in ("1.1100 ± 0.0100", "1.23 M", "behind", "best"):
        assert cell in shown
    assert "235 k" not in shown  # without embeddings
    assert "235 k" in (tmp_path / "out" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_terminal_shows_candidates_in_several_tables(tmp_path, jobs, recipe, width):
    """No number is broken over two lines where the first column and one candidate fit."""
    from rich.console import Console

    result = compare(recipe(), tmp_path / "out", **jobs.functions)
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(rich_tables(result, width))
    shown = console.export_text()
    for name, cell in (("gpt2-tiny", "1.1100 ± 0.0100"), ("gpt-tiny", "1.2100 ± 0.0100")):
        assert name in shown and cell in shown
    assert shown.count("Parameters") == (2 if width < 70 else 1)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"),
        (999, "", "999"),
        (999.7, "", "1.00 k"),
        (1000, "", "1.00 k"),
        (99_974, "", "100 k"),
        (999_999, "", "1.00 M"),
        (1_234_567, "", "1.23 M"),
        (12_345, "B", "12.3 kB"),
        (5, "B", "5 B"),
        (3.5e15, "FLOP", "3.50 PFLOP"),
        (0.25, "", "0.25"),
        (1e27, "", "1000 Y"),
        (None, "B", "-"),
    ],
)
def test_short_numbers(value, unit, text):
    assert short(value, unit) == text


def test_results_json_is_strict_json(tmp_path, jobs, recipe):
    compare(recipe(seeds=[0]), tmp_path / "out", **jobs.functions)
    stored = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert stored["candidates"][0]["bits_per_byte"]["deviation"] is None
    assert stored["environment"]["cores"] >= 1


def colour_of(source, name):
    """The number of the colour of a candidate's dot in the table's head."""
    return re.search(rf'var\(--c(\d)\)"></span>{re.escape(name)}<small>', source)[1]


def test_the_page_of_a_task_ranks_by_it_and_keeps_each_models_colour(tmp_path, jobs, task_recipe):
    compare(task_recipe(), tmp_path / "out", **jobs.functions)
    source = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    text = one_line(page.text)
    assert "bert-tiny is best on world-sentiment, over 3 seeds, on these 1,000 test examples alone." in text
    assert "fine-tuned on the task with the same training examples" in text
    assert "linear baselinecharacter n-grams, no pretraining" in text  # two lines of one cell
    assert page.tags.count("svg") == 3  # the task, and two curves of the one model that has bits per byte
    pictures = re.findall(r"<svg.*?</svg>", source, re.DOTALL)
    assert 'aria-label="accuracy on world-sentiment of each candidate' in pictures[0]
    colours = [set(re.findall(r"var\(--c(\d)", picture)) for picture in pictures]
    assert colours[0] == {colour_of(source, name) for name in ("bert-tiny", "roberta-tiny", "gpt2-tiny")}
    assert colours[1:] == [{colour_of(source, "gpt2-tiny")}] * 2  # alone in its pictures, and not in another's colour
    assert (tmp_path / "out" / "task-world-sentiment.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_shows_generated_and_predicted_samples(tmp_path, jobs, task_recipe):
    compare(task_recipe(), tmp_path / "out", **jobs.functions)
    text = one_line(page_of(tmp_path / "out").text)
    writes, fills = text.index("Generated samples"), text.index("Predicted masked tokens")
    assert "gpt2-tiny" in text[writes:fills]
    assert "bert-tiny" not in text[writes:fills]
    assert "bert-tiny" in text[fills : text.index("A training document")]


def test_a_page_without_any_likelihood_has_no_bits_per_byte(tmp_path, jobs, task_recipe):
    asked = task_recipe(candidates=[{"family": "bert"}, {"family": "roberta"}])
    compare(asked, tmp_path / "out", **jobs.functions)
    page = page_of(tmp_path / "out")
    assert page.tags.count("svg") == 1
    assert "bits per byte" not in page.text.lower().replace("no bits per byte", "")
    assert "Lower bound" not in page.text
    assert not (tmp_path / "out" / "scores.png").exists()


def test_a_page_that_ranks_by_masked_tokens_names_them(tmp_path, jobs, recipe):
    static = {"family": "bert", "name": "static", "objective": {"static_copies": 10}}
    compare(recipe(candidates=[static, {"family": "bert"}]), tmp_path / "out", **jobs.functions)
    page = page_of(tmp_path / "out")
    text = one_line(page.text)
    assert page.tags.count("svg") == 3
    assert "evaluated on the same held-out text (nats per masked token)" in text
    assert "Nats per masked token during training" in text
    assert "bits per byte" not in text.lower()


def test_the_page_of_a_task_has_the_commands_to_try_next(tmp_path, jobs, task_recipe):
    out = tmp_path / "out"
    compare(task_recipe(tasks=[{"name": "world-sentiment", "epochs": 2}]), out, **jobs.functions)
    text = page_of(out).text
    assert "gyebo predict out/tasks/bert-tiny/world-sentiment/seed-0 my-texts.txt" in text
    assert "gyebo fill out/runs/bert-tiny/seed-0 --text '나는 학교에 [MASK]" in text
    assert "AutoModelForSequenceClassification.from_pretrained" in text
    assert "the same 4,000 training, 500 validation and 1,000 test examples" in text
    assert "epochs 2.0" in text
    assert "gpt2-tiny: to predict the next token; bert-tiny: to predict masked tokens" in text


def test_options_that_all_candidates_share_are_listed_as_equal(tmp_path, jobs, recipe):
    gpt = {"family": "gpt", "size": "tiny", "model": {"layers": 3}}
    asked = recipe(candidates=[gpt, {"family": "gpt2", "size": "tiny", "model": {"layers": 3, "width": 96}}])
    compare(asked, tmp_path / "out", **jobs.functions)
    equal, unequal = page_of(tmp_path / "out").text.split("What differed, besides family and size")
    assert "model.layers = 3" in equal
    assert "model.layers = 3" not in unequal.split("How to reproduce it")[0]
    assert "model.width = 96" in unequal


def test_a_candidates_own_finetuning_options_are_listed_as_different(tmp_path, jobs, task_recipe):
    own = {"family": "bert", "size": "tiny", "tuning": {"epochs": 3.0, "optim": {"lr": 2e-3}}}
    asked = task_recipe(seeds=[0], candidates=[{"family": "gpt2", "size": "tiny"}, own])
    compare(asked, tmp_path / "out", **jobs.functions)
    equal, unequal = page_of(tmp_path / "out").text.split("What differed, besides family and size")
    told = one_line(unequal.split("How to reproduce it")[0])
    assert "Options of bert-tiny only" in told and "tuning.epochs = 3.0, tuning.optim.lr = 0.002" in told
    assert "Options of gpt2-tiny only" not in told and "tuning.epochs" not in equal


def test_a_page_is_made_where_every_finetuning_failed(tmp_path, jobs, task_recipe):
    jobs.failing = {("world-sentiment", family, 0) for family in ("gpt2", "bert", "roberta")}
    result = compare(task_recipe(seeds=[0]), tmp_path / "out", **jobs.functions)
    page = page_of(tmp_path / "out")
    assert "No candidate finished" in page.text
    assert "하나" in page.text  # what the pretrained models write is there all the same
    assert result.leader is None

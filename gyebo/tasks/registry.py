"""The registered tasks as a table. To add one: an entry here, a reader if its format is new, a test.

Sources of the readers and the defaults: GLUE (Wang et al. 2019, gluebenchmark.com; fine-tuning after Devlin et al. 2019),
KLUE (Park et al. 2021; fine-tuning after the scripts of KLUE-baseline), NSMC (github.com/e9t/nsmc), KorNLI and KorSTS
(Ham et al. 2020), Question_pair (github.com/songys/Question_pair), BEEP! (Moon et al. 2020).
"""

from __future__ import annotations

from functools import partial

from gyebo.config.elsewhere import task_meant
from gyebo.config.errors import nearest
from gyebo.data.json_rows import json_list
from gyebo.data.rows import any_rows, table
from gyebo.tasks.data import dialogues as dialogues
from gyebo.tasks.data import klue as klue
from gyebo.tasks.data import tables as tables
from gyebo.tasks.data import with_pictures as with_pictures
from gyebo.tasks.data import world as world
from gyebo.tasks.data.files import blocks, squad_json
from gyebo.tasks.data.parallel import SOURCE, TARGET, aligned
from gyebo.tasks.kinds.table import own_files
from gyebo.tasks.task import Columns, Hub, Pattern, Task


def _klue(official: str, plain: str, ending: str) -> dict[str, tuple[Pattern, ...]]:
    """KLUE's file names, with any version: klue-nli-v1.1_train.json, or nli_train.json."""
    return {
        split: (f"{official}-v1*_{split}.{ending}", f"{plain}_{split}.{ending}", f"{split}.{ending}")
        for split in ("train", "dev", "test")
    }


def _plain(stem: str, **official: tuple[Pattern, ...]) -> dict[str, tuple[Pattern, ...]]:
    """Official names first, then STEM_SPLIT.tsv and SPLIT.tsv."""
    return {split: (*names, f"{stem}_{split}.tsv", f"{split}.tsv") for split, names in official.items()}


_GLUE_FILES: dict[str, tuple[Pattern, ...]] = {split: (f"{split}.tsv",) for split in ("train", "dev", "test")}
_glue = partial(Task, files=_GLUE_FILES, rows=table, lr=2e-5, batch=32, epochs=3)
_NLI = ("entailment", "neutral", "contradiction")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="nsmc",
            title="Naver movie reviews: sentiment",
            kind="classification",
            labels=("negative", "positive"),
            metrics=("accuracy", "macro_f1"),
            score="accuracy",
            files={
                "train": ("ratings_train.txt", "nsmc_train.tsv", "train.tsv"),
                "test": ("ratings_test.txt", "nsmc_test.tsv", "test.tsv"),
            },
            folders=("nsmc*",),
            rows=table,
            convert=tables.NSMC,
            note="published figures are for the official files, which keep duplicate reviews in both splits",
        ),
        Task(
            name="klue-tc",
            title="KLUE topic classification of headlines (YNAT)",
            kind="classification",
            labels=klue.TOPICS,
            metrics=("macro_f1", "accuracy"),
            score="macro_f1",
            files=_klue("ynat", "tc", "json"),
            folders=("ynat*", "klue"),
            rows=json_list,
            convert=tables.KLUE_TC,
            hub=Hub("klue/klue", "ynat", {"train": "train", "dev": "validation"}),
            epochs=4,
        ),
        Task(
            name="klue-sts",
            title="KLUE similarity of sentences, 0 to 5",
            kind="regression",
            labels=None,
            metrics=("pearson", "similar_f1"),
            score="pearson",
            files=_klue("klue-sts", "sts", "json"),
            folders=("klue-sts*", "klue"),
            rows=json_list,
            convert=tables.KLUE_STS,
            hub=Hub("klue/klue", "sts", {"train": "train", "dev": "validation"}),
            epochs=4,
        ),
        Task(
            name="klue-nli",
            title="KLUE natural language inference",
            kind="classification",
            labels=_NLI,
            metrics=("accuracy",),
            score="accuracy",
            files=_klue("klue-nli", "nli", "json"),
            folders=("klue-nli*", "klue"),
            rows=json_list,
            convert=tables.KLUE_NLI,
            hub=Hub("klue/klue", "nli", {"train": "train", "dev": "validation"}),
            epochs=5,
        ),
        Task(
            name="klue-ner",
            title="KLUE named entities, a tag per character",
            kind="tagging",
            labels=klue.ENTITY_TAGS,
            metrics=("klue_entity_macro_f1", "klue_character_macro_f1"),
            score="klue_entity_macro_f1",
            files=_klue("klue-ner", "ner", "tsv"),
            folders=("klue-ner*", "klue"),
            rows=blocks,
            convert=klue.entities,
            hub=Hub("klue/klue", "ner", {"train": "train", "dev": "validation"}),
            max_length=510,
        ),
        Task(
            name="klue-re",
            title="KLUE relations of two entities",
            kind="classification",
            columns=(("subject", "subject"), ("object", "object"), ("text", "sentence")),
            labels=klue.RELATIONS,
            metrics=("relation_micro_f1", "relation_auprc"),
            score="relation_micro_f1",
            files=_klue("klue-re", "re", "json"),
            folders=("klue-re*", "klue"),
            rows=json_list,
            convert=klue.relations,
            hub=Hub("klue/klue", "re", {"train": "train", "dev": "validation"}),
            max_length=256,
            entity_markers=True,
        ),
        Task(
            name="klue-dp",
            title="KLUE dependencies of words",
            kind="dependency",
            labels=klue.DEPENDENCIES,
            metrics=("uas_macro_f1", "las_macro_f1"),
            score="las_macro_f1",
            files=_klue("klue-dp", "dp", "tsv"),
            folders=("klue-dp*", "klue"),
            rows=blocks,
            convert=klue.dependencies,
            hub=Hub("klue/klue", "dp", {"train": "train", "dev": "validation"}),
            max_length=256,
            epochs=10,
        ),
        Task(
            name="klue-mrc",
            title="KLUE questions with an answer in the text, or none",
            kind="spans",
            labels=None,
            metrics=("klue_exact_match", "klue_rouge_w"),
            score="klue_rouge_w",
            files=_klue("klue-mrc", "mrc", "json"),
            folders=("klue-mrc*", "klue"),
            rows=squad_json,
            convert=klue.questions,
            hub=Hub("klue/klue", "mrc", {"train": "train", "dev": "validation"}),
            max_length=510,
            lr=3e-5,
            batch=16,
            epochs=5,
        ),
        Task(
            name="klue-dst",
            title="KLUE states of a dialogue (Wizard of Seoul)",
            kind="dialogue-state",
            labels=None,
            metrics=("joint_goal_accuracy", "slot_f1"),
            score="joint_goal_accuracy",
            files=_klue("wos", "dst", "json"),
            folders=("wos*", "klue"),
            rows=json_list,
            convert=klue.dialogue_states,
            hub=Hub("klue/klue", "wos", {"train": "train", "dev": "validation"}),
            max_length=510,
            lr=3e-5,
            batch=16,
            epochs=5,
        ),
        _glue(
            name="glue-cola",
            title="GLUE CoLA: is the sentence acceptable?",
            kind="classification",
            prefix="cola",
            labels=("unacceptable", "acceptable"),
            metrics=("matthews",),
            score="matthews",
            folders=("CoLA*", "cola*"),
            rows=tables.cola_table,
            convert=tables.COLA,
            hub=Hub("nyu-mll/glue", "cola"),
            note="a constant prediction has Matthews 0",
        ),
        _glue(
            name="glue-sst2",
            title="GLUE SST-2: sentiment of phrases",
            kind="classification",
            prefix="sst2",
            labels=("negative", "positive"),
            metrics=("accuracy",),
            score="accuracy",
            folders=("SST*", "sst*"),
            convert=tables.SST2,
            hub=Hub("nyu-mll/glue", "sst2"),
        ),
        _glue(
            name="glue-mrpc",
            title="GLUE MRPC: paraphrase identification",
            kind="classification",
            prefix="mrpc",
            labels=("not_equivalent", "equivalent"),
            metrics=("positive_f1", "accuracy"),
            score="positive_f1",
            files={
                "train": ("train.tsv", "msr_paraphrase_train.txt"),
                "dev": ("dev.tsv",),
                "test": ("test.tsv", "msr_paraphrase_test.txt"),
            },
            folders=("MRPC*", "mrpc*"),
            convert=tables.MRPC,
            hub=Hub("nyu-mll/glue", "mrpc"),
            note="often fine-tuned from an MNLI model: state this with the result",
        ),
        _glue(
            name="glue-stsb",
            title="GLUE STS-B: similarity of sentences, 0 to 5",
            kind="regression",
            prefix="stsb",
            labels=None,
            metrics=("pearson", "spearman"),
            score="pearson",
            folders=("STS-B*", "sts*b*"),
            convert=tables.STSB,
            hub=Hub("nyu-mll/glue", "stsb", {"train": "train", "dev": "validation"}),  # its test scores are not published (-1)
            note="often fine-tuned from an MNLI model: state this with the result",
        ),
        _glue(
            name="glue-qqp",
            title="GLUE QQP: the same question?",
            kind="classification",
            prefix="qqp",
            labels=("not_duplicate", "duplicate"),
            metrics=("positive_f1", "accuracy"),
            score="positive_f1",
            folders=("QQP*", "qqp*"),
            convert=tables.QQP,
            hub=Hub("nyu-mll/glue", "qqp"),
        ),
        _glue(
            name="glue-mnli",
            title="GLUE MNLI: natural language inference; dev is matched, dev_mismatched other genres",
            kind="classification",
            prefix="mnli",
            columns=(("pair", "hypothesis"), ("text", "premise")),  # in this order, as T5 learned it
            labels=_NLI,
            metrics=("accuracy",),
            score="accuracy",
            files={
                "train": ("train.tsv",),
                "dev": ("dev_matched.tsv",),
                "dev_mismatched": ("dev_mismatched.tsv",),
                "test": ("test_matched.tsv",),
                "test_mismatched": ("test_mismatched.tsv",),
            },
            folders=("MNLI*", "mnli*"),
            convert=tables.MNLI,
            hub=Hub(
                "nyu-mll/glue",
                "mnli",
                {
                    "train": "train",
                    "dev": "validation_matched",
                    "dev_mismatched": "validation_mismatched",
                    "test": "test_matched",
                    "test_mismatched": "test_mismatched",
                },
            ),
        ),
        _glue(
            name="glue-qnli",
            title="GLUE QNLI: does the sentence answer the question?",
            kind="classification",
            prefix="qnli",
            labels=("entailment", "not_entailment"),
            metrics=("accuracy",),
            score="accuracy",
            folders=("QNLI*", "qnli*"),
            convert=tables.QNLI,
            hub=Hub("nyu-mll/glue", "qnli"),
            note="there are two versions of QNLI with different splits; their figures are not comparable",
        ),
        _glue(
            name="glue-rte",
            title="GLUE RTE: does the first text entail the second?",
            kind="classification",
            prefix="rte",
            labels=("entailment", "not_entailment"),
            metrics=("accuracy",),
            score="accuracy",
            folders=("RTE*", "rte*"),
            convert=tables.RTE,
            hub=Hub("nyu-mll/glue", "rte"),
            note="often fine-tuned from an MNLI model: state this with the result",
        ),
        _glue(
            name="glue-wnli",
            title="GLUE WNLI: what does the pronoun refer to?",
            kind="classification",
            prefix="wnli",
            labels=("not_entailment", "entailment"),
            metrics=("accuracy",),
            score="accuracy",
            folders=("WNLI*", "wnli*"),
            convert=tables.WNLI,
            hub=Hub("nyu-mll/glue", "wnli"),
            note="dev contradicts train on purpose: below chance (majority 56.3 %) is normal; many averages exclude it",
        ),
        Task(
            name="korsts",
            title="KorSTS: similarity of sentences, 0 to 5",
            kind="regression",
            labels=None,
            metrics=("spearman", "pearson"),
            score="spearman",
            files=_plain("korsts", train=("sts-train.tsv",), dev=("sts-dev.tsv",), test=("sts-test.tsv",)),
            folders=("KorSTS*", "korsts*"),
            rows=table,
            convert=tables.KORSTS,
        ),
        Task(
            name="kornli",
            title="KorNLI: natural language inference",
            kind="classification",
            labels=_NLI,
            metrics=("accuracy",),
            score="accuracy",
            files=_plain(
                "kornli",
                train=(("multinli.train.ko.tsv", "snli_1.0_train.ko.tsv"), "multinli.train.ko.tsv", "snli_1.0_train.ko.tsv"),
                dev=("xnli.dev.ko.tsv",),
                test=("xnli.test.ko.tsv",),
            ),
            folders=("KorNLI*", "kornli*"),
            rows=table,
            convert=tables.KORNLI,
        ),
        Task(
            name="question-pair",
            title="Korean question pairs: the same question?",
            kind="classification",
            labels=("same", "different"),
            metrics=("accuracy", "macro_f1"),
            score="accuracy",
            files=_plain("question_pair", train=("kor_pair_train.csv",), dev=("valid.tsv",), test=("kor_pair_test.csv",)),
            folders=("question_pair*", "Question_pair*"),
            rows=table,
            convert=tables.QUESTION_PAIR,
            note="in the files 0 means the same question, 1 a different one",
        ),
        Task(
            name="hate-speech",
            title="Korean toxic comments (BEEP!): none, offensive, hate",
            kind="classification",
            labels=("none", "offensive", "hate"),
            metrics=("macro_f1", "accuracy"),
            score="macro_f1",
            files=_plain("hate_speech", train=(), dev=()),
            folders=("labeled", "hate_speech*"),
            rows=table,
            convert=tables.HATE_SPEECH,
        ),
        *(
            Task(
                name=f"multi30k-{source}-{target}",
                title=f"Multi30k: image captions, {names[source]} to {names[target]}",
                kind="translation",
                labels=None,
                metrics=("bleu", "bleu_tokenized", "chrf"),
                score="bleu",
                files={
                    split: tuple(
                        (f"{stem}{form}.{source}{ending}", f"{stem}{form}.{target}{ending}")
                        for form, ending in (("", ""), ("", ".txt"), (".lc.norm.tok", ""))
                    )
                    for split, stem in (("train", "train"), ("dev", "val"), ("test", "test_2016_flickr"))
                },
                folders=("multi30k*",),
                aligned_rows=aligned,
                convert=Columns((SOURCE, source), label=(TARGET, target), target=True),
                rows=any_rows,
                languages=(source, target),
                prefix="",
                epochs=30,
                note="for lower-cased, tokenised files (tok/) the literature reports bleu_tokenized, for others bleu",
            )
            for names in ({"en": "English", "de": "German", "fr": "French"},)
            for source, target in (("en", "de"), ("de", "en"), ("en", "fr"), ("fr", "en"))
        ),
        *world.TASKS,
        *with_pictures.TASKS,
        dialogues.CHATBOT,
        dialogues.WORLD,
    )
}


def find(name: str) -> Task:
    """The registered task of that name; ValueError with the nearest names, kinds of task on an own file among them,
    otherwise."""
    if name in TASKS:
        return TASKS[name]
    meant = task_meant(name)
    hint = f"; did you mean {meant}, on your own file?" if meant else nearest(name, (*TASKS, *own_files()))
    own = ", ".join(own_files())
    raise ValueError(f"unknown task {name!r}{hint or '.'} Available: {', '.join(TASKS)}; on your own file: {own}")

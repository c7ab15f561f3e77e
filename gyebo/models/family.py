"""The family tree as a table, without torch: what `gyebo families`, the picture of the tree and every job look up.

Adding a family: its file beside this one, a line here, its table of names in `gyebo/interchange/families`, its tests, its page.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

HEAD, TEXT = "head", "text"
"""How a family answers a task: with a head on its body, or with text that it generates."""


@dataclass(frozen=True)
class Family:
    """One member of the tree.

    `parents`: the families whose blocks its file may import. `objective`: the name in `gyebo/objectives/table.py`. `cls`:
    "module:Class". `sizes`: published and own sizes with their exact parameter counts at the default vocabulary, tied tensors
    once. `tokens`: role -> token string (two roles with one string share an id); none: it reads no text. `head_style`: what a
    classification head is made of, a name of `gyebo/tasks/heads/styles.py`; "": there is none. `answers`: how it answers a
    task, HEAD, TEXT or both, what is usual for it first; () where it learns none. `single`, `pair`: templates over roles and
    $A, $B. `padding_side`: where its tokenizer pads in `transformers`. `published`: options of the objective in which the
    family differs from the objective's own defaults. `tuning`: options of a fine-tuning, likewise. `prefixes`: what it reads
    begins with the name of the task, as it answers many. `student`: the family that learns from it as a teacher; None where
    none does. `in_transformers`: its directories open there; else they are gyebo's own, with `model_type` "gyebo-NAME".
    """

    name: str
    title: str
    year: int
    paper: str
    parents: tuple[str, ...]
    objective: str
    cls: str
    sizes: dict[str, int]
    tokens: dict[str, str]
    head_style: str
    answers: tuple[str, ...] = (HEAD,)
    single: tuple[str, ...] = ("$A",)
    pair: tuple[str, ...] = ("$A", "$B")
    model_inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    padding_side: str = "right"
    novelty: str = ""
    published: dict[str, Any] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    student: str | None = None
    prefixes: bool = False
    in_transformers: bool = True

    def __post_init__(self) -> None:
        if (
            (HEAD in self.answers) != bool(self.head_style)
            or not {HEAD, TEXT} >= {*self.answers}
            or (self.answers and not self.reads_text)
        ):
            raise ValueError(f"{self.name}: answers = {self.answers} does not fit head_style = {self.head_style!r}")

    @property
    def reads_text(self) -> bool:
        """Whether it has a tokenizer; a family without one sees pictures alone."""
        return bool(self.tokens)

    @property
    def templates_for_tasks(self) -> bool:
        """Whether its templates are of fine-tuning alone: it is pretrained on plain text, and a published tokenizer of it puts
        nothing around texts."""
        return self.head_style == "last"


_END = "<|endoftext|>"
_BRACKETS = {"pad": "[PAD]", "unk": "[UNK]", "bos": "[CLS]", "cls": "[CLS]", "eos": "[SEP]", "sep": "[SEP]", "mask": "[MASK]"}
_ANGLES = {"pad": "<pad>", "bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_PLAIN = {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"}

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="rnn",
            title="RNN",
            year=1990,
            paper="Elman 1990, Finding Structure in Time",
            parents=(),
            objective="causal",
            cls="gyebo.models.rnn:Rnn",
            sizes={"tiny": 282_880, "mini": 4_375_168, "small": 20_598_400, "medium": 14_702_600},
            tokens=_PLAIN,
            head_style="last",
            answers=(HEAD, TEXT),
            pair=("$A", "eos", "$B"),
            novelty="a hidden state that is carried from word to word",
            in_transformers=False,
        ),
        Family(
            name="lstm",
            title="LSTM",
            year=1997,
            paper="Hochreiter & Schmidhuber 1997, Long Short-Term Memory",
            parents=("rnn",),
            objective="causal",
            cls="gyebo.models.rnn:Lstm",
            sizes={"tiny": 332_800, "mini": 5_164_672, "small": 33_193_600, "medium": 19_780_400},
            tokens=_PLAIN,
            head_style="last",
            answers=(HEAD, TEXT),
            pair=("$A", "eos", "$B"),
            novelty="a memory cell with gates: gradients vanish less",
            in_transformers=False,
        ),
        Family(
            name="gru",
            title="GRU",
            year=2014,
            paper="Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder",
            parents=("lstm",),
            objective="causal",
            cls="gyebo.models.rnn:Gru",
            sizes={"tiny": 316_160, "mini": 4_901_504, "small": 28_995_200, "medium": 18_087_800},
            tokens=_PLAIN,
            head_style="last",
            answers=(HEAD, TEXT),
            pair=("$A", "eos", "$B"),
            novelty="one gated state instead of two: three matrices for four",
            in_transformers=False,
        ),
        Family(
            name="seq2seq",
            title="Seq2seq",
            year=2014,
            paper=(
                "Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks; Bahdanau et al. 2014; "
                "Luong et al. 2015"
            ),
            parents=("gru",),
            objective="translation",
            cls="gyebo.models.seq2seq:Seq2seq",
            sizes={
                "tiny": 415_104,
                "mini": 2_535_120,
                "small": 28_945_536,
                "rnnsearch": 61_851_000,
                "sutskever": 224_144_000,
            },
            tokens=_PLAIN,
            head_style="",
            answers=(TEXT,),
            single=("$A", "eos"),
            pair=("$A", "eos", "$B", "eos"),
            novelty="an encoder and a decoder; then attention to every source word",
            in_transformers=False,
        ),
        Family(
            name="dan",
            title="DAN",
            year=2015,
            paper="Iyyer et al. 2015, Deep Unordered Composition Rivals Syntactic Methods for Text Classification",
            parents=(),
            objective="causal",
            cls="gyebo.models.dan:Dan",
            sizes={"tiny": 274_560, "mini": 4_309_376, "small": 8_995_968, "paper": 5_086_900},
            tokens=_PLAIN,
            head_style="last",
            pair=("$A", "eos", "$B"),
            novelty="the mean of word vectors and a feed-forward network: no order at all",
            in_transformers=False,
        ),
        Family(
            name="transformer",
            title="Transformer",
            year=2017,
            paper="Vaswani et al. 2017, Attention Is All You Need",
            parents=("seq2seq",),
            objective="translation",
            cls="gyebo.models.transformer:Transformer",
            sizes={
                "tiny": 429_568,
                "mini": 2_605_056,
                "small": 15_155_200,
                "base": 63_045_632,
                "big": 214_171_648,
            },
            tokens=_PLAIN,
            head_style="",
            answers=(TEXT,),
            single=("$A", "eos"),
            pair=("$A", "eos", "$B", "eos"),
            novelty="no recurrence: attention between all words at once",
        ),
        Family(
            name="ulmfit",
            title="ULMFiT",
            year=2018,
            paper="Howard & Ruder 2018, Universal Language Model Fine-tuning for Text Classification",
            parents=("lstm",),
            objective="causal",
            cls="gyebo.models.ulmfit:Ulmfit",
            sizes={
                "tiny": 444_416,
                "mini": 6_938_240,
                "small": 26_627_600,
                "ptb": 24_221_600,
                "wikitext-2": 33_556_078,
                "paper": 32_242_402,
                "fastai": 44_333_280,
            },
            tokens=_PLAIN,
            head_style="concat",
            pair=("$A", "eos", "$B"),
            novelty="a pretrained LSTM, adapted to the domain, then fine-tuned by gradual unfreezing",
            published={"ar": 2.0, "tar": 1.0},
            tuning={
                "dropout": 0.4,
                "optim": {
                    "lr": 0.01,
                    "betas": (0.7, 0.99),
                    "schedule": "slanted-triangular",
                    "warmup": 0.1,
                    "final_lr": 1 / 32,
                    "layer_decay": 1 / 2.6,
                    "unfreeze": 0.5,
                },
            },
            in_transformers=False,
        ),
        Family(
            name="elmo",
            title="ELMo",
            year=2018,
            paper="Peters et al. 2018, Deep contextualized word representations",
            parents=("lstm",),
            objective="bidirectional",
            cls="gyebo.models.elmo:Elmo",
            sizes={"tiny": 227_776, "mini": 4_748_640, "small": 27_583_712, "published": 500_651_487},
            tokens=_PLAIN,
            head_style="mix",
            single=("bos", "$A", "eos"),
            pair=("bos", "$A", "eos", "$B", "eos"),
            novelty="a word's vector depends on its sentence: layers of two language models, mixed for each task",
            in_transformers=False,
        ),
        Family(
            name="gpt",
            title="GPT",
            year=2018,
            paper="Radford et al. 2018, Improving Language Understanding by Generative Pre-Training",
            parents=("transformer",),
            objective="causal",
            cls="gyebo.models.gpt:Gpt",
            sizes={"tiny": 370_304, "mini": 7_320_576, "small": 33_673_216, "base": 116_534_784},
            tokens=_PLAIN,
            head_style="last",
            answers=(HEAD, TEXT),
            pair=("$A", "eos", "$B"),
            novelty="a Transformer decoder, pretrained on plain text, then adapted to every task",
        ),
        Family(
            name="gpt2",
            title="GPT-2",
            year=2019,
            paper="Radford et al. 2019, Language Models are Unsupervised Multitask Learners",
            parents=("gpt",),
            objective="causal",
            cls="gyebo.models.gpt2:Gpt2",
            sizes={
                "tiny": 370_432,
                "mini": 7_321_088,
                "small": 33_674_240,
                "base": 124_439_808,
                "medium": 354_823_168,
                "large": 774_030_080,
                "xl": 1_557_611_200,
            },
            tokens={"pad": "<|pad|>", "bos": _END, "eos": _END, "unk": "<|unk|>"},
            head_style="last",
            answers=(HEAD, TEXT),
            pair=("$A", "eos", "$B"),
            novelty="pre-norm, byte-level BPE, larger: tasks without fine-tuning",
        ),
        Family(
            name="bert",
            title="BERT",
            year=2018,
            paper="Devlin et al. 2018, BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
            parents=("gpt",),
            objective="masked",
            cls="gyebo.models.bert:Bert",
            sizes={
                "tiny": 383_234,
                "mini": 7_470_210,
                "small": 34_218_626,
                "medium": 41_668_412,
                "base": 110_106_428,
                "base-cased": 108_932_934,
                "large": 336_226_108,
            },
            tokens=_BRACKETS,
            head_style="pooled",
            single=("cls", "$A", "sep"),
            pair=("cls", "$A", "sep", "$B:1", "sep:1"),
            model_inputs=("input_ids", "token_type_ids", "attention_mask"),
            novelty="bidirectional: predicts masked tokens, and whether a segment follows another",
            student="distilbert",
        ),
        Family(
            name="roberta",
            title="RoBERTa",
            year=2019,
            paper="Liu et al. 2019, RoBERTa: A Robustly Optimized BERT Pretraining Approach",
            parents=("bert",),
            objective="masked",
            cls="gyebo.models.roberta:Roberta",
            sizes={"tiny": 379_008, "mini": 7_404_160, "small": 33_955_456, "base": 124_697_433, "large": 355_412_057},
            tokens=_ANGLES,
            head_style="dense",
            single=("cls", "$A", "sep"),
            pair=("cls", "$A", "sep", "sep", "$B", "sep"),
            novelty="BERT trained longer on more text, with dynamic masking, without next-sentence prediction",
            published={"format": "full-sentences"},
            student="roberta",
        ),
        Family(
            name="distilbert",
            title="DistilBERT",
            year=2019,
            paper="Sanh et al. 2019, DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter",
            parents=("bert",),
            objective="masked",
            cls="gyebo.models.distilbert:Distilbert",
            sizes={"tiny": 378_816, "mini": 7_403_392, "small": 33_953_920, "base": 66_985_530},
            tokens=_BRACKETS,
            head_style="pre-classifier",
            single=("cls", "$A", "sep"),
            pair=("cls", "$A", "sep", "$B:1", "sep:1"),
            novelty="half of BERT's layers, trained by knowledge distillation",
            student="distilbert",
        ),
        Family(
            name="transformer_xl",
            title="Transformer-XL",
            year=2019,
            paper="Dai et al. 2019, Transformer-XL: Attentive Language Models beyond a Fixed-Length Context",
            parents=("transformer",),
            objective="causal",
            cls="gyebo.models.transformer_xl:TransformerXl",
            sizes={
                "tiny": 340_992,
                "mini": 7_529_600,
                "small": 35_508_864,
                "wt103-base": 151_107_538,
                "wt103-large": 285_170_506,
                "enwik8-base": 41_055_436,
                "enwik8-large": 277_231_820,
            },
            tokens=_PLAIN,
            head_style="last",
            answers=(HEAD, TEXT),
            pair=("$A", "eos", "$B"),
            novelty="a memory of the segments before, and relative positions",
            in_transformers=False,
        ),
        Family(
            name="xlnet",
            title="XLNet",
            year=2019,
            paper="Yang et al. 2019, XLNet: Generalized Autoregressive Pretraining for Language Understanding",
            parents=("transformer_xl", "bert"),
            objective="permutation",
            cls="gyebo.models.xlnet:Xlnet",
            sizes={"tiny": 374_592, "mini": 7_534_464, "small": 35_528_832, "base": 116_750_336, "large": 360_300_800},
            tokens={"pad": "<pad>", "unk": "<unk>", "cls": "<cls>", "sep": "<sep>", "mask": "<mask>"},
            head_style="summary",
            single=("$A", "sep", "cls:2"),
            pair=("$A", "sep", "$B:1", "sep:1", "cls:2"),
            model_inputs=("input_ids", "token_type_ids", "attention_mask"),
            padding_side="left",
            novelty="predicts in a random order: both sides, and no mask token in the input",
        ),
        Family(
            name="bart",
            title="BART",
            year=2020,
            paper=(
                "Lewis et al. 2020, BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation, "
                "Translation, and Comprehension"
            ),
            parents=("transformer", "bert"),
            objective="denoising",
            cls="gyebo.models.bart:Bart",
            sizes={"tiny": 395_776, "mini": 7_915_520, "small": 38_146_048, "base": 139_420_416, "large": 406_291_456},
            tokens=_ANGLES,
            head_style="last-dense",
            answers=(HEAD, TEXT),
            single=("bos", "$A", "eos"),
            pair=("bos", "$A", "eos", "eos", "$B", "eos"),
            novelty="encoder and decoder, pretrained to restore text from many kinds of noise",
        ),
        Family(
            name="bart_decoder",
            title="BART decoder",
            year=2020,
            paper=(
                "Lewis et al. 2020, BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation, "
                "Translation, and Comprehension"
            ),
            parents=("bart", "gpt"),
            objective="causal",
            cls="gyebo.models.bart_decoder:BartDecoder",
            sizes={"tiny": 370_560, "mini": 7_321_600, "small": 33_675_264, "base": 81_920_256, "large": 203_678_720},
            tokens=_ANGLES,
            head_style="last",
            answers=(HEAD, TEXT),
            pair=("$A", "eos", "$B"),
            novelty="the language model that BART is compared with: its decoder without a source",
        ),
        Family(
            name="t5",
            title="T5",
            year=2019,
            paper="Raffel et al. 2020, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
            parents=("transformer",),
            objective="span-corruption",
            cls="gyebo.models.t5:T5",
            sizes={
                "tiny": 492_416,
                "mini": 11_441_920,
                "small": 60_506_624,
                "base": 222_903_552,
                "large": 737_668_096,
                "3b": 2_851_598_336,
                "11b": 11_307_321_344,
                "v1.1-small": 76_961_152,
                "v1.1-base": 247_577_856,
                "mt5-small": 300_176_768,
                "mt5-base": 582_401_280,
            },
            tokens={"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
            head_style="last-dense",
            answers=(TEXT, HEAD),
            single=("$A", "eos"),
            pair=("$A", "eos", "$B", "eos"),
            prefixes=True,
            novelty="every task as text to text; several spans are taken out of a text at once and restored at once",
        ),
        Family(
            name="meena",
            title="Meena",
            year=2020,
            paper="Adiwardana et al. 2020, Towards a Human-like Open-Domain Chatbot; So et al. 2019, The Evolved Transformer",
            parents=("transformer",),
            objective="translation",
            cls="gyebo.models.meena:Meena",
            sizes={"tiny": 475_296, "mini": 7_406_208, "small": 36_372_224, "published": 2_592_236_800},
            tokens=_PLAIN,
            head_style="",
            answers=(TEXT,),
            single=("$A", "eos"),
            pair=("$A", "eos", "$B", "eos"),
            novelty="a chatbot of one network, with convolutions between its attentions",
            in_transformers=False,
        ),
        Family(
            name="lxmert",
            title="LXMERT",
            year=2019,
            paper="Tan & Bansal 2019, LXMERT: Learning Cross-Modality Encoder Representations from Transformers",
            parents=("bert",),
            objective="cross-modality",
            cls="gyebo.models.lxmert:Lxmert",
            sizes={"tiny": 675_150, "mini": 12_487_886, "small": 57_641_166, "base": 228_051_752},
            tokens=_BRACKETS,
            head_style="pooled",
            single=("cls", "$A", "sep"),
            pair=("cls", "$A", "sep", "$B:1", "sep:1"),
            model_inputs=("input_ids", "token_type_ids", "attention_mask"),
            novelty="words and the regions of a picture in one encoder: what is masked on one side is seen on the other",
        ),
        Family(
            name="vilbert",
            title="ViLBERT",
            year=2019,
            paper=(
                "Lu et al. 2019, ViLBERT: Pretraining Task-Agnostic Visiolinguistic Representations for Vision-and-Language "
                "Tasks"
            ),
            parents=("bert",),
            objective="alignment",
            cls="gyebo.models.vilbert:Vilbert",
            sizes={
                "tiny": 535_046,
                "mini": 10_832_902,
                "small": 59_992_326,
                "tiny-one": 534_566,
                "mini-one": 10_829_190,
                "small-one": 59_977_734,
                "base": 239_023_229,
            },
            tokens=_BRACKETS,
            head_style="dense",
            single=("cls", "$A", "sep"),
            pair=("cls", "$A", "sep", "$B:1", "sep:1"),
            model_inputs=("input_ids", "token_type_ids", "attention_mask"),
            novelty="a stream for words and one for regions, which look at each other by co-attention",
            in_transformers=False,
        ),
        Family(
            name="vqvae",
            title="VQ-VAE",
            year=2017,
            paper="van den Oord et al. 2017, Neural Discrete Representation Learning",
            parents=(),
            objective="vector-quantisation",
            cls="gyebo.models.vqvae:Vqvae",
            sizes={"tiny": 199_139, "mini": 947_523, "small": 4_910_147, "published": 4_910_147},
            tokens={},
            head_style="",
            answers=(),
            novelty="a picture as a grid of words: at each place the nearest code of a codebook",
            in_transformers=False,
        ),
        Family(
            name="dvae",
            title="dVAE",
            year=2021,
            paper="Ramesh et al. 2021, Zero-Shot Text-to-Image Generation",
            parents=("vqvae",),
            objective="discrete-vae",
            cls="gyebo.models.dvae:Dvae",
            sizes={"tiny": 55_710, "mini": 422_470, "small": 1_674_886, "published": 97_616_006},
            tokens={},
            head_style="",
            answers=(),
            novelty="the picture words of DALL-E: a distribution over codes, relaxed in training",
            in_transformers=False,
        ),
        Family(
            name="clip",
            title="CLIP",
            year=2021,
            paper="Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision",
            parents=("gpt2",),
            objective="contrastive",
            cls="gyebo.models.clip:Clip",
            sizes={
                "tiny": 489_217,
                "mini": 8_511_489,
                "small": 59_355_137,
                "base-32": 151_277_313,
                "base-16": 149_620_737,
                "large-14": 427_616_513,
            },
            tokens={"pad": "<|pad|>", "bos": "<|startoftext|>", "sep": "<|endoftext|>", "unk": "<|unk|>"},
            head_style="",
            answers=(),
            single=("bos", "$A", "sep"),
            pair=("bos", "$A", "$B", "sep"),
            novelty="texts and pictures in one space: each text finds its picture, each picture its text",
        ),
        Family(
            name="dalle",
            title="DALL-E",
            year=2021,
            paper="Ramesh et al. 2021, Zero-Shot Text-to-Image Generation",
            parents=("gpt2",),
            objective="text-to-image",
            cls="gyebo.models.dalle:Dalle",
            sizes={
                "tiny": 475_584,
                "mini": 6_881_536,
                "small": 33_756_672,
                "korean": 104_372_736,
                "published": 12_195_294_848,
            },
            tokens={"pad": "<pad>", "unk": "<unk>"},
            head_style="",
            answers=(),
            novelty="a picture is a sequence of codes: a decoder reads a text and writes them, with sparse attention",
            in_transformers=False,
        ),
    )
}


def find(name: str) -> Family:
    """The family of that name; ValueError with the nearest names otherwise."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}{nearest(name, FAMILIES)}")
    return FAMILIES[name]


def find_size(family: Family, size: str) -> str:
    """The size, checked; ValueError with the nearest names otherwise."""
    if size not in family.sizes:
        raise ValueError(f"unknown size {size!r} of {family.name}{nearest(size, family.sizes)}")
    return size


def nearest(name: str, known: Any) -> str:
    """The end of an error line: what might have been meant, and what there is."""
    close = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"{hint} There is: {', '.join(known)}"


def model_class(name: str) -> Any:
    """The model class of a family (imports torch)."""
    module, _, attribute = find(name).cls.partition(":")
    return getattr(import_module(module), attribute)

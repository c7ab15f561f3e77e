"""ViLBERT in float64, word for word and region for region, on a state dict with the names of the authors' code: a reference
that shares nothing with gyebo."""

from __future__ import annotations

import math

import numpy as np

CONFIG = {  # as the authors' JSON files have it
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 12,
    "initializer_range": 0.02,
    "intermediate_size": 10,
    "max_position_embeddings": 16,
    "num_attention_heads": 3,
    "num_hidden_layers": 4,
    "type_vocab_size": 2,
    "vocab_size": 41,
    "v_feature_size": 6,
    "v_target_size": 7,
    "v_hidden_size": 8,
    "v_num_hidden_layers": 3,
    "v_num_attention_heads": 2,
    "v_intermediate_size": 9,
    "bi_hidden_size": 15,
    "bi_num_attention_heads": 5,
    "bi_intermediate_size": 15,
    "bi_attention_type": 1,
    "v_attention_probs_dropout_prob": 0.1,
    "v_hidden_act": "gelu",
    "v_hidden_dropout_prob": 0.1,
    "v_initializer_range": 0.02,
    "v_biattention_id": [0, 1],
    "t_biattention_id": [2, 3],
    "pooling_method": "mul",
}


def random_weights(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Every tensor that the authors' pretraining model has, drawn at random."""
    random = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    d, f = config["hidden_size"], config["intermediate_size"]
    e, g, c = config["v_hidden_size"], config["v_intermediate_size"], config["bi_hidden_size"]

    def linear(name: str, inputs: int, outputs: int) -> None:
        found[f"{name}.weight"] = 0.4 * random.standard_normal((outputs, inputs))
        found[f"{name}.bias"] = 0.3 * random.standard_normal(outputs)

    def norm(name: str, width: int) -> None:
        found[f"{name}.weight"] = 1 + 0.3 * random.standard_normal(width)
        found[f"{name}.bias"] = 0.3 * random.standard_normal(width)

    def feed_forward(up: str, down: str, width: int, inner: int) -> None:
        linear(f"{up}.dense", width, inner)
        linear(f"{down}.dense", inner, width)
        norm(f"{down}.LayerNorm", width)

    def layer(name: str, width: int, inner: int) -> None:
        for part in ("query", "key", "value"):
            linear(f"{name}.attention.self.{part}", width, width)
        linear(f"{name}.attention.output.dense", width, width)
        norm(f"{name}.attention.output.LayerNorm", width)
        feed_forward(f"{name}.intermediate", f"{name}.output", width, inner)

    for name, rows in (("word", "vocab_size"), ("position", "max_position_embeddings"), ("token_type", "type_vocab_size")):
        found[f"bert.embeddings.{name}_embeddings.weight"] = random.standard_normal((config[rows], d))
    norm("bert.embeddings.LayerNorm", d)
    linear("bert.v_embeddings.image_embeddings", config["v_feature_size"], e)
    linear("bert.v_embeddings.image_location_embeddings", 5, e)
    norm("bert.v_embeddings.LayerNorm", e)
    for number in range(config["num_hidden_layers"]):
        layer(f"bert.encoder.layer.{number}", d, f)
    for number in range(config["v_num_hidden_layers"]):
        layer(f"bert.encoder.v_layer.{number}", e, g)
    for number in range(len(config["v_biattention_id"])):
        name = f"bert.encoder.c_layer.{number}"
        for side, width in (("1", e), ("2", d)):
            for part in ("query", "key", "value"):
                linear(f"{name}.biattention.{part}{side}", width, c)
            linear(f"{name}.biOutput.dense{side}", c, width)
            norm(f"{name}.biOutput.LayerNorm{side}", width)
            linear(f"{name}.biOutput.q_dense{side}", c, width)  # declared, never computed
        feed_forward(f"{name}.v_intermediate", f"{name}.v_output", e, g)
        feed_forward(f"{name}.t_intermediate", f"{name}.t_output", d, f)
    linear("bert.t_pooler.dense", d, c)
    linear("bert.v_pooler.dense", e, c)
    linear("cls.predictions.transform.dense", d, d)
    norm("cls.predictions.transform.LayerNorm", d)
    found["cls.predictions.bias"] = random.standard_normal(config["vocab_size"])
    found["cls.predictions.decoder.weight"] = found["bert.embeddings.word_embeddings.weight"]
    linear("cls.bi_seq_relationship", c, 2)
    linear("cls.imagePredictions.transform.dense", e, e)
    norm("cls.imagePredictions.transform.LayerNorm", e)
    linear("cls.imagePredictions.decoder", e, config["v_target_size"])
    return found


ACTIVATIONS = {
    "gelu": np.vectorize(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2)))),
    "relu": np.vectorize(lambda x: max(x, 0.0)),
    "swish": np.vectorize(lambda x: x / (1 + math.exp(-x))),
}


class Reference:
    """One text and one picture at a time."""

    def __init__(self, weights: dict[str, np.ndarray], config: dict):
        self.w, self.config = weights, config

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return self.w[f"{name}.weight"] * scaled + self.w[f"{name}.bias"]

    def attention(self, query: np.ndarray, key: np.ndarray, value: np.ndarray, heads: int) -> np.ndarray:
        """Each query looks at all keys, head by head."""
        width = query.shape[1] // heads
        out = np.zeros((len(query), query.shape[1]))
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(len(query)):
                scores = np.array([query[i, part] @ key[j, part] for j in range(len(key))]) / math.sqrt(width)
                weights = np.exp(scores - scores.max())
                out[i, part] = (weights / weights.sum()) @ value[:, part]
        return out

    def feed_forward(self, up: str, down: str, x: np.ndarray, act: str) -> np.ndarray:
        inner = ACTIVATIONS[act](self.linear(f"{up}.dense", x))
        return self.norm(f"{down}.LayerNorm", x + self.linear(f"{down}.dense", inner))

    def layer(self, name: str, x: np.ndarray, heads: int, act: str) -> np.ndarray:
        query, key, value = (self.linear(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value"))
        mixed = self.linear(f"{name}.attention.output.dense", self.attention(query, key, value, heads))
        x = self.norm(f"{name}.attention.output.LayerNorm", x + mixed)
        return self.feed_forward(f"{name}.intermediate", f"{name}.output", x, act)

    def connection(self, name: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Words x and regions y; side 1 of their names is that of the regions."""
        heads, c = self.config["bi_num_attention_heads"], self.config
        of_regions = {part: self.linear(f"{name}.biattention.{part}1", y) for part in ("query", "key", "value")}
        of_words = {part: self.linear(f"{name}.biattention.{part}2", x) for part in ("query", "key", "value")}
        seen = self.attention(of_words["query"], of_regions["key"], of_regions["value"], heads)
        read = self.attention(of_regions["query"], of_words["key"], of_words["value"], heads)
        y = self.norm(f"{name}.biOutput.LayerNorm1", y + self.linear(f"{name}.biOutput.dense1", read))
        x = self.norm(f"{name}.biOutput.LayerNorm2", x + self.linear(f"{name}.biOutput.dense2", seen))
        y = self.feed_forward(f"{name}.v_intermediate", f"{name}.v_output", y, c["v_hidden_act"])
        x = self.feed_forward(f"{name}.t_intermediate", f"{name}.t_output", x, c["hidden_act"])
        return x, y

    def encode(self, ids, kinds, features, boxes) -> tuple[np.ndarray, np.ndarray]:
        c, tables = self.config, [f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")]
        words = [sum(self.w[table][row] for table, row in zip(tables, (i, n, k))) for n, (i, k) in enumerate(zip(ids, kinds))]
        x = self.norm("bert.embeddings.LayerNorm", np.array(words))
        y = self.linear("bert.v_embeddings.image_embeddings", features)
        y = self.norm("bert.v_embeddings.LayerNorm", y + self.linear("bert.v_embeddings.image_location_embeddings", boxes))
        done = [0, 0]
        stops = [*zip(c["t_biattention_id"], c["v_biattention_id"]), (c["num_hidden_layers"], c["v_num_hidden_layers"])]
        for number, (text, image) in enumerate(stops):
            for n in range(done[0], text):
                x = self.layer(f"bert.encoder.layer.{n}", x, c["num_attention_heads"], c["hidden_act"])
            for n in range(done[1], image):
                y = self.layer(f"bert.encoder.v_layer.{n}", y, c["v_num_attention_heads"], c["v_hidden_act"])
            done = [text, image]
            if number < len(stops) - 1:
                x, y = self.connection(f"bert.encoder.c_layer.{number}", x, y)
        return x, y

    def __call__(self, ids, kinds, features, boxes) -> dict[str, np.ndarray]:
        x, y = self.encode(ids, kinds, features, boxes)
        text, image = (np.maximum(self.linear(f"bert.{n}_pooler.dense", z[0]), 0) for n, z in (("t", x), ("v", y)))
        pooled = text + image if self.config.get("fusion_method") == "sum" else text * image
        act = ACTIVATIONS[self.config["hidden_act"]]
        words = self.norm("cls.predictions.transform.LayerNorm", act(self.linear("cls.predictions.transform.dense", x)))
        transform = "cls.imagePredictions.transform"
        regions = self.norm(f"{transform}.LayerNorm", act(self.linear(f"{transform}.dense", y)))
        return {
            "words": words @ self.w["cls.predictions.decoder.weight"].T + self.w["cls.predictions.bias"],
            "regions": self.linear("cls.imagePredictions.decoder", regions),
            "alignment": self.linear("cls.bi_seq_relationship", pooled),
            "pooled": pooled,
        }

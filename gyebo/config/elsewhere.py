"""What options are called in other libraries (transformers, fairseq, scikit-learn), for the hint where one is typed."""

from __future__ import annotations

from collections.abc import Collection

# Our name -> others'. Of two that a command has, the upper one is meant.
_NAMES = {
    "out": "output output_dir output_file output_path outdir out_dir out_file save save_dir save_path result_path",
    "model": "model_name model_name_or_path model_path checkpoint checkpoint_path pretrained_model path name",
    "teacher": "model teacher_model teacher_name_or_path model_name_or_path",
    "start_from": "model_name_or_path init_from init_model from_pretrained restore_file warm_start checkpoint",
    "tokenizer": "tokenizer_name tokenizer_path vocab vocab_file dict",
    "resume": "resume_from_checkpoint resume_from continue continue_from reset_optimizer",
    "overwrite": "overwrite_output_dir force exist_ok",
    "steps": "max_steps num_steps n_steps train_steps num_train_steps max_update max_updates total_steps",
    "tokens": "max_tokens num_tokens total_tokens",
    "epochs": "num_train_epochs num_epochs n_epochs max_epoch max_epochs epoch max_iter",
    "minutes": "max_minutes time time_limit max_time",
    "lr": "learning_rate learning_rate_init peak_lr max_lr eta0",
    "batch_tokens": "batch_size per_device_train_batch_size train_batch_size bs batch max_tokens_per_batch",
    "batch": "batch_size per_device_train_batch_size train_batch_size bs max_sentences",
    "context": "context_length max_length max_seq_length max_seq_len max_len seq_length seq_len block_size n_ctx "
    "tokens_per_sample max_position_embeddings max_source_positions",
    "max_length": "context context_length max_seq_length max_seq_len max_len seq_length max_source_length",
    "max_new_tokens": "max_length max_tokens max_len max_len_b max_gen_len length num_tokens",
    "min_new_tokens": "min_length min_len",
    "beams": "num_beams beam beam_size n_beams",
    "greedy": "do_sample sampling argmax",
    "samples": "num_return_sequences num_samples n_samples nbest n n_best count",
    "count": "num_return_sequences num_samples n_samples samples candidates n num_images num_images_per_prompt",
    "temperature": "temp sampling_temperature",
    "top_k": "topk sampling_topk k num_predictions",
    "top_p": "topp sampling_topp nucleus",
    "guidance": "guidance_scale cfg cfg_scale",
    "no_repeat_ngram": "no_repeat_ngram_size",
    "length_penalty": "lenpen",
    "stop": "stop_strings stop_sequences eos",
    "prompt": "text texts inputs input input_text",
    "text": "text_column text_col text_column_name text_field sentence sentence1_key prompt x features column",
    "text_field": "text text_column text_col text_column_name column field content",
    "pair": "text_pair text2 sentence2 sentence2_key",
    "label": "label_column label_col label_column_name labels target target_column y source_label",
    "image": "image_column image_column_name picture",
    "data": "train train_file train_data data_dir data_path data_file dataset dataset_name corpus file input",
    "corpus": "data data_dir data_path data_file dataset dataset_name train train_file train_data input input_file text texts",
    "file": "data input input_file input_path test_file source text_file",
    "texts": "data file input input_file corpus text",
    "what": "corpus file dataset task",
    "task": "task_name task_type",
    "valid": "validation validation_file valid_file valid_data eval_file eval_data dev eval_dataset",
    "valid_share": "validation_split validation_split_percentage test_size eval_size holdout validation_fraction",
    "test": "test_file test_data eval_file eval_data validation_file test_dataset",
    "keep": "save_total_limit keep_last_epochs columns",
    "checkpoint_every": "save_steps save_interval save_interval_updates save_every checkpoint_steps",
    "seed": "random_state random_seed seeds manual_seed",
    "seeds": "random_state random_seed seed n_seeds",
    "patience": "early_stopping early_stopping_patience n_iter_no_change",
    "precision": "dtype torch_dtype fp16 bf16 half amp mixed_precision",
    "device": "gpu cuda use_cpu no_cuda cpu use_cuda",
    "compile": "torch_compile",
    "layer_decay": "layerwise_lr_decay llrd layer_lr_decay",
    "freeze": "freeze_layers freeze_encoder n_frozen",
    "layers": "num_layers num_hidden_layers n_layers n_layer student_layers",
    "normalize": "normalize_embeddings normalise norm",
    "pooling": "pooling_mode pool pooling_strategy",
    "verbose": "disable_tqdm quiet silent progress",
    "settings": "config config_kwargs overrides params",
}
# Those without a flag or a parameter, in settings: option -> (commands that have it, others' names).
_TRAINED = ("pretrain", "distill")
_TUNED = (*_TRAINED, "finetune")
_SETTINGS = {
    "optim.weight_decay": (_TUNED, "weight_decay wd"),
    "optim.warmup": (_TUNED, "warmup warmup_steps warmup_ratio warmup_updates num_warmup_steps"),
    "optim.schedule": (_TUNED, "lr_scheduler lr_scheduler_type scheduler schedule"),
    "optim.name": (_TUNED, "optim optimizer optimiser"),
    "optim.clip": (_TUNED, "max_grad_norm clip clip_norm gradient_clip_val grad_clip"),
    "optim.betas": (_TUNED, "betas adam_betas adam_beta1 adam_beta2"),
    "optim.eps": (_TUNED, "eps adam_eps adam_epsilon"),
    "train.micro_batch_tokens": (_TRAINED, "gradient_accumulation_steps grad_accum update_freq micro_batch micro_batch_size"),
    "micro_batch": (("finetune",), "gradient_accumulation_steps grad_accum update_freq micro_batch_size"),
    "train.evaluate_every": (_TRAINED, "eval_steps eval_every evaluate_every eval_interval validate_interval logging_steps"),
    "evaluations": (("finetune",), "eval_steps eval_strategy evaluation_strategy eval_every"),
    "dropout": (("finetune",), "dropout classifier_dropout"),
    "model.width": (("pretrain",), "width hidden_size d_model n_embd embed_dim hidden_dim dim"),
    "model.layers": (("pretrain",), "layers num_layers num_hidden_layers n_layers n_layer encoder_layers"),
    "model.heads": (("pretrain",), "heads num_heads num_attention_heads n_heads n_head nhead"),
    "objective.rate": (("pretrain",), "mlm_probability mask_prob mask_rate mlm_prob"),
}


# Kinds of task on a file of one's own.
_TASKS = {
    "classification": "text-classification sequence-classification sentiment sentiment-analysis topic-classification",
    "pair": "nli text-pair sentence-pair paraphrase entailment",
    "regression": "sts similarity text-similarity sentence-similarity",
    "tagging": "ner token-classification pos pos-tagging sequence-tagging sequence-labeling named-entity-recognition",
    "spans": "qa question-answering extractive-qa squad mrc reading-comprehension",
    "choice": "multiple-choice swag",
    "translation": "mt translate text2text-generation seq2seq",
    "summary": "summarization summarisation summarize",
    "dialogue": "chat dialog conversation conversational sft",
    "visual-classification": "vqa visual-question-answering image-classification",
}


# Names in the module `gyebo`.
_VERBS = {
    "distil": "distill distillation",
    "pretrain": "train fit pretraining",
    "finetune": "fine_tune tune",
    "load": "from_pretrained load_model load_tokenizer open AutoModel AutoModelForCausalLM",
    "save": "save_pretrained save_model",
    "Tokenizer": "AutoTokenizer PreTrainedTokenizer",
    "predict": "classify inference pipeline",
    "embed": "encode embeddings",
    "fill": "fill_mask unmask",
}


def verb_meant(name: str) -> str:
    """The verb or class of the module `gyebo` that has this name elsewhere, "" where none has."""
    return next((ours for ours, names in _VERBS.items() if name in names.split()), "")


def task_meant(name: str) -> str:
    """The kind of task that has this name elsewhere, "" where none has."""
    name = name.replace("_", "-").casefold()
    return next((ours for ours, names in _TASKS.items() if name in names.split()), "")


def meant(name: str, own: Collection[str], command: str) -> str:
    """The option of a command, whose parameters are `own`, that has this name elsewhere, one without a flag as
    settings.optim.clip. "" where there is none."""
    name = name.replace("-", "_").casefold()
    if found := next((ours for ours, names in _NAMES.items() if ours in own and name in names.split()), ""):
        return found
    settings = ((ours, names) for ours, (commands, names) in _SETTINGS.items() if command in commands and "settings" in own)
    return next((f"settings.{ours}" for ours, names in settings if name in names.split()), "")

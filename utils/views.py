"""What a notebook shows: HTML and the same as text, a widget and what stands for it."""

import json
from types import ModuleType
from typing import Any


class Html:
    """A view in HTML, and the same as plain text: a notebook draws one, a terminal the other."""

    def __init__(self, code: str, text: str):
        self.code, self.text = code, text

    def _repr_html_(self) -> str:
        return self.code

    def __repr__(self) -> str:
        return self.text


class Live:
    """A widget over what it shows at the start, which pages without a kernel show in its place.

    Args:
        start: a view in HTML, or a plotly figure.
        box: the widget.
    """

    def __init__(self, start: Any, box: Any):
        self.start, self.box = start, box

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        if isinstance(self.start, Html):
            still = {"text/html": self.start.code, "text/plain": self.start.text}
        else:
            figure = json.loads(self.start.to_json())
            title = f"[figure: {self.start.layout.title.text}]"
            still = {"application/vnd.plotly.v1+json": figure, "text/plain": title}
        return {"application/vnd.jupyter.widget-view+json": view, **still}


def in_notebook() -> bool:
    """Whether what is displayed reaches a notebook."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None


def widgets() -> ModuleType | None:
    """ipywidgets (7 or 8), or None outside a notebook and where it is not installed."""
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets if in_notebook() else None


def show(view: Any) -> None:
    """Displays a view in a notebook, and prints it elsewhere."""
    if in_notebook():
        from IPython.display import display

        display(view)
    else:
        print(view)

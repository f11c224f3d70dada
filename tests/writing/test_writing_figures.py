"""Texts beside each other, and the controls over them."""

from utils.writing import figures

CONTROLS = {"concept": ["sea", "land"], "layer": (25, 1, 29, 1), "dose": (0.3, -1.0, 1.0, 0.05)}


def both_texts(concept, layer, dose, opening):
    return f"{opening} <plain>", f"{opening} {concept} {layer} {dose}"


def test_texts_side_by_side_without_a_front_end_are_those_at_the_start():
    shown = figures.side_by_side(both_texts, names=("plain", "steered"), **CONTROLS, opening="I")
    assert repr(shown) == "plain: I <plain>\nsteered: I sea 25 0.3"
    assert "I &lt;plain&gt;" in shown._repr_html_()


def test_in_a_notebook_texts_are_written_when_the_button_is_pressed(monkeypatch):
    import IPython
    import ipywidgets

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    box = figures.side_by_side(both_texts, names=("plain", "steered"), **CONTROLS, opening="I")
    concept, layer, dose, opening, button, out = box.box.children
    assert isinstance(layer, ipywidgets.IntSlider) and isinstance(dose, ipywidgets.FloatSlider)
    assert dose.min == -1 and "I sea 25 0.3" in out.value
    concept.value, opening.value = "land", "We"
    assert "I sea 25 0.3" in out.value
    button.click()
    assert "We land 25 0.3" in out.value and "We &lt;plain&gt;" in out.value


def test_a_spoke_takes_the_short_way_round_and_the_dial_works_without_a_front_end():
    fig = figures.polar(
        {"one": ([0.0, 350.0], [350.0, 10.0])}, title="t", names=["e", "n", "w", "s"]
    )
    first, second = (spoke.theta for spoke in fig.data)
    assert (first[0], first[-1]) == (0, -10) and (second[0], second[-1]) == (350, 370)
    shown = figures.dial(lambda *given: f"<{given}>", angle=30, dose=0.5, prompt="I")
    assert repr(shown) == "<(30, 0.5, 'I')>" and "&lt;(30" in shown._repr_html_()


def test_a_dumbbell_has_a_line_and_two_ends_for_each_row_of_a_panel():
    rows = {"layer 5": (0.4, 0.3), "layer 9": (0.5, 0.1)}
    fig = figures.dumbbells({"sea": rows, "land": rows}, title="t", names=("whole", "cut"))
    ends = [trace for trace in fig.data if trace.mode == "markers"]
    assert [trace.name for trace in ends] == ["whole", "cut"] * 2
    assert list(ends[1].x) == [0.3, 0.1] and list(ends[1].y) == list(rows)
    assert [trace.showlegend for trace in ends] == [True, True, False, False]

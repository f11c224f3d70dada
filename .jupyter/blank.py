"""nbconvert's settings for blanks: what a learner opens is a solved lesson without its answers."""

c = get_config()  # noqa: F821 (nbconvert provides it)
c.NotebookExporter.preprocessors = [
    "nbconvert.preprocessors.TagRemovePreprocessor",
    "utils.course.FoldSolutions",
    "nbgrader.preprocessors.ClearSolutions",
    "nbconvert.preprocessors.ClearOutputPreprocessor",
]
c.TagRemovePreprocessor.enabled = True
c.TagRemovePreprocessor.remove_cell_tags = {"solution-only"}
c.FoldSolutions.enabled = True
c.ClearSolutions.enforce_metadata = False
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError  # your code here"}
c.ClearOutputPreprocessor.enabled = True

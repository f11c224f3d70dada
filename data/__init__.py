"""The recipes of the small data and toy models, a folder each; README.md lists them."""

"""Small data and toy models, a folder each, with recipes and tasks; README.md lists them."""

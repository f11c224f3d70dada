"""Checks of lesson 1.2, how induction is made."""

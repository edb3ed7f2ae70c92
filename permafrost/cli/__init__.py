"""Thin commands and rendering."""

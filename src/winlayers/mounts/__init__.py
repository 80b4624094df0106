"""Showing a view to the operating system at a path.

This room refuses to know where the view comes from.
"""

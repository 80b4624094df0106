"""Layers on any OS: the exact tar in one pack file, and an index that answers for it.

This room refuses to know the other backends and the files that the driver keeps beside its own.
"""

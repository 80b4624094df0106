"""Registry hives: the files in which Windows keeps the registry, and in which a layer keeps its changes to it.

This folder refuses to know what a layer is, and which hives and keys mean something to Windows.
"""

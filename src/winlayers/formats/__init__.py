"""Bytes to values and back; each module follows one document.

This room does no I/O but on file objects handed in, and refuses to know what a layer is.
"""

"""The command line: arguments in, text and JSON out.

This room refuses to know private modules; it speaks the public API only.
"""

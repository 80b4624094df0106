"""Layers of Windows itself, made and mounted by the calls of its Host Compute Service.

Only here are foreign functions of Windows called. Every module can be imported on any system; the first call
on one that is not Windows raises ``WrongPlatform``, unless libraries that stand in for those of Windows were
given. This room refuses to know drivers, images and other backends.
"""

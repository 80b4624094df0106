"""What can be wrong with a layer, a module for each kind of thing; ``layer.check`` asks them in turn.

Each check is a function from a ``Subject`` (and one of its entries) to findings. This folder refuses to know
how a layer is kept, and how findings are counted and shown.
"""

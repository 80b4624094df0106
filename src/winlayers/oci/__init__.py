"""Images as documents: manifests, indexes, configs, names and platforms, and the files that hold them.

This room knows neither networks, nor stores, nor what is in a layer.
"""

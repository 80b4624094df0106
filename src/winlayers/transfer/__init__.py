"""Copies images from one endpoint to another, and chooses which image of an index that is.

This room knows endpoints by their contracts alone (``oci.endpoint``): no network, no archive, no store.
"""

"""The store of images: names, documents and compressed layers, over a driver that keeps the layers themselves.

This room knows neither networks nor other transports.
"""

"""What is known of a sealed layer beside its content, for every backend that keeps layers on disk.

An index answers for the layer's entries, a record tells what was imported, and staging folders hold what is
being made until it is whole. Where the content lies is the backend's.
"""

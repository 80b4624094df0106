"""The store as a snapshotter and a differ of containerd, over gRPC.

``server`` listens and maps errors; ``snapshots`` and ``diff`` answer; ``content`` asks containerd for blobs; ``messages``
knows the API by a descriptor set that is shipped as data.
"""

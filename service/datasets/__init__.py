"""Datasets of strangers: read as data within bounds, and written anew as the clean copy that a training sees.

Nothing in a dataset is executed, and nothing is downloaded. Every path must lie in one of the allowed roots.
"""

"""Datasets as strangers made them: read as data, within bounds, and written anew as the clean copy a training sees.

Nothing of a dataset is run or fetched here, and no path leaves the roots that are allowed.
"""

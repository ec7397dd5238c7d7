"""The log of all jobs on the disk: one file, one thread that writes it, and what is kept how long.

An event has its number, and is on the disk, before anybody is shown it. Knows nothing of HTTP or of processes.
"""

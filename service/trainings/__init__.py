"""What a training may be asked for with, and whether one can be taken now.

What is accepted here trains: all faults of a request are told at once, before there is a job.
"""

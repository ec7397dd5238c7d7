"""Worker processes: how they start, what they do and may, who watches them, how they end.

No worker outlives its service, and each attempt ends with one final event. Knows nothing of HTTP or of the log.
"""

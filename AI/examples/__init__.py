"""Runnable examples of the library, and the generated dataset they learn from."""

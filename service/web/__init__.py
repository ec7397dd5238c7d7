"""HTTP: who may call, how a request is read, answered and refused, and how events reach a connection.

Routes decide nothing themselves. Every refusal is problem+json, every answer to a GET can be asked for again.
"""

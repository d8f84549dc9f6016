"""Backtests: what a limit or a detector would have done with readings that are stored.

``proposal`` says what is to differ, ``machine`` judges a machine's readings anew with the flow's own stages,
``figures`` counts what came of it, ``history`` reads what is stored, ``work`` puts these together.
"""

"""Exports: what grows, as a file. Small ones are answered at once, large ones made by a worker and fetched later.

``known`` says what there is and what it may be, ``tables`` reads rows chunk by chunk, ``forms`` writes chunks as CSV,
XLSX, Parquet or NDJSON, ``making`` puts these together; ``requests`` keeps what is asked for, ``files`` the bytes.
"""

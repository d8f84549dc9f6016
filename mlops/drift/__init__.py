"""Whether the readings of a regime, or a model's figures, are no longer what they were.

``reference.freeze`` makes a reference out of windows, ``check.check`` holds a later window against it. Pure: numpy in,
numpy out.
"""

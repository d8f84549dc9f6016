"""Backups that leave the machine encrypted, and the way back to any instant of the last thirty days.

A *place* (a folder, or a bucket with a prefix) holds, below ``base/STAMP/``, the whole cluster, a logical dump, and the
files beside the database (models, attachments, configuration); below ``wal/``, what was written since, shipped within
seconds. Everything but the manifests is encrypted with age for a public key: who backs up cannot read what is there.
"""

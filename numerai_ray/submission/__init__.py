"""From a winner to a submission: refit on everything, a pickle that stands alone, its proof, its upload.

What runs in Numerai's container lies in ``inside/`` and imports nothing of ours; everything else prepares, checks
and sends it.
"""

"""Trees on features of five values: LightGBM's trees, in a fraction of its time and memory.

Arrays in, arrays and text out; this package knows nothing of Numerai. What it offers:

- ``growing``: ``grow`` makes a forest of rows and settings; ``warm_up`` has kernels ready before.
- ``grower``: ``Settings`` and ``TrainingRows``, and what happens in which order. Begin reading here.
- ``forest``: ``Forest``, which predicts and tells what each feature gained.
- ``model_text``: a forest as LightGBM writes it.
- ``draws``: LightGBM's random numbers; ``bins``: which thresholds a feature has, and which features are left out.
- ``histograms``, ``leaf_histograms``, ``splits``, ``nodes``: the kernels, and why they are fast.
- ``kernel_cache``: where their machine code is kept; the one module that does not import numba (.4 s and 200 MB).
"""

# Raised whenever equal rows and settings come to give other trees: it is in the key of every fit.
VERSION = 1

"""Code that runs inside Numerai's container: it is carried there as text, and imports nothing of ours."""

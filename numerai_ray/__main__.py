"""``python -m numerai_ray`` is ``numerai-ray``: for where the package travels without its command."""

from numerai_ray.cli import main

if __name__ == "__main__":
    main()

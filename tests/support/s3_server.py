"""A real S3 server (moto's) on this machine, and the environment that leads to it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEKEYID0000", "AWS_SECRET_ACCESS_KEY": "secret-that-nobody-may-see"}


@contextmanager
def s3_server(bucket: str = "numerai") -> Iterator[Mapping[str, str]]:
    """Environment variables of a running server that has one empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        with urlopen(Request(f"{endpoint}/{bucket}", method="PUT")) as answer:
            assert answer.status == 200
        yield {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", **KEYS}
    finally:
        server.stop()

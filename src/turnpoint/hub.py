"""Whether the Hugging Face hub can be reached, to say at once when it cannot."""

import socket
from urllib.parse import urlparse
from urllib.request import getproxies


def reachable() -> bool:
    """Whether the hub's address is known. Without a network its libraries would try again for half a minute."""
    from huggingface_hub.constants import ENDPOINT

    if getproxies():
        return True
    try:
        socket.getaddrinfo(urlparse(ENDPOINT).hostname, None)
    except OSError:
        return False
    return True

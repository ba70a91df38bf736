"""`python -m clarion.healthcheck`: exit 0 if this container's service is ready, 1 if not."""

import os
import sys
import urllib.error
import urllib.request


def main() -> None:
    """Ask the service on this host's PORT whether it is ready."""
    url = f"http://127.0.0.1:{os.environ['PORT']}/health/ready"
    try:
        urllib.request.urlopen(url, timeout=3).close()
    except (OSError, urllib.error.URLError) as error:
        sys.exit(f"{url}: {error}")


if __name__ == "__main__":
    main()

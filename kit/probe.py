"""Ask a service on this machine whether it is ready: `python -m kit.probe classifier`.

For container health checks; a second word names the settings class of another process of the
service, as in `python -m kit.probe imagegen WorkerSettings`.
"""

import http.client
import importlib
import sys

from kit.settings import ServiceSettings, load

SECONDS = 4.0


def main(service: str, settings_class: str = "Settings") -> int:
    """Return 0 if `/readyz` answers 200, else 1 and the reason on standard output."""
    module = importlib.import_module(f"services.{service}.settings")
    settings: ServiceSettings = load(getattr(module, settings_class))
    connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
    except OSError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(response.read().decode())
    return 0 if response.status == 200 else 1


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))

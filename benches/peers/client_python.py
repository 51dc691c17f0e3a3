"""The peer of `cargo bench --bench scrape` in Python: the same series, served by the package prometheus_client.

Writes the port that it listens on, and serves until it is killed.
"""

import sys

from prometheus_client import CollectorRegistry, Counter, start_http_server

LABELS = ("agent_id", "session_type", "platform", "direction", "resolution", "sentiment")


def main() -> None:
    registry = CollectorRegistry()
    counter = Counter("agntix_session_outcomes", "Analysed sessions.", LABELS, registry=registry)
    for n in range(int(sys.argv[1])):
        counter.labels(
            f"agent_{n // 81:08x}",
            ("voice", "chat", "email")[n % 3],
            ("phone", "web", "whatsapp")[n // 3 % 3],
            "inbound",
            ("resolved", "unresolved", "partially_resolved")[n // 9 % 3],
            ("positive", "neutral", "negative")[n // 27 % 3],
        ).inc(n * 37)
    server, thread = start_http_server(0, "127.0.0.1", registry=registry)
    print(server.server_port, flush=True)
    thread.join()


if __name__ == "__main__":
    main()

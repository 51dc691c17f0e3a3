#!/usr/bin/env python3
"""Shows what Alertmanager would send, as Slack, PagerDuty and a mailbox would show it: in its log, and on a page with the latest messages.

    receiver.py [--listen 127.0.0.1:9095] [--smtp 127.0.0.1:9025]

    POST /slack       slack_configs, api_url         POST /webhook     webhook_configs, url
    POST /pagerduty   pagerduty_configs, url         SMTP              email_configs, smarthost
    GET /             the page                       GET /messages     the same as JSON, the newest first

It is for trying things out: it forwards nothing, asks nobody for a password, and keeps the last hundred messages in memory only. It needs Python 3.8 or
later and nothing else. Port 0 is a free one; the log says which.
"""

import argparse
import collections
import email
import email.policy
import html
import http.server
import json
import re
import signal
import socketserver
import sys
import textwrap
import threading
import time

KEPT = 100
# Bytes of a message, seconds until a silent client is dropped, and connections at a time.
LARGEST, PATIENCE, CONNECTIONS = 1 << 20, 10, 32
COLORS = {"good": "#2eb886", "warning": "#daa038", "danger": "#a30200", "critical": "#a30200", "error": "#a30200", "info": "#439fe0", "resolved": "#2eb886"}

messages = collections.deque(maxlen=KEPT)
lock = threading.Lock()
printing = threading.Lock()


def message(kind, to, state, title, text="", links=(), **more):
    """A message as its service would show it: what it says, and the links in it with the words that one clicks on."""
    links = [{"text": words, "url": url} for words, url in links if str(url).startswith(("http://", "https://"))]
    return {"kind": kind, "to": to, "state": state, "title": title, "text": text, "links": links, **more}


# --- What the services make of what they are sent

def decoded(text):
    """Slack's three entities."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def mrkdwn(text):
    """The text that Slack shows, and the links in it."""
    links = [(decoded(words or url), decoded(url)) for url, words in re.findall(r"<(https?://[^|>]+)(?:\|([^>]*))?>", text)]
    return decoded(re.sub(r"<(https?://[^|>]+)(?:\|([^>]*))?>", lambda link: link.group(2) or link.group(1), text)).strip(), links


def slack(payload):
    for attachment in payload.get("attachments") or [{"text": payload.get("text", "")}]:
        text, links = mrkdwn(attachment.get("text") or "")
        title, more = mrkdwn(attachment.get("title") or attachment.get("fallback") or "")
        links = [(title, attachment.get("title_link")), *more, *links]
        links += [(action.get("text"), action.get("url")) for action in attachment.get("actions") or []]
        for field in attachment.get("fields") or []:
            text += f"\n{field.get('title')}: {mrkdwn(field.get('value') or '')[0]}"
        color = attachment.get("color", "")
        state = "resolved" if color == "good" else "firing"
        yield message("Slack", payload.get("channel", ""), state, title, text, links, color=COLORS.get(color, color), footer=attachment.get("footer", ""))


def pagerduty(payload):
    event, body = payload.get("event_action"), payload.get("payload") or {}
    details = body.get("custom_details") or {}
    facts = [("Severity", body.get("severity")), ("Class", body.get("class")), ("Component", body.get("component")), ("Group", body.get("group"))]
    text = "\n".join(f"{name}: {value}" for name, value in facts if value)
    for name in sorted(details):
        value = details[name] if isinstance(details[name], str) else json.dumps(details[name])
        if value.strip():
            text += f"\n\n{name}:\n{value.strip()}" if "\n" in value.strip() else f"\n{name}: {value}"
    links = [(link.get("text") or link.get("href"), link.get("href")) for link in payload.get("links") or []]
    links.append((f"View in {payload.get('client')}", payload.get("client_url")))
    state = "resolved" if event == "resolve" else "firing"
    title = body.get("summary") or f"resolved: incident {payload.get('dedup_key', '')[:8]}"
    color = COLORS["resolved"] if state == "resolved" else COLORS.get(body.get("severity"), "")
    yield message("PagerDuty", f"incident {payload.get('dedup_key', '')[:8]}", state, title, text, links, color=color, dedup_key=payload.get("dedup_key", ""))


def webhook(payload):
    for alert in payload.get("alerts") or []:
        annotations, labels = alert.get("annotations") or {}, alert.get("labels") or {}
        links = [(name[:-4], url) for name, url in sorted(annotations.items()) if name.endswith("_url")]
        text = (annotations.get("description") or "") + "\n" + ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
        title = annotations.get("summary") or labels.get("alertname", "")
        yield message("webhook", payload.get("receiver", ""), alert.get("status", ""), title, text.strip(), links)


def mail(raw):
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    plain, rich = parsed.get_body(("plain",)), parsed.get_body(("html",))
    text, subject = plain.get_content().replace("\r\n", "\n").strip() if plain else "", str(parsed["subject"] or "")
    links = re.findall(r"^(\w+): (https?://\S+)$", text, re.M)
    state = "resolved" if subject.startswith("[RESOLVED]") else "firing"
    yield message("e-mail", str(parsed["to"] or ""), state, subject, text, links, html=rich.get_content() if rich else "")


# --- How it is shown

def in_log(shown):
    mark = "resolved" if shown["state"] == "resolved" else "FIRING"
    lines = [f"{time.strftime('%H:%M:%S')} {shown['kind']}, {shown['to']}, {mark}", shown["title"]]
    for line in shown["text"].splitlines():
        lines += textwrap.wrap(line, 116, break_long_words=False, break_on_hyphens=False, subsequent_indent="  ") or [""]
    lines += [f"  → {link['text']}: {link['url']}" for link in shown["links"]]
    lines += [shown["footer"]] if shown.get("footer") else []
    return f"┌ {lines[0]}\n" + "".join(f"│ {line}\n" for line in lines[1:]) + "└\n"


def in_page(shown):
    text = html.escape
    links = " · ".join(f'<a href="{text(link["url"])}">{text(link["text"])}</a>' for link in shown["links"])
    body = f"<pre>{text(shown['text'])}</pre>" if shown["text"] else ""
    if shown.get("html"):
        # What others have written is shown without rights.
        body = f'<iframe sandbox srcdoc="{text(shown["html"])}"></iframe>'
    color = shown.get("color") or ("#2eb886" if shown["state"] == "resolved" else "#a30200")
    if not re.fullmatch(r"#[0-9a-fA-F]{3,6}", color):
        color = "#888"
    when = time.strftime("%H:%M:%S", time.localtime(shown["received"]))
    head = f"{when} · <b>{text(shown['kind'])}</b> · {text(shown['to'])} · {text(shown['state'])}"
    footer = f"<small>{text(shown.get('footer') or '')}</small>"
    return f'<article style="border-left-color:{color}"><small>{head}</small><h2>{text(shown["title"])}</h2>{body}<p>{links}</p>{footer}</article>'


PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10"><title>What would be sent</title><style>
body{font:14px/1.45 system-ui,sans-serif;max-width:860px;margin:24px auto;padding:0 16px;color:#222;background:#f6f6f7}
article{background:#fff;border-left:5px solid;border-radius:4px;padding:10px 16px;margin:12px 0;box-shadow:0 1px 2px #0002}
h1{font-size:20px}h2{font-size:16px;margin:4px 0}pre{white-space:pre-wrap;font:inherit;margin:4px 0}p{margin:6px 0}small{color:#666}
iframe{width:100%;height:260px;border:1px solid #ddd}</style></head><body><h1>What would be sent</h1>
<p>The latest messages of Alertmanager, as Slack, PagerDuty and a mailbox would show them. Nothing is forwarded.</p>"""


def page():
    with lock:
        latest = list(messages)
    return PAGE + ("".join(in_page(shown) for shown in reversed(latest)) or "<p>None yet.</p>") + "</body></html>"


def keep(shown):
    shown["received"] = time.time()
    with lock:
        messages.append(shown)
    say(in_log(shown))


def say(text):
    with printing:
        sys.stdout.write(text)
        sys.stdout.flush()


# --- Servers

class Bounded(socketserver.ThreadingMixIn):
    """A thread a connection, and so many connections at most."""

    daemon_threads, allow_reuse_address = True, True
    free = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request, client_address):
        self.free.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.free.release()
            raise

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request, client_address):
        say(f"a connection has failed: {sys.exc_info()[1]!r}\n")


class Web(Bounded, socketserver.TCPServer):
    pass


class Mail(Bounded, socketserver.TCPServer):
    pass


class Requests(http.server.BaseHTTPRequestHandler):
    timeout = PATIENCE
    services = {"/slack": slack, "/pagerduty": pagerduty, "/webhook": webhook}

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/messages":
            with lock:
                latest = list(reversed(messages))
            self.answer(200, "application/json", json.dumps(latest))
        elif path == "/":
            self.answer(200, "text/html; charset=utf-8", page())
        else:
            self.answer(404, "text/plain", "there are /, /messages, and POST to " + ", ".join(self.services) + "\n")

    do_HEAD = do_GET

    def do_POST(self):
        service = self.services.get(self.path.split("?")[0].rstrip("/"))
        length = self.headers.get("content-length", "")
        if service is None:
            return self.answer(404, "text/plain", "POST to one of " + ", ".join(self.services) + "\n")
        if not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True
            return self.answer(413, "text/plain", f"content-length must be there and at most {LARGEST}\n")
        try:
            shown = list(service(json.loads(self.rfile.read(int(length)))))
        except (ValueError, AttributeError, TypeError) as error:
            return self.answer(400, "text/plain", f"this is no message of {self.path}: {error}\n")
        for one in shown:
            keep(one)
        if service is pagerduty:
            return self.answer(202, "application/json", json.dumps({"status": "success", "dedup_key": shown[0]["dedup_key"]}))
        return self.answer(200, "text/plain", "ok")

    def answer(self, code, kind, text):
        body = text.encode()
        self.send_response(code)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments):
        """Messages are logged, requests are not."""


class Letters(socketserver.StreamRequestHandler):
    """As much of SMTP as Alertmanager speaks."""

    timeout = PATIENCE

    def handle(self):
        self.answer("220 receiver")
        while True:
            line = self.rfile.readline(1000)
            command = line[:4].upper()
            if not line or command == b"QUIT":
                self.answer("221 bye")
                return
            if command == b"DATA":
                self.answer("354 end it with a dot")
                if not self.take():
                    return
            else:
                self.answer("250 receiver" if command in (b"EHLO", b"HELO", b"MAIL", b"RCPT", b"RSET", b"NOOP") else "502 no such command")

    def take(self):
        raw = bytearray()
        while True:
            line = self.rfile.readline(10_000)
            if line in (b".\r\n", b".\n"):
                break
            raw += line[1:] if line.startswith(b"..") else line
            if not line or len(raw) > LARGEST:
                self.answer("552 too large, or not ended")
                return False
        for one in mail(bytes(raw)):
            keep(one)
        self.answer("250 kept")
        return True

    def answer(self, text):
        self.wfile.write(text.encode() + b"\r\n")


def address(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} must be HOST:PORT")
    return host.strip("[]"), int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listen", type=address, default=("127.0.0.1", 9095), metavar="HOST:PORT")
    parser.add_argument("--smtp", type=address, default=("127.0.0.1", 9025), metavar="HOST:PORT")
    arguments = parser.parse_args()
    # Stopped by a container or a script as by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        web, letters = Web(arguments.listen, Requests), Mail(arguments.smtp, Letters)
    except OSError as error:
        sys.exit(f"receiver.py cannot listen on {arguments.listen} and {arguments.smtp}: {error}")
    threading.Thread(target=letters.serve_forever, daemon=True).start()
    say("message=listening address={}:{} smtp={}:{}\n".format(*web.server_address[:2], *letters.server_address[:2]))
    try:
        web.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

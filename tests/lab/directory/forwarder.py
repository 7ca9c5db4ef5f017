#!/usr/bin/python3
"""The lab's conditional forwarders: sends each question to the DNS server of its zone, over the protocol by which it came.

    forwarder.py ADDRESS RULES

RULES is a folder with one file for each zone, whose first word is `ok`, `nxdomain`, `servfail` or `drop`, and whose second is the server's
address. It is read anew for each question, so a changed rule is in force at once. Names of no zone do not exist: nothing leaves the lab.
"""

import re
import socket
import socketserver
import struct
import sys
import threading
from pathlib import Path

PORT = 53
LABEL = re.compile(rb"[a-z0-9_-]{1,63}")
SERVFAIL, NXDOMAIN = 2, 3
# Shorter than what resolvers wait for, so that a dead server is SERVFAIL, and only `drop` lets one wait.
PATIENCE = 1.5


def question(message):
    """The labels of the first question, lower case, and where the question ends."""
    labels, at = [], 12
    while length := message[at]:
        label = message[at + 1 : at + 1 + length].lower()
        if not LABEL.fullmatch(label):
            raise ValueError(label)
        labels.append(label.decode())
        at += 1 + length
    return labels, at + 5


def rule(rules, labels):
    """What is to be done with a name: that of the longest zone it is in."""
    for first in range(len(labels)):
        try:
            what, server = (rules / ".".join(labels[first:])).read_text().split()
            return what, server
        except FileNotFoundError:
            continue
    return "nxdomain", None


def refusal(message, code, end):
    """An answer that has nothing but a code."""
    flags = 0x8080 | struct.unpack(">H", message[2:4])[0] & 0x0100 | code
    return message[:2] + struct.pack(">HHHHH", flags, 1, 0, 0, 0) + message[12:end]


def receive(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def receive_framed(stream):
    return receive(stream, struct.unpack(">H", receive(stream, 2))[0])


def send_framed(stream, message):
    stream.sendall(struct.pack(">H", len(message)) + message)


def ask(server, message, kind):
    # Recursion is not desired: a server that does not know the name must not send it back here.
    message = message[:2] + bytes([message[2] & 0xFE]) + message[3:]
    with socket.socket(socket.AF_INET, kind) as way:
        way.settimeout(PATIENCE)
        way.connect((server, PORT))
        if kind == socket.SOCK_STREAM:
            send_framed(way, message)
            return receive_framed(way)
        way.send(message)
        return way.recv(65535)


def answer(rules, message, kind):
    """The answer, or None where there is to be none."""
    try:
        labels, end = question(message)
    except (IndexError, ValueError):
        return None
    what, server = rule(rules, labels)
    if what == "drop":
        return None
    if what != "ok":
        return refusal(message, {"nxdomain": NXDOMAIN, "servfail": SERVFAIL}[what], end)
    try:
        return ask(server, message, kind)
    except (OSError, EOFError):
        return refusal(message, SERVFAIL, end)


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        message, way = self.request
        if reply := answer(self.server.rules, message, socket.SOCK_DGRAM):
            way.sendto(reply, self.client_address)


class Stream(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while True:
                if reply := answer(self.server.rules, receive_framed(self.request), socket.SOCK_STREAM):
                    send_framed(self.request, reply)
        except (OSError, EOFError):
            pass


class Datagrams(socketserver.ThreadingUDPServer):
    daemon_threads = True
    max_packet_size = 65535


class Streams(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


def main():
    address, rules = (sys.argv[1], PORT), Path(sys.argv[2])
    servers = [Datagrams(address, Datagram), Streams(address, Stream)]
    for server in servers:
        server.rules = rules
    threading.Thread(target=servers[0].serve_forever, daemon=True).start()
    servers[1].serve_forever()


main()

#!/usr/bin/env python3
"""What can be tested of the agent without a domain controller: what it reads, what it refuses, what it remembers.

    python3 -m unittest test_agent          (in this folder; root is needed for what belongs to root)
"""

import json
import os
import random
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import agent  # noqa: E402

SECRET = "Kq7-nobody-may-see-this"
SID = "S-1-5-21-1-2-4294967295"
ENSURE = {
    "tenant": "ibestad", "domain": "ibestad.test", "netbios": "IBESTAD", "sid": SID, "direction": "both", "kind": "forest",
    "selective": False, "filtersSids": True, "secret": SECRET, "anew": False, "removeOrphan": False,
}
GOOD = {
    "describe": {}, "list": {}, "ensure": ENSURE, "verify": {"domain": "a.test"}, "heal": {"domain": "a.test"},
    "preflight": {"domain": "a.test", "dnsServers": ["10.0.0.1", "fd00::1"], "controllers": ["dc.a.test"]},
    "adopt": {"tenant": "a", "domain": "a.test", "sid": SID, "direction": "inbound", "kind": "external"},
    "set": {"tenant": "a", "domain": "a.test", "selective": True, "filtersSids": False},
    "probe": {"domain": "a.test", "controller": "dc.a.test"}, "remove": {"tenant": "a", "domain": "a.test", "sid": SID},
    "forward": {"tenant": "a", "domain": "a.test", "dnsServers": []},
    "claim": {"holder": "controller-0", "expires": "2026-11-29T04:00:00.5Z", "takeOver": False},
}
# Each value of a field that must be refused, and why.
BAD = {
    "tenant": ["", "A", "a_b", "-a", "a-", "a" * 64, "a/b", "..", "a\n", "å", 1, None, ["a"], True],
    "domain": ["", "test", "A.test", "a..test", ".a.test", "a.test.", "a.test\n", "a.test;id", "$(id).test", "a b.test", "-a.test", "a-.test",
               "10.0.0.1", "../a.test", "a/b.test", "æ.test", "a\u0660.test", "a." + "b" * 64, ".".join(["abcdefg"] * 40), "*.test", "a.te)st", 7, None],
    "netbios": ["", "a", "ABCDEFGHIJKLMNOP", "A B", "A*", "A)(cn=*", "-A", "A-", "A\0", "Ä", "A\n", None, 3],
    "sid": ["", "S-1-5-21-1-2", "S-1-5-21-1-2-3-500", "S-1-5-32-544", "S-1-5-21-1-2-4294967296", "S-1-5-21-01-2-3", "s-1-5-21-1-2-3",
            "S-1-5-21-1-2-3\n", "S-1-5-21-\u0661-2-3", None, 5],
    "direction": ["", "Both", "disabled", 3, None, ["both"]],
    "kind": ["", "Forest", "other", None],
    "selective": [0, 1, "true", None], "filtersSids": [0, None], "anew": [1, "false"], "removeOrphan": [None, {}], "takeOver": ["no"],
    "secret": ["", "short", "x" * 121, "with a\nnew line in", "with a \0 in the mid", "lone \ud800 surrogate", None, 12345678901234567890, ["x" * 20]],
    "dnsServers": ["10.0.0.1", ["10.0.0"], ["10.0.0.256"], ["010.0.0.1"], ["fe80::1%eth0"], ["dns.a.test"], ["0.0.0.0"], ["224.0.0.1"], [1],
                   [None], ["10.0.0.1"] * 9, {}, None],
    "controllers": [["dc"], ["DC.a.test"], ["dc.a.test"] * 17, "dc.a.test", [["dc.a.test"]]],
    "controller": ["dc", "dc.a.test@B", "-k.a.test", "ldap/dc.a.test", None],
    "holder": ["", "x" * 201, "a\nb", None],
    "expires": ["", "2026-11-29", "2026-11-29T04:00:00", "2026-11-29T04:00:00+01:00", "2026-13-29T04:00:00Z", "2026-11-29T04:00:00Z\n", 5, None],
}


def request(operation, fields, **others):
    return {"protocol": 1, "installation": "nord", "ask": {operation: fields}, **others}


def read(value):
    return agent.read_request(value if isinstance(value, bytes) else json.dumps(value).encode())


class Reading(unittest.TestCase):
    def refused(self, value, reason="malformed"):
        with self.assertRaises(agent.Refused) as caught:
            read(value)
        self.assertEqual(caught.exception.answer["reason"], reason, value)
        self.assertNotIn(SECRET, json.dumps(caught.exception.answer))
        return caught.exception.answer

    def test_every_operation_is_read(self):
        self.assertEqual(set(GOOD), set(agent.ASKS))
        for operation, fields in GOOD.items():
            self.assertEqual(read(request(operation, fields)), ("nord", operation, fields))

    def test_no_field_is_missing_or_too_many_or_of_another_form(self):
        for operation, fields in GOOD.items():
            self.refused(request(operation, {**fields, "more": 1}))
            for name in fields:
                self.refused(request(operation, {other: value for other, value in fields.items() if other != name}))
                self.assertIn(name, BAD, "a field without bad values")
                for bad in BAD[name]:
                    with self.subTest(operation=operation, name=name, bad=bad):
                        self.refused(request(operation, {**fields, name: bad}))

    def test_what_is_around_the_fields_is_as_strict(self):
        good = request("describe", {})
        for broken in (
            b"", b"{", b"[]", b"null", b"1", b"\xff\xfe", b'"a"', b"[" * 60000, b'{"a":' * 9000, b"\xef\xbb\xbf{}", b"9" * 5000,
            json.dumps(good).encode() + b"{}", b'{"protocol":1,"protocol":1,"installation":"nord","ask":{"describe":{}}}',
            b'{"protocol":1,"installation":"nord","ask":{"describe":{},"describe":{}}}', b'{"protocol":NaN}', b'{"protocol":1e999}',
            {**good, "protocol": True}, {**good, "protocol": 1.0}, {**good, "protocol": "1"}, {**good, "protocol": None},
            {**good, "installation": "Nord"}, {**good, "installation": "a.b"}, {**good, "installation": 1}, {**good, "more": 1},
            {**good, "ask": []}, {**good, "ask": {}}, {**good, "ask": "describe"}, {**good, "ask": {"describe": None}},
            {**good, "ask": {"describe": []}}, {**good, "ask": {"describe": {}, "list": {}}}, {**good, "ask": {"open": {}}},
            {**good, "ask": {"__class__": {}}}, {"protocol": 1}, {"protocol": 1, "installation": "nord"},
        ):
            with self.subTest(broken=str(broken)[:60]):
                self.refused(broken)

    def test_the_version_is_compared_first(self):
        self.refused({"protocol": 2, "something": "else"}, "protocol")

    def test_what_is_too_long_is_refused(self):
        whole = json.dumps(request("describe", {})).encode()
        self.assertEqual(read(whole + b" " * (agent.LONGEST_REQUEST - len(whole)))[1], "describe")
        self.refused(whole + b" " * (agent.LONGEST_REQUEST - len(whole) + 1))

    def test_whatever_is_changed_in_a_request_is_read_or_refused(self):
        chance = random.Random(20261129)
        for _ in range(20000):
            operation = chance.choice(list(GOOD))
            raw = bytearray(json.dumps(request(operation, GOOD[operation])).encode())
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(raw))
                match chance.randrange(4):
                    case 0: raw[place] = chance.randrange(256)
                    case 1: del raw[place:place + chance.randint(1, 9)]
                    case 2: raw[place:place] = chance.choice([b"{}", b"null", b"\\ud800", b'"', b",", b"\0", b"-1", b"[]", b"\\n"])
                    case 3: raw[place:place] = raw[:chance.randint(1, 40)]
                if not raw:
                    break
            try:
                _, operation, fields = read(bytes(raw))
            except agent.Refused as refused:
                self.assertIn(refused.answer["reason"], ("malformed", "protocol"))
                self.assertNotIn(SECRET, refused.answer["message"])
            else:
                self.assertEqual(set(fields), set(agent.ASKS[operation]))
                if "domain" in fields:
                    self.assertRegex(fields["domain"], r"\A[a-z0-9.-]+\Z")

    def test_values_of_another_type_in_any_place_are_refused(self):
        strange = [None, True, 0, -1, 1.5, "", "\0", [], {}, [[]], {"a": {}}, "a" * 1000, 10 ** 400]
        for operation, fields in GOOD.items():
            for name, good in fields.items():
                for value in strange:
                    if value == good or (isinstance(good, bool) and isinstance(value, bool)) or (isinstance(good, list) and value == []):
                        continue
                    with self.subTest(operation=operation, name=name, value=str(value)[:20]):
                        self.refused(request(operation, {**fields, name: value}))


class Commands(unittest.TestCase):
    def test_another_command_is_refused_before_anything_is_read(self):
        for command in (None, "", "sh", agent.COMMAND + " ", agent.COMMAND + "\n", "cat /etc/shadow", agent.COMMAND.upper()):
            self.assertEqual(agent.answer_to(b"{", command)["refused"]["reason"], "command")
        self.assertEqual(agent.answer_to(b"{", agent.COMMAND)["refused"]["reason"], "malformed")

    def run_agent(self, raw, command=agent.COMMAND, **others):
        environment = {"PATH": "/usr/bin:/bin"} | ({"SSH_ORIGINAL_COMMAND": command} if command is not None else {})
        return subprocess.run([sys.executable, os.path.join(HERE, "agent.py")], input=raw, capture_output=True, env=environment, check=True,
                              timeout=60, **others)

    def test_whatever_it_is_asked_it_answers_in_one_line(self):
        for raw, command, reason in (
            (b"", None, "command"), (b"{}", "sh -c id", "command"), (b"", agent.COMMAND, "malformed"), (b"\0" * 100000, agent.COMMAND, "malformed"),
        ):
            done = self.run_agent(raw, command)
            answer = json.loads(done.stdout)
            self.assertEqual((answer["protocol"], answer["outcome"]["refused"]["reason"]), (1, reason))
            self.assertEqual((done.stdout.count(b"\n"), done.stderr), (1, b""))

    def test_it_ends_by_itself_where_nobody_goes_on_writing(self):
        program = f"import agent; agent.READING = 1; agent.main()"
        with subprocess.Popen([sys.executable, "-c", program], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            begun = time.monotonic()
            answer = json.loads(process.stdout.readline())
            self.assertEqual(answer["outcome"]["refused"]["reason"], "timed-out")
            self.assertLess(time.monotonic() - begun, 10)
            process.stdin.close()


@unittest.skipUnless(os.geteuid() == 0, "only root can own what root has to own")
class Files(unittest.TestCase):
    """Settings, records, claim and lock."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = folder.name
        for name, value in (("SETTINGS", self.base + "/etc/settings.json"), ("STATE", self.base + "/state"), ("WAITING", 0.3)):
            self.addCleanup(setattr, agent, name, getattr(agent, name))
            setattr(agent, name, value)
        os.mkdir(self.base + "/etc", 0o755)
        self.settings({"installations": {"nord": {"partners": {"ibestad.test": ["both"]}}, "sor": {"partners": {}}}})

    def settings(self, value, mode=0o644):
        with open(agent.SETTINGS, "wb") as file:
            file.write(value if isinstance(value, bytes) else json.dumps(value).encode())
        os.chmod(agent.SETTINGS, mode)

    def reason(self, doing, *arguments):
        with self.assertRaises(agent.Refused) as caught:
            doing(*arguments)
        return caught.exception.answer["reason"]

    def test_only_what_the_administrators_allow_is(self):
        self.assertEqual(agent.allowed("nord"), {"ibestad.test": ["both"]})
        self.assertEqual(self.reason(agent.allowed, "vest"), "installation")
        call = agent.Call("nord", agent.allowed("nord"))
        call.allow(ENSURE)
        call.allow({})
        self.assertEqual(self.reason(call.allow, {**ENSURE, "direction": "outbound"}), "not-allowed")
        self.assertEqual(self.reason(call.allow, {"domain": "salangen.test"}), "not-allowed")

    def test_settings_that_others_could_write_are_none(self):
        os.chmod(agent.SETTINGS, 0o664)
        self.assertEqual(self.reason(agent.allowed, "nord"), "host")
        os.chmod(agent.SETTINGS, 0o644)
        os.chmod(self.base + "/etc", 0o777)
        self.assertEqual(self.reason(agent.allowed, "nord"), "host")
        os.chmod(self.base + "/etc", 0o755)
        os.chown(agent.SETTINGS, 1000, 0)
        self.assertEqual(self.reason(agent.allowed, "nord"), "host")
        os.chown(agent.SETTINGS, 0, 0)
        self.assertEqual(agent.allowed("nord"), {"ibestad.test": ["both"]})
        os.rename(agent.SETTINGS, agent.SETTINGS + ".there")
        self.assertEqual(self.reason(agent.allowed, "nord"), "host")
        os.symlink(agent.SETTINGS + ".there", agent.SETTINGS)
        self.assertEqual(self.reason(agent.allowed, "nord"), "host")
        os.unlink(agent.SETTINGS)
        os.mkfifo(agent.SETTINGS)
        self.assertEqual(self.reason(agent.allowed, "nord"), "host")

    def test_settings_of_another_form_are_none(self):
        for bad in (b"", b"[]", b"{}", {"installations": []}, {"installations": {"nord": {}}}, {"installations": {"nord": {"partners": []}}},
                    {"installations": {"nord": {"partners": {"ibestad.test": ["all"]}}}}, {"installations": {"nord": {"partners": {"X": []}}}},
                    {"installations": {"nord": {"partners": {}, "more": 1}}}, {"installations": {}, "more": 1}, {"installations": {"N": {"partners": {}}}}):
            self.settings(bad)
            self.assertEqual(self.reason(agent.allowed, "nord"), "host", bad)

    def record(self, **others):
        return {"tenant": "ibestad", "domain": "ibestad.test", "netbios": "IBESTAD", "sid": SID, "direction": "both", "kind": "forest",
                "origin": "made", "state": "making", "forwarder": False, "since": "2026-11-29T04:00:00Z", **others}

    def test_a_record_is_remembered_until_it_is_dropped(self):
        records = agent.Records("nord")
        self.assertIsNone(records.get("ibestad.test"))
        records.put(self.record())
        records.put(self.record(state="whole"))
        self.assertEqual(agent.Records("nord").all(), {"ibestad.test": self.record(state="whole")})
        self.assertEqual(agent.Records("sor").all(), {})
        self.assertEqual(agent.of_others("sor"), {"ibestad.test": "nord"})
        self.assertEqual(agent.of_others("nord"), {})
        for path in (agent.STATE, records.folder):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        records.drop("ibestad.test")
        records.drop("ibestad.test")
        self.assertEqual(os.listdir(records.folder), [])

    def test_a_record_that_was_changed_is_for_people(self):
        records = agent.Records("nord")
        for bad in (b"", b"{}", json.dumps(self.record(tenant="../x")).encode(), json.dumps(self.record(more=1)).encode(),
                    json.dumps(self.record(domain="salangen.test")).encode()):
            with open(records.folder + "/ibestad.test.json", "wb") as file:
                file.write(bad)
            self.assertEqual(self.reason(records.get, "ibestad.test"), "host")

    def test_a_folder_of_others_is_not_used(self):
        os.mkdir(agent.STATE, 0o777)
        os.chmod(agent.STATE, 0o777)
        self.assertEqual(self.reason(agent.Records, "nord"), "host")

    def test_one_writes_until_its_claim_ends(self):
        def claim(who, expires, take_over=False):
            return agent.claim("nord", {"holder": who, "expires": expires, "takeOver": take_over})

        self.assertEqual(claim("a", "2999-01-01T00:00:00Z"), ("claimed", {"holder": "a", "expires": "2999-01-01T00:00:00Z"}))
        claim("a", "2998-01-01T00:00:00Z")
        self.assertEqual(self.reason(claim, "b", "2999-01-01T00:00:00Z"), "claimed")
        claim("b", "2001-01-01T00:00:00Z", True)
        claim("c", "2999-01-01T00:00:00Z")
        with self.assertRaises(agent.Refused) as caught:
            claim("d", "2999-01-01T00:00:00Z")
        self.assertEqual(caught.exception.answer["claimed"], {"holder": "c", "expires": "2999-01-01T00:00:00Z"})
        # Another installation has a claim of its own.
        agent.claim("sor", {"holder": "d", "expires": "2999-01-01T00:00:00Z", "takeOver": False})
        self.assertEqual(agent.Records("nord").all(), {})

    def test_one_call_at_a_time(self):
        with agent.locked("directory"):
            begun = time.monotonic()
            with self.assertRaises(agent.Refused) as caught, agent.locked("directory"):
                pass
            self.assertEqual(caught.exception.answer["reason"], "busy")
            self.assertLess(time.monotonic() - begun, 5)
            with agent.locked("claim"):
                pass
        with agent.locked("directory"):
            pass

    def test_one_that_waits_comes_after(self):
        order = []

        def first():
            with agent.locked("directory"):
                time.sleep(0.1)
                order.append("first")

        thread = threading.Thread(target=first)
        with agent.locked("directory"):
            thread.start()
            order.append("before")
        thread.join()
        self.assertEqual(order, ["before", "first"])


class Wire(unittest.TestCase):
    """The questions to the partner's controllers, and what is taken of answers, which may be anything."""

    def test_der(self):
        self.assertEqual(agent.der(4, b"a" * 3), b"\x04\x03aaa")
        self.assertEqual(agent.der(4, b"a" * 200)[:3], b"\x04\x81\xc8")
        self.assertEqual(agent.der(4, b"a" * 300)[:4], b"\x04\x82\x01\x2c")
        self.assertEqual((agent.der_number(0), agent.der_number(127), agent.der_number(128)), (b"\2\1\0", b"\2\1\x7f", b"\2\2\0\x80"))

    def test_a_clock_is_read(self):
        self.assertEqual(agent.kerberos_clock(b"~\x81\xa4\x11\x18\x0f20261129040000Zxx"), 1795924800)
        for other in (b"", b"\xa4\x11\x18\x0f20261329040000Z", b"\xa4\x11\x18\x0f2026112904000Z"):
            self.assertIsNone(agent.kerberos_clock(other))

    def pong(self):
        value = struct.pack("<HHI", 23, 0, 0) + b"\0" * 16
        value += b"\7ibestad\4test\0" + b"\xc0\x18" + b"\5ibedc\xc0\x18" + b"\7IBESTAD\0" + b"\5IBEDC\0"
        return agent.der(0x30, agent.der_number(1), agent.der(0x64, agent.der(4), agent.der(0x30, agent.der(
            0x30, agent.der(4, b"Netlogon"), agent.der(0x31, agent.der(4, value))))))

    def test_a_partner_says_who_it_is(self):
        self.assertEqual(agent.ldap_pong(self.pong()), {"domain": "ibestad.test", "forest": "ibestad.test", "netbios": "IBESTAD"})

    def test_any_answer_is_read_or_not(self):
        chance = random.Random(7)
        for _ in range(20000):
            raw = bytearray(self.pong())
            for _ in range(chance.randint(1, 12)):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
            for read in (agent.ldap_pong, agent.kerberos_clock, agent.rpc_port):
                read(bytes(raw[:chance.randint(0, len(raw))]))
        # A name that points at itself.
        with self.assertRaises(IndexError):
            agent.compressed_name(b"\xc0\0", 0)

    def test_a_port_is_read(self):
        self.assertEqual(agent.rpc_port(b"..\1\0\7\2\0\xc0\x01\1\0\x09\4\0"), 49153)
        self.assertIsNone(agent.rpc_port(b"..\1\0\7\2\0\0\0\1\0\x09"))


class Golden(unittest.TestCase):
    """Requests that were answered by a real controller are read, and their answers have no secret."""

    def test_golden(self):
        folder = os.path.join(HERE, "..", "golden")
        for name in sorted(name for name in os.listdir(folder) if name.endswith(".json")):
            with self.subTest(name=name), open(os.path.join(folder, name), encoding="utf-8") as file:
                pair = json.load(file)
                self.assertEqual(set(pair), {"request", "answer"})
                if "malformed" not in name:
                    read(pair["request"])
                self.assertEqual(set(pair["answer"]), {"protocol", "outcome"})
                for fields in pair["request"]["ask"].values():
                    if "secret" in fields:
                        self.assertNotIn(fields["secret"], json.dumps(pair["answer"]))


if __name__ == "__main__":
    unittest.main()

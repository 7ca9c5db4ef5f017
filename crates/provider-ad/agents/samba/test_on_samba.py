#!/usr/bin/env python3
"""The agent on two real domain controllers of Samba, of two forests that know each other's DNS.

    DIRECTORY_LAB="bash WAY-IN" DIRECTORY_LAB_DCS="host ibestad" python3 -B -m unittest -v test_on_samba     (tests/directories/agent.rs)

DIRECTORY_LAB is the lab's way to run a command on a controller, as root and with standard input: `$DIRECTORY_LAB host command…`.
DIRECTORY_LAB_DCS names the two controllers (`host ibe`); DIRECTORY_LAB_EVERY=5 kills at each fifth line alone;
DIRECTORY_GOLDEN=folder writes requests and answers there. The lab's files must be visible on the controllers by their paths here.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
AGENT = os.path.join(HERE, "agent.py")
LAB = shlex.split(os.environ.get("DIRECTORY_LAB", ""))
DCS = os.environ.get("DIRECTORY_LAB_DCS", "host ibe").split()
EVERY = int(os.environ.get("DIRECTORY_LAB_EVERY", "1"))
GOLDEN = os.environ.get("DIRECTORY_GOLDEN")
COMMAND = "vertskommune directory agent"
# The functions after whose lines something may be half.
CHANGING = {"ensure", "make", "unmake", "create", "delete", "remove_account", "put", "write", "drop", "remove", "sync_folder", "renew"}
SECRETS = (f"Trust-secret-number-{number}-of-the-lab" for number in range(10 ** 6))


class Side:
    """One controller, with settings and records of the test's own."""

    def __init__(self, name):
        self.name = name
        self.base = tempfile.mkdtemp(prefix=f"directory-agent-{name}-")
        self.description = None

    def allow(self, partners):
        with open(os.path.join(self.base, "settings.json"), "w", encoding="utf-8") as file:
            json.dump({"installations": {"nord": {"partners": partners}, "sor": {"partners": partners}}}, file)

    def on(self, *command, given=b"", check=True):
        done = subprocess.run([*LAB, self.name, *command], input=given, capture_output=True, timeout=150, check=False)
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stdout!r} {done.stderr!r}")
        return done.stdout

    def ask(self, operation, mode="-", installation="nord", golden=None, **fields):
        """The answer's outcome: (name, what) of what was done, or (reason, refusal)."""
        request = {"protocol": 1, "installation": installation, "ask": {operation: fields}}
        raw = self.on("env", "-i", "PATH=/usr/bin:/bin", f"SSH_ORIGINAL_COMMAND={COMMAND}", "/usr/bin/python3", "-B",
                      os.path.join(HERE, "on_controller.py"), AGENT, self.base, mode, given=json.dumps(request).encode())
        if "secret" in fields:
            assert fields["secret"].encode() not in raw
        answer = json.loads(raw)
        if GOLDEN and golden:
            with open(os.path.join(GOLDEN, golden + ".json"), "w", encoding="utf-8") as file:
                json.dump({"request": request, "answer": answer}, file, indent=1, ensure_ascii=False)
                file.write("\n")
        outcome = answer["outcome"]
        if "refused" in outcome:
            return outcome["refused"]["reason"], outcome["refused"]
        [(name, done)] = outcome["done"].items()
        return name, done

    def left(self):
        """All files of the installation's folder."""
        folder = os.path.join(self.base, "state", "nord")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


@unittest.skipUnless(LAB, "needs a lab of two controllers: DIRECTORY_LAB")
class OnSamba(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host, cls.ibe = (Side(name) for name in DCS)
        cls.sides = (cls.host, cls.ibe)
        for side in cls.sides:
            side.allow({})
            name, side.description = side.ask("describe", golden=f"describe-{'host' if side is cls.host else 'tenant'}")
            assert name == "description", side.description
        for side, other in (cls.sides, cls.sides[::-1]):
            side.other = other
            side.partner = other.description["domain"]
            side.allow({side.partner: ["inbound", "outbound", "both"], "third.test": ["both"]})
            cls.clean(side)

    @classmethod
    def tearDownClass(cls):
        for side in cls.sides:
            shutil.rmtree(side.base)

    def tearDown(self):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.clean, self.sides))

    @classmethod
    def clean(cls, side):
        """Nothing is left of a test. A call takes its time, so none is made for what is not there."""
        nothing = ("trusts", {"trusts": [], "missing": [], "orphans": [], "others": []})
        if side.ask("list") == nothing and side.left() == []:
            return
        for tenant, domain, sid in (("ibestad", side.partner, side.other.description["sid"]), ("ibestad", "third.test", cls.third["sid"])):
            side.ask("remove", tenant=tenant, domain=domain, sid=sid)
        found = side.ask("list")
        assert (found, side.left()) == (nothing, []), (found, side.left())

    third = {"domain": "third.test", "netbios": "THIRD", "sid": "S-1-5-21-111-222-333"}

    def wanted(self, side, secret, **others):
        there = side.other.description
        return {"tenant": "ibestad", "domain": there["domain"], "netbios": there["netbios"], "sid": there["sid"], "direction": "both", "kind": "forest",
                "selective": False, "filtersSids": True, "secret": secret, "anew": False, "removeOrphan": False} | others

    def ensure(self, side, secret, golden=None, mode="-", installation="nord", **others):
        return side.ask("ensure", golden=golden, mode=mode, installation=installation, **self.wanted(side, secret, **others))

    def both(self, secret=None, **others):
        secret = secret or next(SECRETS)
        mirror = {"inbound": "outbound", "outbound": "inbound", "both": "both"}
        for side in self.sides:
            ways = others.get("direction", "both")
            done = self.ensure(side, secret, **{**others, "direction": ways if side is self.host else mirror[ways]})
            self.assertEqual((done[0], done[1].get("made")), ("ensured", True), done)
        return secret

    def channel(self, side, golden=None):
        return side.ask("verify", golden=golden, domain=side.partner)[1].get("channel")

    def ticket(self, side, golden=None):
        return side.ask("probe", golden=golden, domain=side.partner, controller=side.other.description["controller"])[1].get("ticket")

    def heal(self, golden=None):
        for side in self.sides:
            self.assertEqual(side.ask("heal", golden=golden, domain=side.partner)[0], "healed")

    def works(self, channels=("ok", "ok"), tickets=("ok", "ok")):
        """Waits a little: winbindd may have looked for the partner in vain a moment ago (F7)."""
        for _ in range(6):
            found = tuple(self.channel(side) for side in self.sides)
            if found == channels:
                break
            self.heal()
            time.sleep(2)
        self.assertEqual(found, channels)
        self.assertEqual(tuple(self.ticket(side) for side in self.sides), tickets)

    def whole(self, side):
        """Our one side stands, marked and whole, and nothing else does."""
        _, found = side.ask("list")
        self.assertEqual([trust["mark"]["whole"] for trust in found["trusts"]], [True], found)
        self.assertEqual((found["missing"], found["orphans"]), ([], []))
        self.assertEqual(side.left(), [side.partner + ".json"])
        # Made to its end: the names of the partner's forest come last.
        raw = side.on("/usr/bin/python3", "-c", FOREST_INFORMATION, side.partner).strip()
        self.assertEqual(raw, b"24 True", "encryption types, and whether names of the forest are there")

    def test_a_trust_both_ways_works_and_goes(self):
        secret = next(SECRETS)
        self.assertEqual(self.ensure(self.host, secret, golden="ensure-made")[1]["made"], True)
        self.assertEqual(self.channel(self.host, golden="verify-one-sided"), "one-sided")
        self.assertEqual(self.ticket(self.host, golden="probe-one-sided"), "one-sided")
        self.assertEqual(self.ensure(self.ibe, secret)[1]["made"], True)
        self.heal(golden="heal")
        self.works()
        self.channel(self.host, golden="verify-ok")
        self.ticket(self.host, golden="probe-ok")
        # Asked again, with another secret: nothing is changed.
        self.assertEqual(self.ensure(self.host, next(SECRETS), golden="ensure-unchanged")[1]["made"], False)
        self.host.ask("list", golden="list")
        for side in self.sides:
            self.whole(side)
        self.works()
        fields = {"tenant": "ibestad", "domain": self.host.partner, "sid": self.ibe.description["sid"]}
        self.assertEqual(self.host.ask("remove", golden="remove", **fields), ("removed", {"was": True}))
        self.assertEqual(self.host.ask("remove", golden="remove-again", **fields), ("removed", {"was": False}))
        self.assertEqual(self.host.ask("verify", golden="verify-no-trust", domain=self.host.partner)[0], "no-trust")

    def test_preflight_sees_the_partner(self):
        found = self.host.ask("preflight", golden="preflight", domain=self.host.partner, dnsServers=[], controllers=[])[1]
        self.assertEqual((found["dns"]["outcome"], found["partner"]["netbios"]), ("ok", self.ibe.description["netbios"]))
        self.assertEqual(set(found["ports"].values()), {"open"}, found)
        self.assertLess(abs(found["clockSkewSeconds"]), 3)
        lost = self.host.ask("preflight", golden="preflight-no-dns", domain="third.test", dnsServers=[], controllers=["dc.third.test"])[1]
        self.assertIn(lost["dns"]["outcome"], ("no-answer", "nxdomain"))
        self.assertEqual((lost["controller"], lost["ports"]), (None, {}))

    def test_preflight_tells_which_port_is_shut(self):
        """One of these faults after the other, at the partner's controller, with nftables."""
        self.addCleanup(self.ibe.on, "nft", "delete", "table", "inet", "faults", check=False)
        dns = next(host["addresses"][0] for host in self.host.ask("preflight", domain=self.host.partner, dnsServers=[], controllers=[])[1]["dns"]["hosts"])
        for rule, shut in (
            ("udp dport 389 drop", {"389/udp": "timeout"}), ("udp dport 88 drop", {"88/udp": "timeout"}),
            ("meta l4proto { tcp, udp } th dport 88 drop", {"88/tcp": "timeout", "88/udp": "timeout"}),
            ("tcp dport 445 reject with tcp reset", {"445/tcp": "refused"}), ("tcp dport 49152-65535 drop", {"netlogon/tcp": "timeout"}),
            ("tcp dport 135 drop", {"135/tcp": "timeout", "netlogon/tcp": "unknown"}),
        ):
            with self.subTest(rule=rule):
                chain = "type filter hook input priority 0;"
                self.ibe.on("nft", "-f", "-", given=f"table inet faults {{}}\ndelete table inet faults\n"
                                                    f"table inet faults {{\n chain in {{\n {chain}\n {rule}\n }}\n}}\n".encode())
                found = self.host.ask("preflight", golden="preflight-shut" if len(shut) == 2 else None, domain=self.host.partner,
                                      dnsServers=[dns], controllers=[self.ibe.description["controller"]])[1]
                self.assertEqual({port: word for port, word in found["ports"].items() if word != "open"}, shut)
                self.assertEqual(found["partner"] is None, "389/udp" in shut)
                self.assertEqual(found["clockSkewSeconds"] is None, len(shut) == 2 and "88/udp" in shut)

    def test_one_way_each_way_after_the_other(self):
        """With what winbindd remembers of another direction (F5)."""
        for ways, channels, tickets in (
            ("outbound", ("ok", "not-applicable"), ("not-applicable", "ok")),
            ("inbound", ("not-applicable", "ok"), ("ok", "not-applicable")),
        ):
            with self.subTest(ways=ways):
                self.both(direction=ways)
                self.works(channels, tickets)
                self.tearDown()

    def test_an_external_trust(self):
        self.both(kind="external")
        self.works()
        self.assertEqual(self.host.ask("list")[1]["trusts"][0]["kind"], "external")

    def test_made_anew_with_another_secret_it_works(self):
        self.both()
        self.works()
        self.both(anew=True)
        self.heal()
        self.works()
        for side in self.sides:
            self.whole(side)

    def test_another_direction_is_made_only_anew(self):
        self.both()
        reason, refusal = self.ensure(self.host, next(SECRETS), direction="outbound", golden="ensure-conflicting-trust")
        self.assertEqual((reason, refusal["found"]["direction"]), ("conflicting-trust", "both"))
        self.assertEqual(self.ensure(self.host, next(SECRETS), selective=True)[0], "conflicting-trust")
        self.assertEqual(self.ensure(self.host, next(SECRETS), kind="external")[0], "conflicting-trust")
        self.both(direction="outbound", anew=True)
        self.assertEqual(self.host.ask("list")[1]["trusts"][0]["direction"], "outbound")
        self.works(("ok", "not-applicable"), ("not-applicable", "ok"))

    def test_two_secrets_are_told(self):
        for side in self.sides:
            self.ensure(side, next(SECRETS))
        self.heal()
        self.assertEqual(self.channel(self.host, golden="verify-wrong-secret"), "wrong-secret")
        self.assertEqual(self.ticket(self.host, golden="probe-wrong-secret"), "wrong-secret")

    def test_two_kinds_are_told(self):
        secret = next(SECRETS)
        self.ensure(self.host, secret)
        self.ensure(self.ibe, secret, kind="external")
        self.heal()
        self.assertIn(self.channel(self.host, golden="verify-other-kind"), ("other-kind",))

    def test_an_account_that_was_left_is_told_and_goes_when_asked(self):
        host = self.host
        self.ensure(host, next(SECRETS))
        self.forget(host)
        host.on("/usr/bin/python3", "-c", LDAP_DELETE, host.partner)
        self.assertEqual(host.ask("list", golden="list-orphan")[1]["orphans"], [self.ibe.description["netbios"]])
        self.assertEqual(self.ensure(host, next(SECRETS), golden="ensure-orphan-account")[0], "orphan-account")
        self.assertEqual(host.left(), [])
        self.assertEqual(self.ensure(host, next(SECRETS), removeOrphan=True)[1]["made"], True)
        self.whole(host)
        # Where our record tells of the trust, the account is ours.
        host.on("/usr/bin/python3", "-c", LDAP_DELETE, host.partner)
        self.assertEqual(host.ask("list", golden="list-missing")[1]["missing"][0]["domain"], host.partner)
        self.assertEqual(self.ensure(host, next(SECRETS))[1]["made"], True)
        self.whole(host)
        host.on("/usr/bin/python3", "-c", LDAP_DELETE, host.partner)
        self.assertEqual(host.ask("remove", tenant="ibestad", domain=host.partner, sid=self.ibe.description["sid"]), ("removed", {"was": False}))

    def forget(self, side):
        os.unlink(os.path.join(side.base, "state", "nord", side.partner + ".json"))

    def test_what_is_taken_is_told(self):
        host, third = self.host, self.third
        self.assertEqual(self.ensure(host, next(SECRETS), **third)[1]["made"], True)
        name = self.ibe.description["netbios"]
        for reason, others in (
            ("netbios-taken", {"netbios": "THIRD"}), ("sid-taken", {"sid": third["sid"]}), ("own-name", {"netbios": host.description["netbios"]}),
            ("own-sid", {"sid": host.description["sid"]}),
        ):
            with self.subTest(reason=reason):
                self.assertEqual(self.ensure(host, next(SECRETS), golden="ensure-" + reason, **others)[0], reason)
                self.assertEqual(host.left(), ["third.test.json"])
        self.assertEqual(self.ensure(host, next(SECRETS), golden="ensure-sid-mismatch", **{**third, "sid": "S-1-5-21-1-2-3"})[0], "sid-mismatch")
        self.assertEqual(self.ensure(host, next(SECRETS), domain="fourth.test", golden="ensure-not-allowed")[0], "not-allowed")
        self.assertEqual(self.ensure(host, next(SECRETS), installation="vest", golden="ensure-installation")[0], "installation")
        # An account that is none of a trust.
        host.on("samba-tool", "computer", "create", name)
        try:
            self.assertEqual(self.ensure(host, next(SECRETS))[0], "netbios-taken")
        finally:
            host.on("samba-tool", "computer", "delete", name)

    def test_names_that_are_taken_are_told_and_nothing_stays(self):
        host = self.host
        host.on("/usr/bin/python3", "-c", UPN_SUFFIX, "add", host.partner)
        try:
            reason, refusal = self.ensure(host, next(SECRETS), golden="ensure-name-collision")
        finally:
            host.on("/usr/bin/python3", "-c", UPN_SUFFIX, "delete", host.partner)
        self.assertEqual((reason, refusal.get("names")), ("name-collision", [host.partner]), refusal)

    def test_others_trusts_are_adopted_or_left(self):
        secret = self.both()
        host, sid = self.host, self.ibe.description["sid"]
        fields = {"tenant": "ibestad", "domain": host.partner, "sid": sid, "direction": "both", "kind": "forest"}
        other = {**fields, "tenant": "salangen"}
        # Of another tenant, and of another installation.
        self.assertEqual(self.ensure(host, secret, tenant="salangen", anew=True)[0], "not-ours")
        self.assertEqual(host.ask("adopt", **other)[0], "not-ours")
        self.assertEqual(host.ask("remove", tenant="salangen", domain=host.partner, sid=sid)[0], "not-ours")
        for operation, more in (("adopt", fields), ("ensure", self.wanted(host, secret)), ("remove", {"tenant": "ibestad", "domain": host.partner, "sid": sid})):
            self.assertEqual(host.ask(operation, installation="sor", **more)[0], "not-ours")
        seen = host.ask("list", installation="sor", golden="list-others")[1]
        self.assertIsNone(seen["trusts"][0]["mark"])
        self.assertEqual(seen["others"], [{"domain": host.partner, "installation": "nord"}])
        # Of nobody.
        self.forget(host)
        reason, refusal = self.ensure(host, secret, golden="ensure-not-ours")
        self.assertEqual((reason, refusal["found"]["mark"]), ("not-ours", None))
        self.assertEqual(self.ensure(host, secret, anew=True)[0], "not-ours")
        self.assertEqual(host.ask("remove", golden="remove-not-ours", tenant="ibestad", domain=host.partner, sid=sid)[0], "not-ours")
        self.assertEqual(host.ask("adopt", golden="adopt-conflicting-trust", **{**fields, "direction": "inbound"})[0], "conflicting-trust")
        self.assertEqual(host.ask("adopt", **{**fields, "kind": "external"})[0], "conflicting-trust")
        self.assertEqual(host.ask("adopt", golden="adopt-sid-mismatch", **{**fields, "sid": "S-1-5-21-1-2-3"})[0], "sid-mismatch")
        for _ in range(2):
            name, done = host.ask("adopt", golden="adopt", **fields)
            self.assertEqual((name, done["trust"]["mark"]["origin"]), ("adopted", "adopted"))
        self.works()
        self.assertEqual(host.ask("remove", tenant="ibestad", domain=host.partner, sid="S-1-5-21-1-2-3")[0], "sid-mismatch")

    def test_what_samba_cannot_is_told(self):
        host = self.host
        self.assertEqual(host.ask("set", golden="set-unsupported", tenant="ibestad", domain=host.partner, selective=True, filtersSids=True)[0], "unsupported")
        self.assertEqual(host.ask("forward", golden="forward-unsupported", tenant="ibestad", domain=host.partner, dnsServers=["10.0.0.1"])[0], "unsupported")

    def test_one_writes(self):
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        self.addCleanup(lambda: os.path.exists(self.host.base + "/state/nord/.claim") and os.unlink(self.host.base + "/state/nord/.claim"))
        self.assertEqual(self.host.ask("claim", golden="claim", holder="a", expires=expires, takeOver=False)[0], "claimed")
        self.assertEqual(self.host.ask("claim", golden="claim-claimed", holder="b", expires=expires, takeOver=False)[1]["reason"], "claimed")
        self.assertEqual(self.host.ask("claim", holder="b", expires=expires, takeOver=True)[1]["holder"], "b")
        os.unlink(self.host.base + "/state/nord/.claim")

    def test_many_calls_at_once_make_one_trust(self):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda secret: self.ensure(self.host, secret), [next(SECRETS) for _ in range(4)]))
        self.assertEqual(sorted(done.get("made") for _, done in found), [False, False, False, True], found)
        self.whole(self.host)

    def lines(self, doing):
        """The lines of the changing functions that a call runs, each once."""
        path = os.path.join(self.host.base, "lines")
        if os.path.exists(path):
            os.unlink(path)
        self.assertIn(doing("trace")[0], ("ensured", "removed"))
        with open(path, encoding="ascii") as file:
            ran = [line.split() for line in file]
        return list(dict.fromkeys(number for function, number in ran if function in CHANGING))[::EVERY]

    def kill_everywhere(self, doing, before, after):
        before()
        for line in self.lines(doing):
            with self.subTest(line=line):
                before()
                reason, _ = doing(line)
                self.assertEqual(reason, "host", "the line was not reached")
                done = doing("-")
                self.assertIn(done[0], ("ensured", "removed"), done)
                after()

    def test_killed_anywhere_in_making_it_goes_on(self):
        host = self.host
        self.kill_everywhere(lambda mode: self.ensure(host, "The-one-secret-of-this-test", mode=mode), self.gone, lambda: self.whole(host))

    def test_killed_anywhere_in_making_anew_it_goes_on(self):
        host = self.host
        self.ensure(host, next(SECRETS))
        self.kill_everywhere(lambda mode: self.ensure(host, "The-one-secret-of-this-test", mode=mode, anew=True), lambda: None, lambda: self.whole(host))

    def test_killed_anywhere_in_removing_it_goes_on(self):
        host = self.host
        fields = {"tenant": "ibestad", "domain": host.partner, "sid": self.ibe.description["sid"]}

        def nothing():
            self.assertEqual(host.ask("list"), ("trusts", {"trusts": [], "missing": [], "orphans": [], "others": []}))
            self.assertEqual(host.left(), [])

        self.kill_everywhere(lambda mode: host.ask("remove", mode=mode, **fields), lambda: self.ensure(host, next(SECRETS)), nothing)

    def test_killed_in_making_and_then_removed_nothing_stays(self):
        host = self.host
        for line in self.lines(lambda mode: self.ensure(host, next(SECRETS), mode=mode))[::4]:
            with self.subTest(line=line):
                self.gone()
                self.ensure(host, next(SECRETS), mode=line)
                self.gone()
                self.assertEqual(host.ask("list"), ("trusts", {"trusts": [], "missing": [], "orphans": [], "others": []}))
                self.assertEqual(host.left(), [])

    def gone(self):
        found = self.host.ask("remove", tenant="ibestad", domain=self.host.partner, sid=self.ibe.description["sid"])
        self.assertEqual(found[0], "removed")


PRELUDE = """
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
lp = LoadParm(); lp.load_default()
db = SamDB(session_info=system_session(), lp=lp)
system = "CN=System," + str(db.domain_dn())
"""
LDAP_DELETE = PRELUDE + """
db.delete("CN=" + sys.argv[1] + "," + system)
"""
FOREST_INFORMATION = PRELUDE + """
[entry] = db.search(base="CN=" + sys.argv[1] + "," + system, scope=0)
print(entry.get("msDS-SupportedEncryptionTypes", idx=0), "msDS-TrustForestTrustInfo" in entry)
"""
UPN_SUFFIX = PRELUDE + """
import ldb
message = ldb.Message(ldb.Dn(db, "CN=Partitions," + str(db.get_config_basedn())))
flag = ldb.FLAG_MOD_ADD if sys.argv[1] == "add" else ldb.FLAG_MOD_DELETE
message["uPNSuffixes"] = ldb.MessageElement(sys.argv[2], flag, "uPNSuffixes")
db.modify(message)
"""

if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3 -I
"""The agent of vertskommune on a domain controller of Samba: one request as JSON on standard input, one answer on standard output.

It is the forced command of the controller's key, runs as root on the PDC emulator, and only ever touches this directory's own side
of a trust. The protocol stands in docs/directory-agent.md; the agent for Windows Server answers the same.

From top to bottom: what may be asked; what the administrators allow; what we remember; the directory itself; what can be seen of
the partner from here; the operations; how one call is carried out.
"""

import calendar
import concurrent.futures
import contextlib
import datetime
import fcntl
import ipaddress
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

AGENT = "0.1.0"
PROTOCOL = 1
COMMAND = "vertskommune directory agent"
LONGEST_REQUEST = 64 << 10
SETTINGS = "/etc/vertskommune/directory-agent.json"
STATE = "/var/lib/vertskommune-directory"

# In seconds. The whole of a call: reading, waiting for another one, and working.
READING = 10
WAITING = 10
WORKING = 25
# What one remote call may take of it, and one whose failure is nobody's.
REMOTE = 15
RENEWING = 5


class Refused(Exception):
    """Why it is not done: a reason for machines, a sentence for people that says what to do, and what was found."""

    def __init__(self, reason, message, **details):
        super().__init__(message)
        self.answer = {"reason": reason, "message": message, **details}


# ---------------------------------------------------------------------------------------------------------------------------
# What may be asked. A value is checked once, here, before anything is done. No message repeats a value: it may be the secret.


def text(pattern, longest, what):
    """A checker of text: all of it must match, and in ASCII."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value):
        if type(value) is not str or len(value) > longest or not compiled.fullmatch(value):
            raise ValueError(what)
        return value

    return check


def one_of(*words):
    def check(value):
        if type(value) is not str or value not in words:
            raise ValueError("is one of " + ", ".join(words))
        return value

    return check


def boolean(value):
    if type(value) is not bool:
        raise ValueError("is true or false")
    return value


def list_of(checker, most):
    def check(value):
        if type(value) is not list or len(value) > most:
            raise ValueError(f"is a list of at most {most}")
        return [checker(one) for one in value]

    return check


LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
label = text(LABEL, 63, "is a name of small letters, digits and hyphens")
# The last label has a letter, else an address would be a name.
domain_name = text(rf"(?:{LABEL}\.)+(?![0-9]+\Z){LABEL}", 253, "is a DNS name of two labels or more in small letters")
# As the manifest's rule for it.
netbios_name = text(r"[A-Z0-9](?:[A-Z0-9-]{0,13}[A-Z0-9])?", 15, "is a NetBIOS name of at most 15 capitals, digits and hyphens")
SID = r"S-1-5-21-(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,9})"


def domain_sid(value):
    found = re.fullmatch(SID, value, re.ASCII) if type(value) is str and len(value) <= 64 else None
    if not found or any(int(part) >= 1 << 32 for part in found.groups()):
        raise ValueError("is the SID of a domain, S-1-5-21-…")
    return value


def secret(value):
    """Of any characters, since people agree on some. No control characters: they are mistakes in copying."""
    if type(value) is not str or not 14 <= len(value) <= 120:
        raise ValueError("has from 14 to 120 characters")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in value):
        raise ValueError("has no control characters")
    return value


def address(value):
    if type(value) is not str or not re.fullmatch(r"[0-9a-fA-F:.]{2,45}", value, re.ASCII):
        raise ValueError("is an IP address")
    try:
        there = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("is an IP address") from None
    if there.is_multicast or there.is_unspecified:
        raise ValueError("is the IP address of one host")
    return value


def holder(value):
    if type(value) is not str or not 1 <= len(value) <= 200 or not value.isprintable():
        raise ValueError("has from 1 to 200 printable characters")
    return value


def moment(value):
    """A point in time as the controller writes it: RFC 3339 in UTC."""
    text(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z", 30, "is a time such as 2026-01-31T12:00:00Z")(value)
    seconds_of(value)
    return value


def seconds_of(value):
    try:
        return calendar.timegm(time.strptime(value[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        raise ValueError("is a time such as 2026-01-31T12:00:00Z") from None


direction = one_of("inbound", "outbound", "both")
kind = one_of("forest", "external")

# Every operation with all of its fields. None may be left out, none may be added.
ASKS = {
    "describe": {},
    "list": {},
    "preflight": {"domain": domain_name, "dnsServers": list_of(address, 8), "controllers": list_of(domain_name, 16)},
    "ensure": {
        "tenant": label, "domain": domain_name, "netbios": netbios_name, "sid": domain_sid, "direction": direction, "kind": kind,
        "selective": boolean, "filtersSids": boolean, "secret": secret, "anew": boolean, "removeOrphan": boolean,
    },
    "adopt": {"tenant": label, "domain": domain_name, "sid": domain_sid, "direction": direction, "kind": kind},
    "set": {"tenant": label, "domain": domain_name, "selective": boolean, "filtersSids": boolean},
    "verify": {"domain": domain_name},
    "probe": {"domain": domain_name, "controller": domain_name},
    "heal": {"domain": domain_name},
    "remove": {"tenant": label, "domain": domain_name, "sid": domain_sid},
    "forward": {"tenant": label, "domain": domain_name, "dnsServers": list_of(address, 8)},
    "claim": {"holder": holder, "expires": moment, "takeOver": boolean},
}


def malformed(message):
    return Refused("malformed", f"the request cannot be read: {message}")


def no_duplicates(pairs):
    """Of two fields with one name each reader takes another one."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)


def refuse_constant(_):
    raise ValueError


def read_json(raw):
    """An object of JSON, or ValueError. Nothing of it is in the error."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=no_duplicates, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON in UTF-8, or a field stands in it twice") from None
    if type(value) is not dict:
        raise ValueError("it is no JSON object")
    return value


def exactly(value, names, where):
    if type(value) is not dict or set(value) != set(names):
        raise malformed(f"{where} has exactly the fields {', '.join(names) or '(none)'}")
    return value


def read_request(raw):
    """The installation, the operation and its checked fields."""
    if len(raw) > LONGEST_REQUEST:
        raise malformed(f"it is longer than {LONGEST_REQUEST} bytes")
    try:
        request = read_json(raw)
    except ValueError as error:
        raise malformed(error) from None
    version = request.get("protocol")
    if type(version) is not int:
        raise malformed("protocol is a number")
    if version != PROTOCOL:
        raise Refused("protocol", f"this agent speaks version {PROTOCOL} of the agents' protocol: install the same version of "
                                  "vertskommune on both sides")
    exactly(request, ["protocol", "installation", "ask"], "a request")
    try:
        installation = label(request["installation"])
    except ValueError as error:
        raise malformed(f"installation {error}") from None
    if type(request["ask"]) is not dict or len(request["ask"]) != 1:
        raise malformed("ask has one operation")
    [(operation, fields)] = request["ask"].items()
    if operation not in ASKS:
        raise malformed(f"ask is one of {', '.join(ASKS)}")
    exactly(fields, list(ASKS[operation]), operation)
    checked = {}
    for name, checker in ASKS[operation].items():
        try:
            checked[name] = checker(fields[name])
        except ValueError as error:
            raise malformed(f"{operation}.{name} {error}") from None
    return installation, operation, checked


def read_limited(descriptor):
    """All of standard input, and never more than one byte too much of it."""
    raw = b""
    while len(raw) <= LONGEST_REQUEST:
        part = os.read(descriptor, LONGEST_REQUEST + 1 - len(raw))
        if not part:
            break
        raw += part
    return raw


# ---------------------------------------------------------------------------------------------------------------------------
# What the domain's administrators allow.


def allowed(installation):
    """The partners of this installation with the directions that each may have, from the administrators' file."""
    settings = read_settings()
    try:
        if set(settings) != {"installations"} or type(settings["installations"]) is not dict:
            raise ValueError("it has the field installations, an object")
        found = None
        for name, entry in settings["installations"].items():
            label(name)
            if type(entry) is not dict or set(entry) != {"partners"} or type(entry["partners"]) is not dict:
                raise ValueError("an installation has the field partners, an object")
            partners = {domain_name(domain): list_of(direction, 3)(ways) for domain, ways in entry["partners"].items()}
            if name == installation:
                found = partners
    except ValueError as error:
        raise Refused("host", f"{SETTINGS} cannot be used: {error}") from None
    if found is None:
        raise Refused("installation", f"this directory does not serve that installation: its administrators name it in {SETTINGS}")
    return found


def read_settings():
    """What is read is what was looked at: the file is opened once. Who could write it would be master of the domain's trusts."""
    try:
        folder = os.open(os.path.dirname(SETTINGS), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            must_be_ours(os.fstat(folder), os.path.dirname(SETTINGS))
            descriptor = os.open(os.path.basename(SETTINGS), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        with open(descriptor, "rb") as file:
            there = os.fstat(descriptor)
            must_be_ours(there, SETTINGS)
            if not stat.S_ISREG(there.st_mode):
                raise Refused("host", f"{SETTINGS} is no file")
            return read_json(file.read(1 << 20))
    except OSError as error:
        raise Refused("host", f"{SETTINGS} cannot be read: {error.strerror}: the domain's administrators write there which "
                              "installations and partners they allow") from None
    except ValueError as error:
        raise Refused("host", f"{SETTINGS} cannot be used: {error}") from None


def must_be_ours(there, path):
    if there.st_uid != 0 or there.st_mode & 0o022:
        raise Refused("host", f"{path} must belong to root and be writable by nobody else: chown root, chmod go-w")


# ---------------------------------------------------------------------------------------------------------------------------
# What we remember: one file for each trust that we made or adopted, and the claim of the one writer.

# What a record says. `state` is making or removing while that is under way: whoever finds it so was preceded by a death, and
# all that stands under that name is ours and half.
RECORD = {
    "tenant": label, "domain": domain_name, "netbios": netbios_name, "sid": domain_sid, "direction": direction, "kind": kind,
    "origin": one_of("made", "adopted"), "state": one_of("making", "whole", "removing"), "forwarder": boolean, "since": moment,
}


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Records:
    """The records of one installation."""

    def __init__(self, installation):
        self.folder = os.path.join(STATE, installation)
        for path in (STATE, self.folder):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
                sync_folder(os.path.dirname(path))
            there = os.lstat(path)
            must_be_ours(there, path)
            if not stat.S_ISDIR(there.st_mode):
                raise Refused("host", f"{path} is no folder")

    def get(self, domain):
        value = self.read(domain + ".json", RECORD)
        if value is not None and value["domain"] != domain:
            raise Refused("host", f"{self.folder}/{domain}.json tells of another domain: somebody changed it; look at it")
        return value

    def all(self):
        names = sorted(name for name in os.listdir(self.folder) if name.endswith(".json") and not name.startswith("."))
        return {name[:-5]: self.get(name[:-5]) for name in names}

    def put(self, record):
        self.write(record["domain"] + ".json", record)

    def drop(self, domain):
        # The second is of a death while it was written.
        for name in (domain + ".json", "." + domain + ".json.new"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, name))
        sync_folder(self.folder)

    def read(self, name, fields):
        path = os.path.join(self.folder, name)
        try:
            with open(path, "rb") as file:
                value = read_json(file.read(LONGEST_REQUEST))
            if set(value) != set(fields):
                raise ValueError("its fields are others")
            return {field: check(value[field]) for field, check in fields.items()}
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Refused("host", f"{path} cannot be read: {error}: look at it, and at the trust that it tells of") from None

    def write(self, name, value):
        """Whole or not at all, also when the power fails: what it tells of begins only after it is on the disk."""
        path = os.path.join(self.folder, name)
        begun = os.path.join(self.folder, "." + name + ".new")
        descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(json.dumps(value, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(begun, path)
        sync_folder(self.folder)


def sync_folder(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def of_others(installation):
    """The domains of whose trusts other installations have records, each with whose it is. There is one trust for all of them."""
    others = sorted(other for other in os.listdir(STATE) if other != installation and not other.startswith("."))
    return {
        name[:-5]: other
        for other in others if os.path.isdir(os.path.join(STATE, other))
        for name in sorted(os.listdir(os.path.join(STATE, other))) if name.endswith(".json") and not name.startswith(".")
    }


@contextlib.contextmanager
def locked(name):
    """One call at a time. The kernel lets go of the lock of whoever died."""
    Records(".locks")
    descriptor = os.open(os.path.join(STATE, ".locks", name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + WAITING
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Refused("busy", f"another call works on this directory for more than {WAITING} seconds: ask again") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------------------------------------------
# The directory. It is looked at in its database and changed by LSA alone, which holds trust and account together.

DIRECTIONS = {1: "inbound", 2: "outbound", 3: "both"}
NUMBERS = {word: number for number, word in DIRECTIONS.items()}
FILTERED, FOREST, SELECTIVE, WITHIN_FOREST, AS_EXTERNAL = 0x4, 0x8, 0x10, 0x20, 0x40
AES = 0x18
UPLEVEL = 2
# Accounts of trusts, by userAccountControl.
TRUST_ACCOUNT = 0x800


def attributes_of(ask):
    """trustAttributes as asked for. Filtering is the rule between forests and an exception between domains."""
    number = SELECTIVE if ask["selective"] else 0
    if ask["kind"] == "forest":
        return number | FOREST | (0 if ask["filtersSids"] else AS_EXTERNAL)
    return number | (FILTERED if ask["filtersSids"] else 0)


def unsigned(value):
    return int(value) & 0xFFFFFFFF


def same_way(trust, ask):
    return trust["direction"] == ask["direction"] and trust["kind"] == ask["kind"]


class Directory:
    """This controller's directory. The bindings are loaded late: what is refused before needs none of them."""

    def __init__(self):
        try:
            import samba
            from samba.auth import system_session
            from samba.param import LoadParm
            from samba.samdb import SamDB
        except ImportError:
            raise Refused("host", "the Python bindings of Samba are not there: install python3-samba") from None
        self.samba = samba
        self.parameters = LoadParm()
        self.parameters.load_default()
        # At a high level of logging the bindings write what is sent.
        samba.set_debug_level(0)
        if self.parameters.get("server role") != "active directory domain controller":
            raise Refused("host", "this is no domain controller of Samba")
        self.database = SamDB(session_info=system_session(), lp=self.parameters)
        self.base = str(self.database.domain_dn())
        self.domain = self.database.domain_dns_name().lower()
        self.netbios = self.database.domain_netbios_name()
        self.sid = str(self.database.get_domain_sid())
        self.machine = self.parameters.get("netbios name")
        self.binding = f"ncalrpc:{self.machine}[,auth_type=ncalrpc_as_system]"

    def is_pdc(self):
        found = self.database.search(base=self.base, scope=0, attrs=["fSMORoleOwner"])
        return str(found[0]["fSMORoleOwner"][0]).lower() == self.database.get_dsServiceName().lower()

    def trusts(self):
        """All trusts by their domain."""
        attributes = ["trustPartner", "flatName", "securityIdentifier", "trustDirection", "trustType", "trustAttributes",
                      "msDS-TrustForestTrustInfo"]
        found = self.database.search(base="CN=System," + self.base, scope=1, expression="(objectClass=trustedDomain)", attrs=attributes)
        trusts = [self.trust_of(entry) for entry in found]
        return {trust["domain"]: trust for trust in sorted(trusts, key=lambda trust: trust["domain"])}

    def trust(self, domain):
        return self.trusts().get(domain)

    def trust_of(self, entry):
        from samba.dcerpc import security
        from samba.ndr import ndr_unpack

        def first(name):
            return entry[name][0] if name in entry else None

        attributes = unsigned(first("trustAttributes") or 0)
        upleveled = int(first("trustType") or 0) == UPLEVEL
        forest = bool(attributes & FOREST)
        known = "forest" if upleveled and forest else "external" if upleveled and not attributes & WITHIN_FOREST else "other"
        sid = first("securityIdentifier")
        return {
            "domain": str(first("trustPartner")).lower(),
            "netbios": str(first("flatName") or ""),
            "sid": str(ndr_unpack(security.dom_sid, bytes(sid))) if sid is not None else None,
            "direction": DIRECTIONS.get(int(first("trustDirection") or 0)),
            "kind": known,
            "attributes": attributes,
            "selective": bool(attributes & SELECTIVE),
            "filtersSids": not attributes & AS_EXTERNAL if forest else bool(attributes & FILTERED),
            "namesInConflict": self.conflicts(first("msDS-TrustForestTrustInfo")),
        }

    def conflicts(self, raw):
        """The names of the partner's forest that another trust or our own forest has too: they are not routed."""
        from samba.dcerpc import drsblobs, lsa
        from samba.ndr import ndr_unpack

        if raw is None:
            return []
        names = []
        for entry in ndr_unpack(drsblobs.ForestTrustInfo, bytes(raw)).records:
            record = entry.record
            if record.type == lsa.LSA_FOREST_TRUST_TOP_LEVEL_NAME and record.flags & lsa.LSA_TLN_DISABLED_CONFLICT:
                names.append(record.data.string)
            elif record.type == lsa.LSA_FOREST_TRUST_DOMAIN_INFO:
                if record.flags & lsa.LSA_SID_DISABLED_CONFLICT:
                    names.append(record.data.dns_name.string)
                if record.flags & lsa.LSA_NB_DISABLED_CONFLICT:
                    names.append(record.data.netbios_name.string)
        return sorted(names)

    def account(self, netbios):
        """The account that a trust with this domain has or would have: its name, and whether it is one of a trust."""
        found = self.database.search(base=self.base, scope=2, expression=f"(sAMAccountName={netbios}$)", attrs=["userAccountControl"])
        for entry in found:
            return entry.dn, bool(int(entry["userAccountControl"][0]) & TRUST_ACCOUNT)
        return None

    def orphans(self):
        """The NetBIOS names of accounts of trusts that are gone."""
        only = f"(&(objectClass=user)(userAccountControl:1.2.840.113556.1.4.803:={TRUST_ACCOUNT}))"
        found = self.database.search(base=self.base, scope=2, expression=only, attrs=["sAMAccountName"])
        taken = {trust["netbios"].upper() for trust in self.trusts().values()}
        names = {str(entry["sAMAccountName"][0]).removesuffix("$") for entry in found}
        return sorted(name for name in names if name.upper() not in taken)

    def remove_account(self, netbios):
        """Takes the account of a trust that is gone. One that a trust still has stays, and so does any other account."""
        there = self.account(netbios)
        if there and there[1] and netbios in self.orphans():
            self.database.delete(there[0])

    def lsa(self):
        """A connection and a handle of the policy that may change trusts."""
        from samba.dcerpc import lsa

        connection = lsa.lsarpc(self.binding, self.parameters, None)
        connection.request_timeout = REMOTE
        attributes = lsa.ObjectAttribute()
        attributes.sec_qos = lsa.QosInfo()
        access = lsa.LSA_POLICY_VIEW_LOCAL_INFORMATION | lsa.LSA_POLICY_TRUST_ADMIN | lsa.LSA_POLICY_CREATE_SECRET
        return connection, connection.OpenPolicy2("", attributes, access)

    def create(self, ask):
        """Makes our side. What a death leaves of it is told by the record that stands already.

        Returns the partner's names that are taken, and by which forests; none where none are.
        """
        from samba.dcerpc import lsa, security
        from samba.trust_utils import CreateTrustedDomainRelax

        connection, policy = self.lsa()
        wanted = lsa.TrustDomainInfoInfoEx()
        wanted.domain_name.string = ask["domain"]
        wanted.netbios_name.string = ask["netbios"]
        wanted.sid = security.dom_sid(ask["sid"])
        wanted.trust_direction = NUMBERS[ask["direction"]]
        wanted.trust_type = lsa.LSA_TRUST_TYPE_UPLEVEL
        wanted.trust_attributes = attributes_of(ask)
        # One secret for both ways: Windows knows no other, and so no side must know what the other one is.
        incoming = self.secret_blob(ask["secret"] if wanted.trust_direction & 1 else None)
        outgoing = self.secret_blob(ask["secret"] if wanted.trust_direction & 2 else None)
        handle = CreateTrustedDomainRelax(connection, policy, wanted, lsa.LSA_TRUSTED_DOMAIN_ALL_ACCESS, incoming, outgoing)
        encryption = lsa.TrustDomainInfoSupportedEncTypes()
        encryption.enc_types = AES
        connection.SetInformationTrustedDomain(handle, lsa.LSA_TRUSTED_DOMAIN_SUPPORTED_ENCRYPTION_TYPES, encryption)
        if ask["kind"] != "forest":
            return None
        name = lsa.StringLarge()
        name.string = ask["domain"]
        collisions = connection.lsaRSetForestTrustInformation(policy, name, lsa.LSA_FOREST_TRUST_DOMAIN_INFO, self.forest_of(ask), 0)
        if collisions is None:
            return None
        # Which of the two entries of forest_of collides, and with whose: this forest's, or another trust's.
        names = sorted({ask["netbios"] if entry.index else ask["domain"] for entry in collisions.entries})
        return (names, sorted({entry.name.string for entry in collisions.entries})) if names else None

    def secret_blob(self, value):
        from samba import string_to_byte_array, unix2nttime
        from samba.dcerpc import drsblobs, lsa

        blob = drsblobs.trustAuthInOutBlob()
        blob.count = 0
        if value is None:
            return blob
        raw = string_to_byte_array(value.encode("utf-16-le"))
        clear = drsblobs.AuthInfoClear()
        clear.size = len(raw)
        clear.password = raw
        information = drsblobs.AuthenticationInformation()
        information.LastUpdateTime = unix2nttime(int(time.time()))
        information.AuthType = lsa.TRUST_AUTH_TYPE_CLEAR
        information.AuthInfo = clear
        current = drsblobs.AuthenticationInformationArray()
        current.count = 1
        current.array = [information]
        blob.count = 1
        blob.current = current
        return blob

    def forest_of(self, ask):
        """The partner's forest as it was asked for. To ask the partner fails where only it trusts us (F1)."""
        from samba.dcerpc import lsa, security

        top, domain = lsa.ForestTrustRecord(), lsa.ForestTrustRecord()
        top.type, top.flags = lsa.LSA_FOREST_TRUST_TOP_LEVEL_NAME, 0
        top.forest_trust_data = lsa.StringLarge()
        top.forest_trust_data.string = ask["domain"]
        data = lsa.ForestTrustDomainInfo()
        data.domain_sid = security.dom_sid(ask["sid"])
        data.dns_domain_name.string = ask["domain"]
        data.netbios_domain_name.string = ask["netbios"]
        domain.type, domain.flags = lsa.LSA_FOREST_TRUST_DOMAIN_INFO, 0
        domain.forest_trust_data = data
        forest = lsa.ForestTrustInformation()
        forest.count, forest.entries = 2, [top, domain]
        return forest

    def delete(self, domain):
        """Takes our side with its account."""
        from samba.dcerpc import lsa, security

        connection, policy = self.lsa()
        name = lsa.String()
        name.string = domain
        connection.DeleteObject(connection.OpenTrustedDomainByName(policy, name, security.SEC_STD_DELETE))

    def control_channel(self, domain, code, limit):
        """What Netlogon answers of the secure channel to the partner: a number of WERROR, and the partner's controller."""
        from samba.dcerpc import netlogon

        connection = netlogon.netlogon(self.binding, self.parameters, None)
        connection.request_timeout = limit
        try:
            answer = connection.netr_LogonControl2Ex(self.machine, code, 2, domain)
        except self.samba.WERRORError as error:
            return unsigned(error.args[0]), None
        except self.samba.NTSTATUSError as error:
            if unsigned(error.args[0]) == 0xC00000B5:
                raise Refused("timed-out", f"the partner's controller does not answer within {limit} seconds") from None
            raise
        numbers = [unsigned(answer.tc_connection_status[0])]
        if code == netlogon.NETLOGON_CONTROL_TC_VERIFY:
            numbers.append(unsigned(answer.pdc_connection_status[0]))
        controller = (answer.trusted_dc_name or "").lstrip("\\") or None
        return next((number for number in numbers if number), 0), controller

    def verify_channel(self, domain):
        from samba.dcerpc import netlogon

        return self.control_channel(domain, netlogon.NETLOGON_CONTROL_TC_VERIFY, REMOTE)

    def renew_channel(self, domain, limit):
        """winbindd keeps the channel of a trust that was made anew, for ever. Rediscovery makes it set up another (F4)."""
        from samba.dcerpc import netlogon

        return self.control_channel(domain, netlogon.NETLOGON_CONTROL_REDISCOVER, limit)[0]


# ---------------------------------------------------------------------------------------------------------------------------
# What can be seen of the partner from here, with nobody's password. Each of these faults looks the same to samba-tool.


def resolver_of(server, lifetime):
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=server is None)
    if server is not None:
        resolver.nameservers = [server]
    resolver.lifetime = lifetime
    return resolver


def resolve(server, name, record, lifetime):
    """An outcome and what was found. No server: those that this controller uses."""
    try:
        import dns.exception
        import dns.resolver
    except ImportError:
        raise Refused("host", "DNS cannot be asked: install python3-dnspython") from None
    try:
        return "ok", list(resolver_of(server, lifetime).resolve(name + ".", record))
    except dns.resolver.NXDOMAIN:
        return "nxdomain", []
    except dns.resolver.NoAnswer:
        return "no-answer", []
    except dns.exception.Timeout:
        return "timeout", []
    except (dns.exception.DNSException, OSError):
        return "servfail", []


def controllers_in_dns(server, domain):
    """The domain's controllers with their addresses, as this server knows them."""
    outcome, found = resolve(server, "_ldap._tcp.dc._msdcs." + domain, "SRV", 5)
    names = sorted({entry.target.to_text(omit_final_dot=True).lower() for entry in found})[:16]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        addresses = list(pool.map(lambda name: resolve(server, name, "A", 3), names))
    hosts = [{"name": name, "addresses": sorted(a.to_text() for a in found)} for name, (_, found) in zip(names, addresses)]
    if outcome == "ok" and not any(host["addresses"] for host in hosts):
        outcome = next((word for word, _ in addresses if word != "ok"), "no-answer")
    return outcome, hosts


def der(tag, *parts):
    """One value of ASN.1 in DER, for the two questions below."""
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def der_number(value, tag=2):
    return der(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def der_name(form, *parts):
    return der(0x30, der(0xA0, der_number(form)), der(0xA1, der(0x30, *(der(0x1B, part.encode()) for part in parts))))


def kerberos_question(realm):
    """An AS-REQ for a user that is none: the KDC answers with an error, in which its clock stands."""
    body = der(
        0x30, der(0xA0, der(3, b"\0" * 5)), der(0xA1, der_name(1, "vertskommune-clock")), der(0xA2, der(0x1B, realm.encode())),
        der(0xA3, der_name(2, "krbtgt", realm)), der(0xA5, der(0x18, b"20370913024805Z")),
        der(0xA7, der_number(int.from_bytes(os.urandom(3), "big"))), der(0xA8, der(0x30, der_number(18), der_number(17))),
    )
    return der(0x6A, der(0x30, der(0xA1, der_number(5)), der(0xA2, der_number(10)), der(0xA4, body)))


def kerberos_clock(answer):
    """The seconds since 1970 that the KDC's error tells; none where it is none."""
    found = re.search(rb"\xa4\x11\x18\x0f([0-9]{14})Z", answer)
    try:
        return calendar.timegm(time.strptime(found[1].decode(), "%Y%m%d%H%M%S")) if found else None
    except ValueError:
        return None


def ldap_ping(domain):
    """A search of the rootDSE over UDP, by which controllers are found: [MS-ADTS] 6.3.3."""
    asked = der(0xA0, der(0xA3, der(4, b"DnsDomain"), der(4, domain.encode())), der(0xA3, der(4, b"NtVer"), der(4, b"\6\0\0\0")))
    search = der(0x63, der(4), der(10, b"\0"), der(10, b"\0"), der_number(0), der_number(0), der(1, b"\0"), asked,
                 der(0x30, der(4, b"Netlogon")))
    return der(0x30, der_number(1), search)


def ldap_pong(answer):
    """Domain, forest and NetBIOS name in the answer to such a search: NETLOGON_SAM_LOGON_RESPONSE_EX; none where it is none."""
    found = re.search(rb"\x04.(?i:netlogon)\x31(?:[\x00-\x7f]|[\x81-\x84].{1,4}?)\x04([\x00-\x7f]|\x81.|\x82..|\x84....)(?=\x17\0)",
                      answer, re.DOTALL)
    if not found:
        return None
    value = answer[found.end():]
    place, names = 24, []
    try:
        while len(names) < 4:
            name, place = compressed_name(value, place)
            names.append(name)
    except (IndexError, UnicodeDecodeError):
        return None
    return {"domain": names[1].lower(), "forest": names[0].lower(), "netbios": names[3]}


def compressed_name(value, place):
    """A name as DNS packs them, and where the next one begins."""
    labels, after = [], None
    for _ in range(64):
        length = value[place]
        if length & 0xC0 == 0xC0:
            after = after or place + 2
            place = (length & 0x3F) << 8 | value[place + 1]
        elif length:
            labels.append(value[place + 1:place + 1 + length].decode("ascii"))
            place += 1 + length
        else:
            return ".".join(labels), after or place + 1
    raise IndexError


def rpc_question():
    """To the endpoint mapper on port 135: the packet that opens, and the one that asks for Netlogon's port."""
    import uuid

    def interface(name, version):
        return uuid.UUID(name).bytes_le + struct.pack("<I", version)

    def packet(form, call, body):
        return struct.pack("<BBBBIHHI", 5, 0, form, 3, 0x10, 16 + len(body), 0, call) + body

    ndr = interface("8a885d04-1ceb-11c9-9fe8-08002b104860", 2)
    netlogon = interface("12345678-1234-abcd-ef00-01234567cffb", 1)
    opening = packet(11, 1, struct.pack("<HHIB3xHBx", 4280, 4280, 0, 1, 0, 1) + interface("e1af8308-5d1f-11c9-91a4-08002b14a0fa", 3) + ndr)
    tower = struct.pack("<H", 5)
    for name in (netlogon, ndr):
        tower += struct.pack("<HB", 19, 13) + name[:18] + struct.pack("<HH", 2, 0)
    tower += b"\1\0\x0b\2\0\0\0" + b"\1\0\x07\2\0\0\x87" + b"\1\0\x09\4\0\0\0\0\0"
    stub = struct.pack("<III", 0, 2, len(tower)) + struct.pack("<I", len(tower)) + tower + b"\0" * (-len(tower) % 4)
    stub += b"\0" * 20 + struct.pack("<I", 4)
    return opening, packet(0, 2, struct.pack("<IHH", len(stub), 0, 3) + stub)


def rpc_port(answer):
    """The port in the mapper's answer: the floor of TCP in its first tower."""
    found = re.search(rb"\x01\x00\x07\x02\x00(..)\x01\x00\x09", answer, re.DOTALL)
    return struct.unpack(">H", found[1])[0] or None if found else None


def outcome_of(error):
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "timeout" if isinstance(error, TimeoutError) else "unreachable"


def try_tcp(host, port, ask=None):
    """An outcome, and with a question what it returns of the connection."""
    try:
        with socket.create_connection((host, port), 3) as connection:
            return "open", ask(connection) if ask else None
    except OSError as error:
        return outcome_of(error), None


def try_udp(host, port, question):
    """UDP is open only where something answers."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.settimeout(1.5)
            connection.connect((host, port))
            for left in (1, 0):
                connection.send(question)
                try:
                    return "open", connection.recv(8192)
                except TimeoutError:
                    if not left:
                        raise
    except OSError as error:
        return outcome_of(error), b""


def ahead(answer):
    """How many seconds the KDC's clock is ahead, asked at once after its answer. It tells whole seconds, of which half a one is gone."""
    clock = kerberos_clock(answer)
    return round(clock + 0.5 - time.time()) if clock is not None else None


def ask_kdc(connection, question):
    connection.settimeout(3)
    connection.sendall(struct.pack(">I", len(question)) + question)
    return ahead(connection.recv(8192))


def try_kdc(host, question):
    outcome, answer = try_udp(host, 88, question)
    return outcome, ahead(answer)


def ask_mapper(connection):
    connection.settimeout(3)
    opening, question = rpc_question()
    connection.sendall(opening)
    connection.recv(4096)
    connection.sendall(question)
    return rpc_port(connection.recv(8192))


TCP_PORTS = (53, 88, 135, 389, 445, 464, 636, 3268)


def look_at(host, domain):
    """The ports of one controller of the partner, how far its clock is ahead, and who it says it is."""
    realm = domain.upper()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        tcp = {f"{port}/tcp": pool.submit(try_tcp, host, port) for port in TCP_PORTS if port not in (88, 135)}
        tcp["88/tcp"] = pool.submit(try_tcp, host, 88, lambda connection: ask_kdc(connection, kerberos_question(realm)))
        tcp["135/tcp"] = pool.submit(try_tcp, host, 135, ask_mapper)
        udp = {"88/udp": pool.submit(try_kdc, host, kerberos_question(realm)),
               "389/udp": pool.submit(try_udp, host, 389, ldap_ping(domain))}
        found = {name: future.result() for name, future in {**tcp, **udp}.items()}
    ports = {name: outcome for name, (outcome, _) in found.items()}
    dynamic = found["135/tcp"][1]
    # Netlogon and LSA listen on a port of their own, which firewalls forget.
    ports["netlogon/tcp"] = try_tcp(host, dynamic)[0] if dynamic else "unknown"
    return {
        "ports": dict(sorted(ports.items())),
        "clockSkewSeconds": next((found[name][1] for name in ("88/udp", "88/tcp") if found[name][1] is not None), None),
        "partner": ldap_pong(found["389/udp"][1]),
    }


def preflight(ask):
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        ours = pool.submit(controllers_in_dns, None, ask["domain"])
        theirs = [(server, pool.submit(controllers_in_dns, server, ask["domain"])) for server in ask["dnsServers"]]
        outcome, hosts = ours.result()
        theirs = [(server, *future.result()) for server, future in theirs]
    known = {host["name"]: host["addresses"] for _, _, found in reversed(theirs) for host in found if host["addresses"]}
    known.update((host["name"], host["addresses"]) for host in hosts if host["addresses"])
    name = next((name for name in ask["controllers"] if name in known), None) or next(iter(sorted(known)), None)
    answer = {
        "dns": {"outcome": outcome, "hosts": hosts},
        "partnerDns": [{"server": server, "outcome": word, "hosts": found} for server, word, found in theirs],
        "controller": {"name": name, "address": known[name][0]} if name else None,
        "ports": {}, "clockSkewSeconds": None, "partner": None,
    }
    if name:
        answer.update(look_at(known[name][0], ask["domain"]))
    return answer


# What the end-to-end ticket fails of, by what Kerberos says in English.
TICKET = (
    ("Clock skew too great", "clock-skew"),
    ("Ticket not yet valid", "clock-skew"),
    ("Ticket expired", "clock-skew"),
    ("not found in Kerberos database", "no-trust"),
    ("The ticket isn't for us", "one-sided"),
    ("Decrypt integrity check failed", "wrong-secret"),
    ("Cannot contact any KDC", "unreachable"),
    ("Cannot find KDC", "unreachable"),
    ("policy rejects", "not-allowed"),
)


def ticket(directory, domain, controller):
    """Asks, as this machine, for a ticket to the partner's controller: the way of a user, without anybody's password."""
    realm = directory.domain.upper()
    folder = os.path.join(STATE, ".scratch")
    # What a death left of it is a ticket of this machine, which none but root can read.
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder, 0o700)
    try:
        with open(os.path.join(folder, "krb5.conf"), "x", encoding="ascii") as file:
            file.write(f"[libdefaults]\n default_realm = {realm}\n dns_lookup_realm = false\n dns_lookup_kdc = true\n rdns = false\n"
                       " dns_canonicalize_hostname = false\n")
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "KRB5CCNAME": f"FILE:{folder}/tickets",
                       "KRB5_CONFIG": f"{folder}/krb5.conf"}
        keytab = directory.parameters.private_path("secrets.keytab")
        for command in (["/usr/bin/kinit", "-k", "-t", keytab, f"{directory.machine.upper()}$@{realm}"],
                        ["/usr/bin/kvno", "-q", f"ldap/{controller}@{domain.upper()}"]):
            try:
                done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=REMOTE, env=environment,
                                      cwd="/", check=False)
            except subprocess.TimeoutExpired:
                return "unreachable", f"no ticket within {REMOTE} seconds"
            except FileNotFoundError:
                raise Refused("host", "kinit and kvno are not there: install krb5-user") from None
            if done.returncode:
                said = done.stderr.decode("utf-8", "replace").strip()[:500]
                if command[0].endswith("kinit"):
                    raise Refused("host", f"this controller gets no ticket of its own realm: {said}")
                return next((word for words, word in TICKET if words in said), "failed"), said
        return "ok", ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------------------------------------------------------------------
# The operations.

# What a number of the secure channel means, of those that were seen or say it themselves. All others: failed.
CHANNEL = {
    0: "ok",
    5: "wrong-secret",
    53: "unreachable",
    1311: "unreachable",
    1323: "wrong-secret",
    1331: "stale",
    1351: "restart-needed",
    1355: "unreachable",
    1460: "unreachable",
    1722: "unreachable",
    1786: "no-secret",
    1787: "one-sided",
    1810: "other-kind",
}


class Call:
    """One call of one installation."""

    def __init__(self, installation, partners):
        self.installation = installation
        self.partners = partners
        self.records = Records(installation)
        self.directory = None

    def open(self, operation):
        self.directory = Directory()
        if operation != "describe" and not self.directory.is_pdc():
            raise Refused("not-pdc", "this controller is not the PDC emulator of its domain: run the agent on the one that is "
                                     "(`samba-tool fsmo show`)")

    def allow(self, ask):
        """Before anything is looked at: the administrators' word."""
        if "domain" not in ask:
            return
        ways = self.partners.get(ask["domain"])
        if ways is None:
            raise Refused("not-allowed", f"no trust with {ask['domain']} is allowed here: the domain's administrators name it in {SETTINGS}")
        if "direction" in ask and ask["direction"] not in ways:
            raise Refused("not-allowed", f"a trust with {ask['domain']} is not allowed to be {ask['direction']}: the domain's administrators "
                                         f"say so in {SETTINGS}")

    def marked(self, trust, record):
        """A trust as it is told, with our mark."""
        mark = record and {
            "tenant": record["tenant"], "origin": record["origin"], "whole": record["state"] == "whole",
            "forwarder": record["forwarder"], "since": record["since"],
        }
        return {**trust, "mark": mark}

    def not_ours(self, message, trust=None):
        return Refused("not-ours", message, **({"found": self.marked(trust, None)} if trust else {}))

    def record_of(self, ask):
        """Our record of the domain; refused where it is another tenant's or another installation's."""
        record = self.records.get(ask["domain"])
        if record is not None and record["tenant"] != ask["tenant"]:
            raise self.not_ours(f"the trust with {ask['domain']} is another tenant's, {record['tenant']}")
        other = of_others(self.installation).get(ask["domain"])
        if other:
            raise self.not_ours(f"the trust with {ask['domain']} is another installation's, {other}")
        return record

    # Looking.

    def describe(self, _):
        directory = self.directory
        return "description", {
            "agent": AGENT, "implementation": "samba", "version": directory.samba.version, "domain": directory.domain,
            "forest": directory.database.forest_dns_name().lower(), "netbios": directory.netbios, "sid": directory.sid,
            "controller": directory.database.host_dns_name().lower(), "isPdc": directory.is_pdc(), "clock": now(),
            "forwarders": False, "sets": False, "selective": False,
            "partners": [{"domain": domain, "directions": ways} for domain, ways in sorted(self.partners.items())],
        }

    def list(self, _):
        records = self.records.all()
        trusts = self.directory.trusts()
        return "trusts", {
            "trusts": [self.marked(trust, records.get(domain)) for domain, trust in trusts.items()],
            "missing": [
                {"domain": domain, "netbios": record["netbios"], "sid": record["sid"], "mark": self.marked({}, record)["mark"]}
                for domain, record in records.items() if domain not in trusts
            ],
            "orphans": self.directory.orphans(),
            "others": [{"domain": domain, "installation": other} for domain, other in sorted(of_others(self.installation).items())],
        }

    def preflight(self, ask):
        return "preflight", preflight(ask)

    def standing(self, domain):
        trust = self.directory.trust(domain)
        if trust is None:
            raise Refused("no-trust", f"there is no trust with {domain} here")
        return trust

    def verify(self, ask):
        trust = self.standing(ask["domain"])
        if trust["direction"] not in ("outbound", "both"):
            return "verified", {"channel": "not-applicable", "code": 0, "controller": None}
        code, controller = self.directory.verify_channel(ask["domain"])
        return "verified", {"channel": CHANNEL.get(code, "failed"), "code": code, "controller": controller}

    def probe(self, ask):
        trust = self.standing(ask["domain"])
        if trust["direction"] not in ("inbound", "both"):
            return "probed", {"ticket": "not-applicable", "message": ""}
        # A ticket of a child domain's controller would tell of that domain's trust.
        if ask["controller"].split(".", 1)[1] != ask["domain"]:
            raise Refused("malformed", "probe.controller is a controller of probe.domain")
        word, message = ticket(self.directory, ask["domain"], ask["controller"])
        return "probed", {"ticket": word, "message": message}

    # Changing.

    def heal(self, ask):
        trust = self.standing(ask["domain"])
        if trust["direction"] not in ("outbound", "both"):
            return "healed", {"code": 0}
        return "healed", {"code": self.directory.renew_channel(ask["domain"], REMOTE)}

    def ensure(self, ask):
        record = self.record_of(ask)
        trust = self.directory.trust(ask["domain"])
        if trust and trust["sid"] != ask["sid"]:
            raise Refused("sid-mismatch", f"a trust named {ask['domain']} stands for another SID: that domain was made anew, or the name "
                                          "is taken; remove it if it is dead", found=self.marked(trust, record))
        if trust and record is None:
            raise self.not_ours(f"a trust with {ask['domain']} stands that we did not make: adopt it, or have it removed", trust)
        if record and trust and record["state"] == "whole" and not ask["anew"]:
            if same_way(trust, ask) and trust["attributes"] == attributes_of(ask):
                return "ensured", {"made": False, "trust": self.marked(trust, record)}
            raise Refused("conflicting-trust", f"the trust with {ask['domain']} is another than is asked for, and is changed only by making "
                                               "it anew", found=self.marked(trust, record))
        # All that can be refused is, before anything is taken away.
        self.must_be_free(ask, record)
        if record:
            self.unmake(record)
        # Written first, so that no death leaves a trust of ours without a record.
        record = {
            "tenant": ask["tenant"], "domain": ask["domain"], "netbios": ask["netbios"], "sid": ask["sid"], "direction": ask["direction"],
            "kind": ask["kind"], "origin": "made", "state": "making", "forwarder": False, "since": now(),
        }
        self.records.put(record)
        if ask["removeOrphan"]:
            self.directory.remove_account(ask["netbios"])
        self.make(ask, record)
        record["state"] = "whole"
        self.records.put(record)
        self.renew(ask)
        return "ensured", {"made": True, "trust": self.marked(self.standing(ask["domain"]), record)}

    def renew(self, ask):
        """Where a trust stood before, its channel is stale. While the partner's side is missing this fails, and harms nothing."""
        if ask["direction"] == "inbound":
            return
        with contextlib.suppress(Refused, self.directory.samba.NTSTATUSError):
            self.directory.renew_channel(ask["domain"], RENEWING)

    def must_be_free(self, ask, record):
        """Refuses what LSA refuses with a number that says nothing."""
        directory = self.directory
        if ask["domain"] == directory.domain or ask["netbios"].upper() == directory.netbios.upper():
            raise Refused("own-name", "the partner has the name of this domain itself: two domains with one name cannot trust each other")
        if ask["sid"] == directory.sid:
            raise Refused("own-sid", "the partner has the SID of this domain itself: one was made as a copy of the other, and they cannot trust "
                                     "each other")
        for trust in directory.trusts().values():
            if trust["domain"] == ask["domain"]:
                continue
            if trust["netbios"].upper() == ask["netbios"] or trust["domain"] == ask["netbios"].lower():
                raise Refused("netbios-taken", f"the NetBIOS name {ask['netbios']} is that of the trust with {trust['domain']}",
                              found=self.marked(trust, None))
            if trust["sid"] == ask["sid"]:
                raise Refused("sid-taken", f"the SID is that of the trust with {trust['domain']}: one domain was made as a copy of the other",
                              found=self.marked(trust, None))
        there = directory.account(ask["netbios"])
        if there is None:
            return
        if not there[1]:
            raise Refused("netbios-taken", f"the account {ask['netbios']}$ stands and is none of a trust: the name cannot be the partner's too")
        ours = record and record["origin"] == "made" and record["netbios"] == ask["netbios"]
        if ask["netbios"] in directory.orphans() and not (ours or ask["removeOrphan"]):
            raise Refused("orphan-account", f"the account {ask['netbios']}$ is left of a trust that was deleted: it has to go before one can be "
                                            "made")

    def make(self, ask, record):
        try:
            collisions = self.directory.create(ask)
        except self.directory.samba.NTSTATUSError as error:
            self.unmake(record)
            self.records.drop(ask["domain"])
            raise directory_refuses(error) from None
        if collisions:
            self.unmake(record)
            self.records.drop(ask["domain"])
            names, owners = collisions
            raise Refused("name-collision", f"{', '.join(names)} is a name of {', '.join(owners)} already: take that UPN suffix or that name of "
                                            "another trust away", names=names)

    def unmake(self, record):
        """Takes what the record tells of. Its state says so first: whoever comes after a death goes on with it."""
        trust = self.directory.trust(record["domain"])
        if trust and trust["sid"] != record["sid"]:
            raise Refused("sid-mismatch", f"the trust with {record['domain']} stands for another SID than ours did: others made it anew",
                          found=self.marked(trust, record))
        self.records.put({**record, "state": "removing"})
        if trust:
            self.directory.delete(record["domain"])
        self.directory.remove_account(record["netbios"])
        return trust is not None

    def adopt(self, ask):
        record = self.record_of(ask)
        trust = self.standing(ask["domain"])
        if trust["sid"] != ask["sid"]:
            raise Refused("sid-mismatch", f"the trust with {ask['domain']} stands for another SID", found=self.marked(trust, record))
        if not same_way(trust, ask):
            raise Refused("conflicting-trust", f"the trust with {ask['domain']} is another than is asked for: people settle it",
                          found=self.marked(trust, record))
        if record is None:
            try:
                netbios = netbios_name(trust["netbios"].upper())
            except ValueError as error:
                raise Refused("unsupported", f"the NetBIOS name of that trust cannot be used: it {error}") from None
            record = {
                "tenant": ask["tenant"], "domain": ask["domain"], "netbios": netbios, "sid": ask["sid"],
                "direction": ask["direction"], "kind": ask["kind"], "origin": "adopted", "state": "whole", "forwarder": False, "since": now(),
            }
            self.records.put(record)
        elif record["state"] != "whole":
            raise Refused("unfinished", f"the trust with {ask['domain']} is ours and half: ensure or remove it")
        return "adopted", {"trust": self.marked(trust, record)}

    def set(self, ask):
        raise Refused("unsupported", "Samba cannot change a trust that stands: it is made anew")

    def forward(self, ask):
        raise Refused("unsupported", "the DNS of Samba has no forwarders for single domains: forward the partner's domain in the DNS that it "
                                     "forwards to")

    def remove(self, ask):
        record = self.record_of(ask)
        if record is None:
            trust = self.directory.trust(ask["domain"])
            if trust:
                raise self.not_ours(f"the trust with {ask['domain']} has no record of ours: we did not make it, and do not take it away", trust)
            # Gone already, as after a death between the record's end and the answer, or never begun.
            self.records.drop(ask["domain"])
            return "removed", {"was": False}
        # Of a trust that people have removed only what is ours is left, whatever it stood for.
        if record["sid"] != ask["sid"] and self.directory.trust(ask["domain"]):
            raise Refused("sid-mismatch", f"our trust with {ask['domain']} stands for another SID")
        was = self.unmake(record)
        self.records.drop(ask["domain"])
        return "removed", {"was": was}


def claim(installation, ask):
    """Who writes, for all controllers of this installation."""
    records = Records(installation)
    with locked("claim"):
        there = records.read(".claim", {"holder": holder, "expires": moment})
        living = there and there["holder"] != ask["holder"] and seconds_of(there["expires"]) > time.time()
        if living and not ask["takeOver"]:
            raise Refused("claimed", f"{there['holder']} writes here until {there['expires']}: stop it, or take over explicitly", claimed=there)
        wanted = {"holder": ask["holder"], "expires": ask["expires"]}
        records.write(".claim", wanted)
    return "claimed", wanted


def directory_refuses(error):
    number = unsigned(error.args[0])
    return Refused("directory", f"the directory refuses: {error.args[1]}", code=f"0x{number:08X}")


# ---------------------------------------------------------------------------------------------------------------------------
# One call.


def carry_out(raw, command):
    """The answer to a request: what was done, by its name, or why not."""
    if command != COMMAND:
        raise Refused("command", f"this key is let in for `{COMMAND}` alone")
    installation, operation, ask = read_request(raw)
    partners = allowed(installation)
    if operation == "claim":
        return claim(installation, ask)
    call = Call(installation, partners)
    call.allow(ask)
    with locked("directory"):
        # From here on: what waited for another call has all of its own time.
        signal.alarm(WORKING)
        call.open(operation)
        return getattr(call, operation)(ask)


def answer_to(raw, command):
    try:
        name, done = carry_out(raw, command)
        return {"done": {name: done}}
    except Refused as refused:
        return {"refused": refused.answer}
    except Exception as error:
        return {"refused": unexpected(error).answer}


def unexpected(error):
    """What nobody thought of. Its place, and its text only where the directory or the system speaks: a text may hold a value."""
    if type(error).__name__ == "NTSTATUSError":
        return directory_refuses(error)
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    said = f": {error.strerror}" if isinstance(error, OSError) else f": {error.args[1]}" if type(error).__name__ == "LdbError" else ""
    return Refused("host", f"{type(error).__name__} in {place.tb_frame.f_code.co_name}, line {place.tb_lineno}{said}: the agent cannot go on; "
                           "look at this controller")


def work(writing):
    """The worker's life. Its limits hold in the libraries too, which let no handler of Python run: the signal ends it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.alarm(READING)
    # The secret is in this memory.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    raw = read_limited(0)
    signal.alarm(WAITING + WORKING)
    # Libraries write what they like, to whom it is not meant.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    outcome = answer_to(raw, os.environ.get("SSH_ORIGINAL_COMMAND"))
    with open(writing, "wb") as pipe:
        pipe.write(json.dumps({"protocol": PROTOCOL, "outcome": outcome}).encode() + b"\n")


def read_answer(reading):
    """What the worker writes until it ends, or until it should have."""
    until = time.monotonic() + READING + WAITING + WORKING + 5
    raw = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            part = os.read(reading, 1 << 16)
            if not part:
                break
            raw += part
    return raw


def main():
    """A worker does it, so that one that hangs can be ended: then the records tell the next call where to go on."""
    reading, writing = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(reading)
        code = 1
        try:
            work(writing)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    raw = read_answer(reading)
    with contextlib.suppress(ProcessLookupError):
        if not raw.endswith(b"\n"):
            os.kill(worker, signal.SIGALRM)
    _, status = os.waitpid(worker, 0)
    if not raw.endswith(b"\n"):
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
            refused = Refused("timed-out", f"the call took longer than {WORKING} seconds: ask again, it goes on where it ended")
        else:
            refused = Refused("host", "the agent's worker ended without an answer: look at this controller's log")
        raw = json.dumps({"protocol": PROTOCOL, "outcome": {"refused": refused.answer}}).encode() + b"\n"
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

"""fortigate-api and pyfgt against the FortiOS simulator: both logins, create, read, update, move, delete, refusals."""

import os
import pathlib
import urllib.parse

from fortigate_api import FortiGate, FortiGateAPI
from pyFGT.fortigate import FortiGate as Fgt

STATE = pathlib.Path(os.environ["SIMULATOR_STATE"])
PASSWORD = (STATE / "password").read_text()
TOKEN = (STATE / "token").read_text()
HOST = "127.0.0.1"
PORT = int(os.environ["SIMULATOR_PORT"])

POLICY = {
    "srcintf": [{"name": "port1"}],
    "dstintf": [{"name": "port2"}],
    "srcaddr": [{"name": "all"}],
    "dstaddr": [{"name": "py-group"}],
    "service": [{"name": "py-service"}],
    "schedule": "always",
    "action": "accept",
}

# Table of fortigate-api, key, the object, what is changed in it.
OBJECTS = [
    ("cmdb.system.interface", "py-1400", {"vdom": "root", "type": "vlan", "interface": "port4", "vlanid": 1400,
                                          "ip": "10.14.0.1 255.255.255.0"}, {"alias": "changed"}),
    ("cmdb.system.zone", "py-zone", {"interface": [{"interface-name": "py-1400"}]}, {"description": "changed"}),
    ("cmdb.firewall.address", "py net/24", {"subnet": "10.14.0.0 255.255.255.0"}, {"comment": "changed"}),
    ("cmdb.firewall.addrgrp", "py-group", {"member": [{"name": "py net/24"}]}, {"comment": "changed"}),
    ("cmdb.firewall_service.custom", "py-service", {"tcp-portrange": "8080"}, {"tcp-portrange": "8080 8081"}),
    ("cmdb.firewall_service.group", "py-services", {"member": [{"name": "py-service"}]}, {"comment": "changed"}),
    ("cmdb.firewall.vip", "py-vip", {"extintf": "port1", "extip": "198.51.100.40",
                                     "mappedip": [{"range": "10.14.0.40"}]}, {"comment": "changed"}),
    ("cmdb.router.static", 41, {"dst": "10.98.0.0 255.255.0.0", "gateway": "10.14.0.254", "device": "py-1400"},
     {"comment": "changed"}),
    ("cmdb.firewall.policy", 41, POLICY, {"comments": "changed"}),
    ("cmdb.firewall.policy", 42, POLICY | {"name": "py-second"}, {"comments": "changed"}),
]


def expect(condition, what):
    """Ends the run with words."""
    if not condition:
        raise SystemExit(f"clients: {what}")


def connector(api, path):
    """The connector of a table, by its path in the client."""
    for part in path.split("."):
        api = getattr(api, part)
    return api


def fortigate_api(**login):
    """Every object is made, refused twice, read, changed, and taken away again."""
    api = FortiGateAPI(host=HOST, port=PORT, **login)
    api.login()
    for path, key, body, change in OBJECTS:
        table = connector(api, path)
        data = {table.uid: key} | body
        expect(table.create(data).status_code == 200, f"{path} {key}: create")
        again = table.create(data)
        expect(again.status_code == 500 and again.json()["error"] == -5, f"{path} {key}: a duplicate is refused")
        [row] = table.get(**{table.uid: key})
        expect(row[table.uid] == key and row["q_origin_key"] == key, f"{path} {key}: read {row}")
        expect(all(name in row for name in body), f"{path} {key}: attributes")
        first = table.update({table.uid: key} | change).json()
        second = table.update({table.uid: key} | change).json()
        expect(first["revision_changed"] and not second["revision_changed"], f"{path} {key}: revision_changed")
        expect(table.is_exist(key), f"{path} {key}: is there")
    policies(api)
    filters(api)
    used = api.cmdb.firewall.address.delete("py net/24")
    expect(used.status_code == 500 and used.json()["error"] == -23, "an address in use is kept")
    for path, key, _, _ in reversed(OBJECTS):
        table = connector(api, path)
        expect(table.delete(key).status_code == 200, f"{path} {key}: delete")
        expect(table.delete(key).status_code == 404, f"{path} {key}: delete twice")
        expect(not table.is_exist(key), f"{path} {key}: is gone")
    api.logout()


def policies(api):
    """The client's own move."""
    order = lambda: [row["policyid"] for row in api.cmdb.firewall.policy.get(format="policyid")]
    expect(order() == [41, 42], f"policies are appended: {order()}")
    moved = api.cmdb.firewall.policy.move(policyid=42, position="before", neighbor=41)
    expect(moved.status_code == 200 and order() == [42, 41], f"move before: {order()}")
    moved = api.cmdb.firewall.policy.move(policyid=42, position="after", neighbor=41)
    expect(moved.status_code == 200 and order() == [41, 42], f"move after: {order()}")


def filters(api):
    """Filters as that client writes them."""
    names = lambda *filters: [row["name"] for row in api.cmdb.firewall.address.get(filter=list(filters))]
    expect(names("name==py net/24") == ["py net/24"], "equal")
    expect(names("name=@py", "subnet=@10.14") == ["py net/24"], "contains, and")
    expect("py net/24" not in names("name!=py net/24"), "not equal")


def pyfgt(**login):
    """The same by a client that answers with pairs of status and body."""
    with Fgt(f"{HOST}:{PORT}", use_ssl=True, verify_ssl=str(STATE / "ca.pem"), **login) as fgt:
        url = "/cmdb/firewall/address"
        status, _ = fgt.post(f"{url}?vdom=root", name="fgt-net", subnet="10.15.0.0/16")
        expect(status == 200, f"pyfgt create {status}")
        status, body = fgt.post(f"{url}?vdom=root", name="fgt-net")
        expect((status, body["error"]) == (500, -5), f"pyfgt duplicate {status}")
        status, body = fgt.get(f"{url}/fgt-net?vdom=root")
        expect(status == 200 and body["results"][0]["subnet"] == "10.15.0.0 255.255.0.0", f"pyfgt read {body}")
        status, body = fgt.put(f"{url}/fgt-net?vdom=root", comment="changed")
        expect(status == 200 and body["revision_changed"], "pyfgt update")
        status, body = fgt.put(f"{url}/fgt-net?vdom=root", comment="changed")
        expect(status == 200 and not body["revision_changed"], "pyfgt update twice")
        status, _ = fgt.delete(f"{url}/fgt-net?vdom=root")
        expect(status == 200, "pyfgt delete")
        status, _ = fgt.get(f"{url}/fgt-net?vdom=root")
        expect(status == 404, "pyfgt read what is gone")


if __name__ == "__main__":
    fortigate_api(username="admin", password=PASSWORD)
    fortigate_api(token=TOKEN)
    print("clients: fortigate-api: password and token")
    pyfgt(user="admin", passwd=PASSWORD)
    pyfgt(apikey=TOKEN)
    print("clients: pyfgt: password and token")

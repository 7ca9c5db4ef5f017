#!/usr/bin/python3
"""Gives a new domain its accounts, and prints its SID. Runs on its controller, once, before Samba is started for the first time.

Each line of standard input is a name and a password, which so are in no argument list. Who is there gets the password, and who is not is
made: an ordinary user, without any right of its own.
"""

import sys

from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

NEVER = "-9223372036854775808"

settings = LoadParm()
settings.load_default()
directory = SamDB(session_info=system_session(), lp=settings)
# A domain may lie in the cache for longer than passwords are good by default.
directory.set_maxPwdAge(NEVER)
for line in sys.stdin:
    name, password = line.rstrip("\n").split(" ", 1)
    filter = f"(sAMAccountName={name})"
    if directory.search(base=directory.domain_dn(), expression=filter, attrs=["dn"]):
        directory.setpassword(filter, password)
    else:
        directory.newuser(name, password)
print(directory.get_domain_sid())

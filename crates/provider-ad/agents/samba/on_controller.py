#!/usr/bin/python3
"""Runs the agent on a controller of the lab as its forced command does, with settings and records of the test's own; can kill it.

    on_controller.py AGENT BASE -              as it is
    on_controller.py AGENT BASE trace          notes the lines that it runs in BASE/lines
    on_controller.py AGENT BASE LINE           ends the worker by SIGKILL before it runs that line

It traces from outside, so the agent itself knows of no way to be killed.
"""

import importlib.util
import os
import signal
import sys


def main():
    path, base, mode = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("agent", path)
    agent = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    agent.SETTINGS = os.path.join(base, "settings.json")
    agent.STATE = os.path.join(base, "state")

    def trace(frame, event, _):
        if frame.f_code.co_filename != path:
            return None
        if event == "line":
            if mode == "trace":
                with open(os.path.join(base, "lines"), "a", encoding="ascii") as file:
                    file.write(f"{frame.f_code.co_name} {frame.f_lineno}\n")
            elif frame.f_lineno == int(mode):
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    if mode != "-":
        sys.settrace(trace)
    agent.main()


main()

"""What runs in a box of `trusted_sandbox`: a line of JSON is a cell, and each answer is a line."""

import ast
import base64
import builtins
import json
import os
import sys
import traceback

OUT = os.fdopen(os.dup(1), "w", 1)


def tell(**answer):
    OUT.write(json.dumps(answer) + "\n")


class Stream:
    def __init__(self, name):
        self.name = name

    def write(self, text):
        tell(stream=self.name, text=text)
        return len(text)

    def flush(self):
        pass


def display(value):
    data = getattr(value, "_repr_png_", None)
    if data:
        tell(image=base64.b64encode(data()).decode())
    else:
        tell(result=repr(value))


def files():
    found = {}
    for folder, _, names in os.walk("."):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name))
            info = os.stat(path)
            found[path] = (info.st_size, info.st_mtime_ns, info.st_ino)
    return found


def run(code):
    tree = ast.parse(code, "<cell>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
        if value is not None:
            display(value)


names = {"display": display, "__name__": "__main__", "__builtins__": builtins}
sys.stdout, sys.stderr = Stream("stdout"), Stream("stderr")
while line := sys.stdin.readline():
    before = files()
    try:
        try:
            run(json.loads(line))
        except BaseException as error:
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.name == "<module>"]
            told = ["Traceback (most recent call last):\n", *traceback.format_list(frames[-1:])]
            told += traceback.format_exception_only(type(error), error)
            tell(error=type(error).__name__, traceback="".join(told))
        after = files()
        changed = sorted(path for path in after if before.get(path) != after[path])
        deleted = sorted(set(before) - set(after))
        tell(changed=[[path, after[path][0]] for path in changed], deleted=deleted)
        tell(end=True)
    except KeyboardInterrupt:
        tell(end=True)

"""The public surface fits on a page: every name exists, is explained, and is in docs/api.md."""

from __future__ import annotations

import ast
import builtins
import enum
import inspect
import re
import signal
from importlib import import_module
from pathlib import Path

import pytest

import checkpointable as cp
from checkpointable.savers import options

NAMES = {
    # what a program is built of
    *("Checkpointable", "Variable", "add_variable", "Optimizer", "List", "Dict"),
    *("NoDependency", "NotCheckpointable", "Value"),
    *("PythonState", "JSONState", "RandomState", "NumpyRandomState"),
    *("JSONState", "RandomState", "NumpyRandomState"),
    # the verbs
    *("CheckpointableSaver", "Checkpoint", "Saver", "SaveHandle", "latest_checkpoint"),
    # many checkpoints
    *("CheckpointManager", "checkpoints_iterator"),
    *("get_checkpoint_state", "update_checkpoint_state"),
    # what a restore returns
    *("CheckpointLoadStatus", "InitializationOnlyStatus", "NameBasedSaverStatus"),
    *("Report", "ReportEntry", "Outcome"),
    # checkpoints without objects
    *("load_checkpoint", "list_variables", "object_metadata"),
    *("compare_checkpoints", "rename_checkpoint", "reencode_checkpoint"),
    # manifests
    *("write_manifest", "verify_manifest", "CheckpointSignatureError"),
    # errors
    *("CheckpointError", "CheckpointNotFoundError", "CheckpointCorruptError"),
    *("CheckpointUnsupportedError", "CheckpointMismatchError"),
    *("CheckpointIOError", "CheckpointPermissionError"),
}
OF_ABC = {
    # to be implemented by others
    *("Adapter", "RestoreNotes", "Slots", "NewSlot", "Watcher", "resolve_pending", "Value"),
    *("Executor", "NoContentsError"),
    *("ValueSpec", "ValueSource", "ValueTarget", "ReadValue", "SplitValue", "AtOnce", "Part"),
    *("Storage", "WritableFile", "ReadableFile", "FileIdentity"),
    *("CheckpointReader", "StoredValue", "Location", "FileDicts", "Damage"),
    # what calls return, and their options
    *("LoadStatus", "ValueInfo", "CheckpointState", "ObjectGraph", "Preemption"),
    *("Comparison", "Difference", "Verdict"),
    *("SaveOptions", "AsyncSaveOptions", "RestoreOptions", "ManagerOptions"),
}
CONTAINERS = {"List", "Dict", "JSONState"}  # have the methods of built-in ones
API_PAGE = Path(__file__).parents[1] / "docs" / "api.md"


def test_the_surface_is_what_was_decided():
    assert sorted(cp.__all__) == sorted({*NAMES, "__version__"})
    assert re.fullmatch(r"\d+\.\d+\.\d+", cp.__version__)


def test_what_a_type_checker_sees_is_what_is_loaded():
    block = next(
        node
        for node in ast.parse(Path(cp.__file__).read_bytes()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    for node in imports:
        for alias in node.names:
            assert alias.asname == alias.name
            assert getattr(import_module(node.module), alias.name) is getattr(cp, alias.name)
    assert {alias.name for node in imports for alias in node.names} == {*NAMES, "abc", "torch"}
    assert {*NAMES, "abc", "torch"} <= set(dir(cp))


def test_interfaces_and_types_have_a_public_home():
    assert sorted(cp.abc.__all__) == sorted(OF_ABC) == sorted(cp.abc._MODULE_OF)
    assert set(dir(cp.abc)) >= OF_ABC
    (block,) = (
        node
        for node in ast.parse(Path(cp.abc.__file__).read_bytes()).body
        if isinstance(node, ast.If)
    )
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert getattr(import_module(node.module), alias.name) is getattr(cp.abc, alias.name)
    assert {alias.name for node in block.body for alias in node.names} == OF_ABC
    with pytest.raises(AttributeError, match=r"'checkpointable.abc' has no attribute 'Stor'"):
        cp.abc.Stor  # noqa: B018 - the attribute is what is asked for


@pytest.mark.parametrize("name", sorted(OF_ABC))
def test_a_name_of_abc_is_explained_and_in_the_documentation(name):
    thing = getattr(cp.abc, name)
    assert inspect.isclass(thing) or inspect.isfunction(thing)
    assert (thing.__doc__ or "").strip()
    assert not (thing.__doc__ or "").startswith(f"{name}(")  # that of a dataclass or a tuple
    assert f"`cp.abc.{name}`" in API_PAGE.read_text(encoding="utf-8")
    if inspect.isclass(thing):
        methods = [a for a, value in vars(thing).items() if inspect.isfunction(value)]
        public = [a for a in methods if not a.startswith("_")]
        assert not [a for a in public if not inspect.getdoc(getattr(thing, a))]


def test_classes_that_a_call_returns_are_public():
    """A program must be able to name the type of what it got."""
    public = {getattr(cp, name) for name in NAMES} | {getattr(cp.abc, name) for name in OF_ABC}
    names = {thing.__name__ for thing in public} | {
        *dir(builtins),
        "Iterator",
        "Any",
        "Self",
        "Array",
    }
    for name, function in public_functions().items():
        if inspect.isclass(function) or name.partition(".")[0] in CONTAINERS:
            continue
        returned = str(inspect.signature(function).return_annotation)
        unknown = set(re.findall(r"(?<![\w.])[A-Z]\w+", returned)) - names
        assert not unknown, f"{name} returns {returned}"


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="'checkpointable' has no attribute 'Chekpoint'"):
        cp.Chekpoint  # noqa: B018 - the attribute is what is asked for


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_exists_and_is_explained(name):
    thing = getattr(cp, name)
    assert inspect.isclass(thing) or inspect.isfunction(thing)
    # Its own words: a class that has none would show those of its base.
    assert (thing.__doc__ or "").strip()
    assert not inspect.isclass(thing) or thing.__doc__ != thing.__mro__[1].__doc__


@pytest.mark.parametrize("name", sorted(NAMES))
def test_public_methods_are_explained(name):
    thing = getattr(cp, name)
    methods = {
        attribute: value
        for attribute, value in vars(thing).items()
        if inspect.isclass(thing)
        and not attribute.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
    }
    # List and Dict override what list and dict explain.
    inherited = {a for a in methods if hasattr(list, a) or hasattr(dict, a)}
    silent = [a for a in methods if a not in inherited and not inspect.getdoc(getattr(thing, a))]
    assert not silent, f"{name} has public methods without a docstring"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_is_in_the_documentation(name):
    assert re.search(rf"`(cp\.)?{name}\b", API_PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("function", "parameters"),
    [  # as the original has them, so that calls by keyword port
        (cp.CheckpointableSaver, ["root_checkpointable"]),
        (cp.CheckpointableSaver.restore, ["self", "save_path"]),
        (
            cp.CheckpointableSaver.save_async,
            ["self", "file_prefix", "checkpoint_number", "session"],
        ),
        (cp.CheckpointableSaver.save, ["self", "file_prefix", "checkpoint_number", "session"]),
        (cp.Checkpoint, ["root"]),
        (cp.add_variable, ["obj", "name", "shape", "dtype", "initializer"]),
        (cp.Variable, ["value", "name", "dtype"]),
        (cp.Optimizer.add_slot, ["self", "variable", "slot_name", "initial"]),
        (cp.Optimizer.get_slot, ["self", "variable", "slot_name"]),
        (cp.latest_checkpoint, ["directory"]),
        (
            cp.CheckpointManager,
            [
                *("checkpoint", "directory", "max_to_keep", "keep_checkpoint_every_n_hours"),
                *("checkpoint_name", "step_counter", "checkpoint_interval", "options"),
            ],
        ),
        (cp.CheckpointManager.save, ["self", "checkpoint_number", "check_interval"]),
        (
            cp.checkpoints_iterator,
            ["directory", "min_interval_secs", "timeout", "timeout_fn"],
        ),
        (cp.get_checkpoint_state, ["checkpoint_dir", "latest_filename"]),
        (
            cp.update_checkpoint_state,
            [
                *("save_dir", "model_checkpoint_path", "all_model_checkpoint_paths"),
                *("latest_filename", "all_model_checkpoint_timestamps"),
                "last_preserved_timestamp",
            ],
        ),
    ],
)
def test_parameters_keep_their_names(function, parameters):
    found = list(inspect.signature(function).parameters)
    assert found[: len(parameters)] == parameters


@pytest.mark.parametrize(
    "hook",
    [
        "_track_checkpointable",
        "_lookup_dependency",
        "_checkpoint_dependencies",
        "_gather_saveables_for_checkpoint",
        "_add_variable",
    ],
)
def test_hooks_keep_their_names(hook):
    assert hasattr(cp.Checkpointable, hook)


def as_documented(parameters: str) -> list[tuple[str, str, object]]:
    """(name, kind, default) of what stands between the parentheses of a signature on the page."""
    made: dict[str, object] = {"SIGTERM": signal.SIGTERM}
    exec(f"def function({parameters}): ...", made)
    return described(made["function"])


def described(thing: object) -> list[tuple[str, str, object]]:
    found = inspect.signature(thing).parameters.values()
    return [(p.name, p.kind.name, p.default) for p in found if p.name != "self"]


def sections() -> dict[str, str]:
    """Name -> what the page says under a heading that begins with it."""
    text = API_PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^### `cp\.(?=[A-Za-z])", text, flags=re.MULTILINE)[1:]
    return {
        re.match(r"\w+", part)[0]: re.split(r"^## ", part, flags=re.MULTILINE)[0] for part in parts
    }


SECTIONS = sections()
OPTIONS = SECTIONS["CheckpointableSaver"]


@pytest.mark.parametrize("name", sorted(SECTIONS.keys() & NAMES))
def test_signatures_on_the_page_are_those_of_the_code(name):
    thing = getattr(cp, name)
    heading = SECTIONS[name].partition("\n")[0]
    signature = re.match(r"\w+\((.*?)\)`", heading)
    # A dict has no signature of its own: JSONState.
    if signature and not (inspect.isclass(thing) and issubclass(thing, dict)):
        assert as_documented(signature[1]) == described(thing)
    if not inspect.isclass(thing):
        return
    for method, parameters in re.findall(r"`(\w+)\(([^`]*)\)`", SECTIONS[name]):
        if method in vars(thing) and parameters:  # without any it is a call in a sentence
            documented, real = as_documented(parameters), described(getattr(thing, method))
            # The options of every save and every restore stand in a table of their own.
            rest = [p for p in real if p not in documented]
            assert documented == [p for p in real if p in documented], method
            assert all(f"`{p[0]}=" in OPTIONS or f"`{p[0]}=" in SECTIONS[name] for p in rest), (
                method
            )


@pytest.mark.parametrize("known", [options.AsyncSaveOptions, options.RestoreOptions])
def test_options_are_on_the_page_and_explained(known):
    for name in known.__optional_keys__:
        assert f"| `{name}=" in OPTIONS
        assert any(f"      {name}: " in base.__doc__ for base in (known, options.SaveOptions))


def test_options_of_a_manager_are_on_the_page_and_explained():
    for name in options.ManagerOptions.__optional_keys__:
        assert f"`{name}=" in SECTIONS["CheckpointManager"]
        assert f"      {name}: " in options.ManagerOptions.__doc__


MADE_BY_CALLS = {"Report", "ReportEntry", "SaveHandle", *(n for n in NAMES if n.endswith("Status"))}


def public_functions() -> dict[str, object]:
    """Name -> every function that a user calls: functions, constructors and public methods."""
    functions = {}
    for name in NAMES:
        thing = getattr(cp, name)
        if name not in MADE_BY_CALLS:
            functions[name] = thing
        if inspect.isclass(thing):
            functions |= {
                f"{name}.{attribute}": value
                for attribute, value in inspect.getmembers(thing, inspect.isfunction)
                if not attribute.startswith("_")
            }
    return functions


def test_no_signature_is_too_long_to_remember():
    counts = {}
    for name, function in public_functions().items():
        try:
            parameters = list(inspect.signature(function).parameters)
        except ValueError:  # of a built-in base
            continue
        counts[name] = len([p for p in parameters if p != "self"])
    assert counts["CheckpointManager"] == 8  # decorated functions are looked into
    assert not {name: count for name, count in counts.items() if count > 8}


def test_errors_on_the_page_are_those_of_the_code():
    text = API_PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(Checkpoint\w*Error)` \| `(\w+)` \|", text, re.MULTILINE))
    assert sorted(rows) == sorted(name for name in NAMES if name.endswith("Error"))
    for name, also in rows.items():
        assert issubclass(getattr(cp, name), (cp.CheckpointError, getattr(builtins, also)))
        assert issubclass(getattr(cp, name), getattr(builtins, also))
        assert issubclass(getattr(cp, name), cp.CheckpointError)


# An adapter's, docs/design.md; those of errors are read, not called.
OF_OTHERS = {"Value", *(name for name in NAMES if name.endswith("Error"))}


@pytest.mark.parametrize("name", sorted(NAMES - OF_OTHERS))
def test_public_members_are_on_the_page(name):
    thing, text = getattr(cp, name), API_PAGE.read_text(encoding="utf-8")
    if inspect.isclass(thing) and not issubclass(thing, list | dict | tuple | enum.Enum):
        members = [member for member in vars(thing) if not member.startswith("_")]
        assert not [member for member in members if not re.search(rf"`[^`]*\b{member}\b", text)]

"""`checkpointable show`: the object graph as a tree, or one value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from checkpointable.cli.opening import JsonOption, PathArgument, open_checkpoint, stored
from checkpointable.cli.output import Output, write_json
from checkpointable.cli.progress import progress_bar
from checkpointable.cli.tree import ObjectTree, find_object, graph_of_names
from checkpointable.common.suggestions import similar_names
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.graph.object_graph import ObjectGraph
from checkpointable.graph.paths import ATTRIBUTES_MARK, GRAPH_KEY, value_key
from checkpointable.readers.reader import CheckpointReader

if TYPE_CHECKING:
    from checkpointable.cli.value import Details

__all__ = ["HELP", "run"]

# Of the objects above a value, those that may have been meant by a name that is not there.
_LEVELS_UP = 10

HELP = """\
Shows the objects of a checkpoint as a tree, or one value.

Without KEY: every object with its value, its bytes, and the totals of all below it. An
object that several lead to is shown once, under its own path, and referred to by an arrow
elsewhere; slots stand under their variable. A name-based checkpoint, which has no objects,
is shown as the tree of its names.

With KEY: the value of that key, or of the object of that path: dtype, shape, bytes, place,
range, mean, standard deviation, NaN and infinite elements, first elements; strings readably.
If that object has no value of its own, what is below it.

\b
  checkpointable show runs/a
  checkpointable show runs/a --depth 2 --with-values
  checkpointable show runs/a model/layers/0/kernel
  checkpointable show runs/a model/layers/0/kernel/.ATTRIBUTES/VARIABLE_VALUE --json
"""


def run(
    path: PathArgument,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="A value's key, or an object's path."),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Go down N levels of the tree only.")
    ] = None,
    with_values: Annotated[
        bool, typer.Option("--with-values", help="Leave out objects that no value hangs under.")
    ] = False,
    first: Annotated[
        int, typer.Option(min=0, metavar="N", help="Print N elements of a value.")
    ] = 10,
    in_full: Annotated[
        bool, typer.Option("--all", help="Print all elements, and strings in full.")
    ] = False,
    json: JsonOption = False,
) -> None:
    with open_checkpoint(path) as reader:
        keys = [] if key is None else _keys_of(reader, key)
        if keys:
            _show_values(reader, keys, first, in_full=in_full, json=json)
            return
        graph = reader.graph()
        named = graph is None
        if graph is None:
            graph = graph_of_names(reader.keys())
        node_id = 0 if key is None else _find(graph, key, reader, named=named)
        values = graph.nodes[node_id].attributes
        if key is not None and values:  # by another path than the one that names it
            keys = [attribute.checkpoint_key for attribute in values]
            _show_values(reader, keys, first, in_full=in_full, json=json)
            return
        known = {stored_key: stored(reader, stored_key) for stored_key in reader.keys()}
        tree = ObjectTree(graph, known.get, named=named)
        tree.with_values = with_values
        _show_tree(reader, tree, node_id, depth, json=json)


def _keys_of(reader: CheckpointReader, name: str) -> list[str]:
    """The keys that `name` means, as far as the index alone can tell."""
    if name in reader:
        return [name]
    start = value_key(name, "")
    return [key for key in reader.keys() if key.startswith(start)]


def _find(graph: ObjectGraph, path: str, reader: CheckpointReader, *, named: bool) -> int:
    node_id = find_object(graph, path, named=named)
    if node_id is not None:
        return node_id
    near = similar_names(path, _names(reader), 5)
    hint = f"; similar ones: {', '.join(near)}" if near else "; `checkpointable ls` lists them"
    raise CheckpointNotFoundError(
        f"there is no value and no object of this name{hint}", path=reader.prefix, key=path
    )


def _names(reader: CheckpointReader) -> Iterator[str]:
    """What could have been meant: paths of objects, upwards too, and keys."""
    for key in reader.keys():
        path = key.partition(ATTRIBUTES_MARK)[0]
        for _ in range(_LEVELS_UP):
            yield path
            path = path.rpartition("/")[0]
            if not path:
                break
        yield key


def _show_values(
    reader: CheckpointReader, keys: list[str], first: int, *, in_full: bool, json: bool
) -> None:
    from checkpointable.cli.value import describe
    from checkpointable.cli.value_text import print_value, value_as_json

    def details(key: str) -> Details:
        with progress_bar("show") as progress:
            return describe(reader, key, progress)

    if json:
        values = [value_as_json(details(key), first, in_full=in_full) for key in keys]
        write_json({"checkpoint": reader.prefix, "values": values})
        return
    with Output() as out:
        for position, key in enumerate(keys):
            if position:
                out.line()
            print_value(out, details(key), first, in_full=in_full)


def _show_tree(
    reader: CheckpointReader, tree: ObjectTree, node_id: int, depth: int | None, *, json: bool
) -> None:
    from checkpointable.cli.tree_json import write_tree_json
    from checkpointable.cli.tree_text import print_tree

    of_objects = {
        attribute.checkpoint_key for node in tree.graph.nodes for attribute in node.attributes
    }
    rest = [key for key in reader.keys() if key not in of_objects and key != GRAPH_KEY]
    if json:
        write_tree_json(tree, reader.prefix, node_id, depth, rest)
        return
    with Output() as out:
        print_tree(out, tree, reader.prefix, node_id, depth, rest)

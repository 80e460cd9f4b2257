"""`checkpointable show`: shows the object graph as a tree, or one value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from checkpointable.cli.arguments import JsonOption, PathArgument
from checkpointable.cli.formatting.json_output import write_json
from checkpointable.cli.formatting.output import Output
from checkpointable.cli.formatting.progress import progress_bar
from checkpointable.cli.object_tree import ObjectTree, find_object, graph_of_names
from checkpointable.common.suggestions import similar_names
from checkpointable.errors import CheckpointNotFoundError
from checkpointable.graph.object_graph import ObjectGraph
from checkpointable.graph.paths import ATTRIBUTES_MARK, GRAPH_KEY, value_key
from checkpointable.readers.reader import CheckpointReader
from checkpointable.readers.reading import load_checkpoint

if TYPE_CHECKING:
    from checkpointable.cli.value_details import Details

__all__ = ["HELP", "run"]

# How many objects above a value are suggested for a name that does not exist.
_LEVELS_UP = 10

HELP = """\
Shows the objects of a checkpoint as a tree, or one value.

Without KEY: every object with its value, its bytes, and the totals of the objects below it. An
object with several paths is shown once, under the path that names it, and as an arrow elsewhere.
Slots are shown under their variable. A name-based checkpoint is shown as the tree of its names.

With KEY: the value of that key, or of the object at that path: dtype, shape, bytes, location,
range, mean, standard deviation, NaN and infinite elements, first elements; strings are printed
readably. For an object without a value: the objects below it.

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
        typer.Argument(metavar="KEY", help="The key of a value, or the path of an object."),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Show N levels of the tree.")
    ] = None,
    with_values: Annotated[
        bool, typer.Option("--with-values", help="Hide objects without values below them.")
    ] = False,
    first: Annotated[
        int, typer.Option(min=0, metavar="N", help="Print N elements of a value.")
    ] = 10,
    in_full: Annotated[
        bool, typer.Option("--all", help="Print all elements, and strings to their end.")
    ] = False,
    json: JsonOption = False,
) -> None:
    with load_checkpoint(path) as reader:
        keys = [] if key is None else _keys_of(reader, key)
        if keys:
            _show_values(reader, keys, first, in_full=in_full, json=json)
            return
        graph = reader.graph()
        named = graph is None
        if graph is None:
            graph = graph_of_names(reader.keys())
        node_id = 0 if key is None else _find_node(graph, key, reader, named=named)
        attributes = graph.nodes[node_id].attributes
        if key is not None and attributes:  # the path is not the one that names the object
            keys = [attribute.checkpoint_key for attribute in attributes]
            _show_values(reader, keys, first, in_full=in_full, json=json)
            return
        values = {stored_key: reader.stored(stored_key) for stored_key in reader.keys()}
        tree = ObjectTree(graph, values.get, named=named)
        tree.with_values = with_values
        _show_tree(reader, tree, node_id, depth, json=json)


def _keys_of(reader: CheckpointReader, name: str) -> list[str]:
    """Returns the keys for a key or a path, without the object graph; else an empty list."""
    if name in reader:
        return [name]
    start = value_key(name, "")
    return [key for key in reader.keys() if key.startswith(start)]


def _find_node(graph: ObjectGraph, path: str, reader: CheckpointReader, *, named: bool) -> int:
    node_id = find_object(graph, path, named=named)
    if node_id is not None:
        return node_id
    similar = similar_names(path, _names(reader), 5)
    hint = (
        f"; similar ones: {', '.join(similar)}" if similar else "; `checkpointable ls` lists them"
    )
    raise CheckpointNotFoundError(
        f"there is no value and no object of this name{hint}", path=reader.prefix, key=path
    )


def _names(reader: CheckpointReader) -> Iterator[str]:
    """Yields keys, and the paths of their objects and of the objects above them."""
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
    from checkpointable.cli.formatting.value import print_value, value_as_json
    from checkpointable.cli.value_details import describe

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
    from checkpointable.cli.formatting.tree import print_tree, write_tree_json

    of_objects = {
        attribute.checkpoint_key for node in tree.graph.nodes for attribute in node.attributes
    }
    rest = [key for key in reader.keys() if key not in of_objects and key != GRAPH_KEY]
    if json:
        write_tree_json(tree, reader.prefix, node_id, depth, rest)
        return
    with Output() as out:
        print_tree(out, tree, reader.prefix, node_id, depth, rest)

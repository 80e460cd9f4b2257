"""One module per command, each with the text of its help (`HELP`) and a function `run`."""
